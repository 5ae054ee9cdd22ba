/** A pod's volumes as directories of this machine. */
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { KubernetesTypes } from '../api/generated/kubernetes-types.ts';
import { claimNameOf, type Container, type Pod } from '../api/pods.ts';
import { KnapsackError } from '../base/errors.ts';
import type { ContainerMount } from './drivers/driver.ts';
import { expand } from './environment.ts';
import type { MemoryDir } from './memory-dir.ts';
import { pathInside, relativeComponents } from './safe-path.ts';

type Volume = KubernetesTypes['core.v1.Volume'];
type HostPath = KubernetesTypes['core.v1.HostPathVolumeSource'];

/** One file of a volume whose content the API server holds. */
export interface VolumeFile {
  /** Relative, as the user wrote it. */
  readonly path: string;
  readonly content: Buffer;
  /** Permission bits. */
  readonly mode: number;
}

/** Reads what the volume's files come from; `dir` is where they will be. Throws NODE_CONTAINER_CONFIG when it does not exist and is not optional. */
export type FileSource = (volume: Volume, dir: string) => Promise<readonly VolumeFile[]>;

/** The path of this machine behind a claim of the pod. Throws NODE_CONTAINER_CONFIG when there is none. */
export type ClaimSource = (namespace: string, claimName: string) => Promise<HostPath>;

/** True for volumes whose files are written by the agent and follow the objects that they come from. */
function hasFiles(volume: Volume): boolean {
  return Boolean(volume.configMap ?? volume.secret ?? volume.downwardAPI ?? volume.projected);
}

/** As the kubelet: what may hold a secret is never on a disk. Memory is also quicker, and a starting pod waits for it. */
function isInMemory({ emptyDir, secret, downwardAPI, projected }: Volume): boolean {
  return emptyDir?.medium === 'Memory' || Boolean(secret ?? downwardAPI ?? projected);
}

export class PodVolumes {
  readonly #pod: Pod;
  readonly #dir: string;
  readonly #memory: MemoryDir;
  readonly #files: FileSource;
  readonly #claims: ClaimSource;
  readonly #paths = new Map<string, string>();

  /** `dir`: where the volumes are kept that are not in memory. */
  constructor(pod: Pod, dir: string, memory: MemoryDir, sources: { files: FileSource; claims: ClaimSource }) {
    this.#pod = pod;
    this.#dir = dir;
    this.#memory = memory;
    this.#files = sources.files;
    this.#claims = sources.claims;
  }

  /** Makes every volume. Safe to repeat. Throws KnapsackError naming the volume. */
  async prepare(): Promise<void> {
    for (const volume of this.#pod.spec?.volumes ?? []) {
      try {
        this.#paths.set(volume.name, await this.#prepareOne(volume));
      } catch (error) {
        if (!(error instanceof KnapsackError)) throw error;
        const message = `MountVolume.SetUp failed for volume "${volume.name}" : ${error.message}`;
        throw new KnapsackError(error.code, message, { cause: error });
      }
    }
  }

  /** Writes the files of volumes that hold any anew, where they changed. Each volume changes in one step. */
  async refresh(): Promise<void> {
    for (const volume of this.#pod.spec?.volumes ?? []) {
      const path = this.#paths.get(volume.name);
      if (path && hasFiles(volume)) writeAtomically(path, await this.#files(volume, path), this.#group);
    }
  }

  get #group(): number | undefined {
    const isRoot = process.geteuid?.() === 0;
    return isRoot ? this.#pod.spec?.securityContext?.fsGroup : undefined;
  }

