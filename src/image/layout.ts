/** The `index.json` of an OCI image layout: the names of the images in it (OCI image specification, image-layout.md). */
import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode } from '../base/errors.ts';
import { writeFileAtomic } from './files.ts';
import { mediaTypes, parseDescriptor, type Descriptor } from './manifest.ts';

/** The standard annotation that names a descriptor in `index.json`. */
const refNameAnnotation = 'org.opencontainers.image.ref.name';

/**
 * Name → manifest. A name is `registry/repository:tag`, or `registry/repository@digest` for each manifest that a
 * repository holds, so that a manifest stays reachable by digest when its tag moves on.
 */
export type RefMap = ReadonlyMap<string, Descriptor>;

/** The file, reread when another process has replaced it. */
export class LayoutIndex {
  readonly #path: string;
  #refs: RefMap = new Map();
  #stamp = '';

  constructor(root: string) {
    this.#path = join(root, 'index.json');
  }

  async read(): Promise<RefMap> {
    let stamp;
    try {
      // Synchronously: some microseconds, where a turn of the loop would let a starting pod wait for unrelated work.
      const { mtimeNs, ino, size } = statSync(this.#path, { bigint: true });
      stamp = `${mtimeNs}/${ino}/${size}`;
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error;
      return new Map();
    }
    if (stamp !== this.#stamp) {
      this.#refs = parseIndex(this.#path, await readFile(this.#path));
      this.#stamp = stamp;
    }
    return this.#refs;
  }

  /** The caller holds the store's lock. Entries are sorted, so that the same names give the same file. */
  async write(refs: RefMap): Promise<void> {
    const manifests = [...refs]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, { annotations, ...descriptor }]) => ({
        ...descriptor,
        annotations: { ...annotations, [refNameAnnotation]: name },
      }));
    const document = { schemaVersion: 2, mediaType: mediaTypes.index, manifests };
    await writeFileAtomic(this.#path, JSON.stringify(document));
  }
}

function parseIndex(path: string, bytes: Uint8Array): RefMap {
  const refs = new Map<string, Descriptor>();
  const value = JSON.parse(new TextDecoder().decode(bytes)) as { manifests?: unknown };
  const manifests: unknown[] = Array.isArray(value.manifests) ? value.manifests : [];
  for (const item of manifests) {
    const { annotations, ...descriptor } = parseDescriptor(path, item);
    const { [refNameAnnotation]: name, ...others } = annotations ?? {};
    if (name === undefined) continue;
    refs.set(name, { ...descriptor, ...(Object.keys(others).length > 0 && { annotations: others }) });
  }
  return refs;
}
