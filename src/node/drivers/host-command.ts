/** How a container's command line, environment and working directory look on the bare host. Pure but for looking up files. */
import { accessSync, constants, existsSync, openSync, readSync, closeSync, statSync } from 'node:fs';
import { basename, delimiter, dirname, isAbsolute, join } from 'node:path';
import { resolveInside } from '../safe-path.ts';
import { StartError, type ContainerSpec } from './driver.ts';

export interface HostCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
}

export interface Host {
  /** The Node.js that runs Knapsack. */
  readonly execPath: string;
  /** PATH of the host. */
  readonly path: string;
  readonly platform: NodeJS.Platform;
}

/** The members of a container that a command depends on. */
export type CommandSpec = Pick<
  ContainerSpec,
  'rootfs' | 'command' | 'env' | 'cwd' | 'mounts' | 'terminationMessage'
>;

interface Replacement {
  readonly destination: string;
  readonly source: string;
}

/** Throws {@link StartError} when the command is found neither in the image nor on the host. */
export function makeHostCommand(
  spec: CommandSpec,
  ports: ReadonlyMap<number, number>,
  host: Host,
): HostCommand {
  const replacements = spec.mounts
    .flatMap(({ source, destination }): Replacement[] =>
      source === undefined ? [] : [{ source, destination }],
    )
    .concat({ source: spec.terminationMessage.source, destination: spec.terminationMessage.destination })
    .sort((a, b) => b.destination.length - a.destination.length);
  const env: Record<string, string> = {};
  for (const [name, value] of spec.env) env[name] = rewritePaths(value, replacements);
  const path = spec.env.get('PATH') ?? '';
  const inside = path.split(':').filter((entry) => entry.startsWith('/'));
  env['PATH'] = [
    dirname(host.execPath),
    host.path,
    ...inside.map((entry) => resolveInside(spec.rootfs, entry)).filter((entry) => existsSync(entry)),
  ].join(delimiter);
  const port = Number(env['PORT']);
  const mapped = ports.get(port);
  if (mapped !== undefined) env['PORT'] = String(mapped);
  const [name = '', ...args] = spec.command;
  return {
    file: findProgram(spec, name, inside, replacements, host),
    args: args.map((arg) => insideImage(spec.rootfs, rewritePaths(arg, replacements))),
    env,
    cwd: hostPath(spec.rootfs, spec.cwd, replacements),
  };
}

/**
 * Replaces mount paths by the host directories that are mounted there. A mount path counts only as a whole path or as
 * the beginning of one: `/data` in `/data/x`, `A=/data:/tmp` and `ls /data`, not in `/database` or `/var/data`.
 */
export function rewritePaths(text: string, replacements: readonly Replacement[]): string {
  if (!text.includes('/') || replacements.length === 0) return text;
  // Longest first, so that a mount inside another wins.
  const alternatives = replacements.map((r) => escape(trimSlash(r.destination))).join('|');
  const pattern = new RegExp(`(?<![\\w./-])(?:${alternatives})(?![\\w.-])`, 'g');
  const byPath = new Map(replacements.map((r) => [trimSlash(r.destination), r.source]));
  return text.replace(pattern, (found) => byPath.get(found) ?? found);
}

/** What images have as empty places for the system's own. */
const ofTheHost = /^\/(?:tmp|dev|proc|sys)(?:\/|$)/;

/** An argument that names a file or directory of the image means that one, not the host's. */
function insideImage(rootfs: string, arg: string): string {
  if (!/^\/[^/]/.test(arg) || arg.includes('\0') || ofTheHost.test(arg)) return arg;
  const path = resolveInside(rootfs, arg);
  return existsSync(path) ? path : arg;
}

function trimSlash(path: string): string {
  return path.length > 1 ? path.replace(/\/+$/, '') : path;
}

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** A path of the container on the host: in a mount, or in the image. */
function hostPath(rootfs: string, path: string, replacements: readonly Replacement[]): string {
  for (const { source, destination } of replacements) {
    const at = trimSlash(destination);
    if (path === at) return source;
    if (path.startsWith(`${at}/`)) return resolveInside(source, path.slice(at.length));
  }
  return resolveInside(rootfs, path);
}

/**
 * `node` is the host's Node.js: an image built elsewhere brings one for another system. Everything else is looked up in
 * the image first, then on the host.
 */
function findProgram(
  spec: CommandSpec,
  name: string,
  inside: readonly string[],
  replacements: readonly Replacement[],
  host: Host,
): string {
  if (basename(name) === 'node') return host.execPath;
  const wanted = name.includes('/')
    ? [isAbsolute(name) ? name : join(spec.cwd, name)]
    : inside.map((dir) => join(dir, name));
  for (const path of wanted) {
    const found = hostPath(spec.rootfs, path, replacements);
    if (isExecutable(found) && (host.platform === 'linux' || !isElf(found))) return found;
  }
  const onHost = isAbsolute(name) ? [name] : [];
  if (!name.includes('/') || isAbsolute(name)) {
    onHost.push(...host.path.split(delimiter).map((dir) => join(dir, basename(name))));
  }
  const found = onHost.find((path) => isExecutable(path));
  if (found !== undefined) return found;
  throw new StartError(`exec: "${name}": executable file not found in the image or on the host`);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** A Linux program, which no other system runs. */
function isElf(path: string): boolean {
  const file = openSync(path, 'r');
  try {
    const magic = Buffer.alloc(4);
    readSync(file, magic, 0, 4, 0);
    return magic.equals(Buffer.from([0x7f, 0x45, 0x4c, 0x46]));
  } finally {
    closeSync(file);
  }
}