  async #prepareOne(volume: Volume): Promise<string> {
    if (volume.hostPath) return hostPath(volume.hostPath);
    const claimName = claimNameOf(this.#pod, volume);
    if (claimName !== undefined) {
      return hostPath(await this.#claims(this.#pod.metadata.namespace ?? '', claimName));
    }
    const path = this.#pathOf(volume);
    if (hasFiles(volume)) {
      const files = await this.#files(volume, path);
      mkdirSync(path, { recursive: true });
      chmodSync(path, 0o755);
      writeAtomically(path, files, this.#group);
      return path;
    }
    if (!volume.emptyDir) {
      const kind = Object.keys(volume).find((key) => key !== 'name') ?? 'unknown';
      throw new KnapsackError(
        'NODE_CONTAINER_CONFIG',
        `volumes of type ${kind} are not supported on this node`,
      );
    }
    if (!existsSync(path)) {
      mkdirSync(path, { recursive: true });
      if (this.#group !== undefined) chownSync(path, -1, this.#group);
      // Any user of any container of the pod may write; set-group-ID hands fsGroup on to what they make. Memory is as
      // sticky as a file system of its own would be.
      const sticky = isInMemory(volume) ? 0o1000 : 0;
      chmodSync(path, 0o777 | sticky | (this.#group === undefined ? 0 : 0o2000));
    }
    return path;
  }

  #pathOf(volume: Volume): string {
    const onDisk = join(this.#dir, volume.name);
    // A pod that runs keeps the place where it has its volume.
    if (!isInMemory(volume) || existsSync(onDisk)) return onDisk;
    const inMemory = this.#memory.of(this.#pod.metadata.uid ?? '');
    if (inMemory !== undefined) return join(inMemory, volume.name);
    if (volume.emptyDir && this.#memory.isForeign) {
      throw new KnapsackError(
        'NODE_VOLUME_UNSAFE',
        `${this.#memory.path} belongs to another user of this machine, who could read the volume`,
      );
    }
    return onDisk;
  }

  /**
   * The mounts of one container. Directories of sub-paths are made. Throws NODE_CONTAINER_CONFIG or NODE_VOLUME_UNSAFE.
   */
  mountsOf(container: Container, env: ReadonlyMap<string, string>): ContainerMount[] {
    return (container.volumeMounts ?? []).map((mount) => {
      const source = this.#paths.get(mount.name);
      if (source === undefined) {
        throw new KnapsackError('NODE_CONTAINER_CONFIG', `volume "${mount.name}" of a mount does not exist`);
      }
      const volume = this.#pod.spec?.volumes?.find((v) => v.name === mount.name);
      const isWritten = volume !== undefined && hasFiles(volume);
      const subPath = mount.subPathExpr ? expand(mount.subPathExpr, env) : (mount.subPath ?? '');
      if (subPath !== '') prepareSubPath(source, subPath, !isWritten);
      // A container must not lead the agent, which writes these files as root, astray (CVE-2017-1002102).
      const readOnly = isWritten || (mount.readOnly ?? volume?.persistentVolumeClaim?.readOnly ?? false);
      return { source, ...(subPath === '' ? {} : { subPath }), destination: mount.mountPath, readOnly };
    });
  }

  remove(): void {
    rmSync(this.#dir, { recursive: true, force: true });
    this.#memory.remove(this.#pod.metadata.uid ?? '');
  }
}

/** Says early what is wrong with a sub-path, and makes its directories as open to others as the volume is. */
function prepareSubPath(root: string, subPath: string, create: boolean): void {
  relativeComponents(subPath);
  pathInside(root, subPath, create ? { createMode: statSync(root).mode & 0o3777 } : {});
}

/** Checks a hostPath against its type, making what `…OrCreate` asks for. */
function hostPath({ path, type = '' }: HostPath): string {
  const fail = (why: string): never => {
    throw new KnapsackError('NODE_CONTAINER_CONFIG', `hostPath type check failed: ${path} ${why}`);
  };
  if (!path.startsWith('/') || path.split('/').includes('..')) {
    throw new KnapsackError('NODE_VOLUME_UNSAFE', `hostPath ${path} must be absolute and without ".."`);
  }
  if (!existsSync(path)) {
    if (type === 'DirectoryOrCreate' || type === '') mkdirSync(path, { recursive: true, mode: 0o755 });
    else if (type === 'FileOrCreate') writeFileSync(path, '', { mode: 0o644 });
    else fail('does not exist');
  }
  const found = statSync(path);
  if (type.startsWith('Directory') && !found.isDirectory()) fail('is not a directory');
  if (type.startsWith('File') && !found.isFile()) fail('is not a file');
  if (type === 'Socket' && !found.isSocket()) fail('is not a socket');
  if (type === 'CharDevice' && !found.isCharacterDevice()) fail('is not a character device');
  if (type === 'BlockDevice' && !found.isBlockDevice()) fail('is not a block device');
  return path;
}

const freshName = /^\.\.[0-9a-f]{16}$/;

/**
 * Readers see either all old or all new files: the files lie in a fresh directory, `..data` points to it and is swapped
 * by a rename, and the visible names are links through `..data` (kubernetes pkg/volume/util `AtomicWriter`).
 */
export function writeAtomically(dir: string, files: readonly VolumeFile[], group?: number): void {
  const data = join(dir, '..data');
  const fresh = `..${randomBytes(8).toString('hex')}`;
  const link = isLink(data) ? readlinkSync(data) : '';
  // Only what was written here is looked at or removed.
  const old = freshName.test(link) ? link : undefined;
  if (old !== undefined && isUnchanged(join(dir, old), files)) return;
  mkdirSync(join(dir, fresh), { mode: 0o755 });
  chmodSync(join(dir, fresh), 0o755);
  const visible = new Set<string>();
  for (const file of files) {
    const parts = relativeComponents(file.path);
    const [first] = parts;
    if (first === undefined || first.startsWith('..')) {
      throw new KnapsackError('NODE_VOLUME_UNSAFE', `file name ${JSON.stringify(file.path)} is not allowed`);
    }
    visible.add(first);
    const target = join(dir, fresh, ...parts);
    mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
    writeFileSync(target, file.content);
    if (group !== undefined) chownSync(target, -1, group);
    chmodSync(target, group === undefined ? file.mode : file.mode | ((file.mode & 0o400) >> 3));
  }
  rmSync(join(dir, '..data_tmp'), { force: true });
  symlinkSync(fresh, join(dir, '..data_tmp'));
  renameSync(join(dir, '..data_tmp'), data);
  for (const name of readdirSync(dir)) {
    if (!name.startsWith('..') && !visible.has(name)) rmSync(join(dir, name), { force: true });
  }
  for (const name of visible) {
    if (!isLink(join(dir, name))) symlinkSync(`..data/${name}`, join(dir, name));
  }
  if (old !== undefined) rmSync(join(dir, old), { recursive: true, force: true });
}

/** Whether the directory holds exactly these files with these contents. */
function isUnchanged(dir: string, files: readonly VolumeFile[]): boolean {
  if (!existsSync(dir)) return false;
  const present = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return (
    present.length === new Set(files.map((file) => file.path)).size &&
    files.every((file) => hasContent(join(dir, ...relativeComponents(file.path)), file.content))
  );
}

function hasContent(path: string, content: Buffer): boolean {
  return existsSync(path) && statSync(path).size === content.length && readFileSync(path).equals(content);
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}
