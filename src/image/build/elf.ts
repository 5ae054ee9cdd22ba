/** Which shared libraries a Linux executable needs, read from the file itself (System V ABI, ELF-64). */
import { existsSync, globSync, readFileSync, realpathSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

interface ElfNeeds {
  /** `e_machine`: libraries of another machine are passed over. */
  readonly machine: number;
  /** The dynamic loader; absent in libraries and static executables. */
  readonly interpreter?: string;
  readonly needed: readonly string[];
  /** DT_RPATH or DT_RUNPATH entries, `$ORIGIN` not yet expanded. */
  readonly runPaths: readonly string[];
}

const ptLoad = 1;
const ptDynamic = 2;
const ptInterp = 3;
const dtNeeded = 1n;
const dtStrTab = 5n;
const dtRPath = 15n;
const dtRunPath = 29n;
/** Largest dynamic or interpreter segment that is read, bytes. */
const maxSegment = 1 << 20;

/** Reads the dynamic section. Undefined for anything but a little-endian 64-bit ELF file. */
async function readElf(path: string): Promise<ElfNeeds | undefined> {
  const file = await open(path, 'r');
  try {
    const read = async (offset: number, length: number): Promise<Buffer> => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
      return buffer.subarray(0, bytesRead);
    };
    const header = await read(0, 64);
    if (header.length < 64 || header.readUInt32BE(0) !== 0x7f454c46) return undefined;
    if (header[4] !== 2 || header[5] !== 1) return undefined;
    const entrySize = header.readUInt16LE(54);
    const count = header.readUInt16LE(56);
    const table = await read(Number(header.readBigUInt64LE(32)), entrySize * count);
    const segments = Array.from({ length: count }, (_, i) => {
      const entry = table.subarray(i * entrySize);
      return {
        type: entry.readUInt32LE(0),
        offset: Number(entry.readBigUInt64LE(8)),
        address: Number(entry.readBigUInt64LE(16)),
        size: Number(entry.readBigUInt64LE(32)),
      };
    });
    const machine = header.readUInt16LE(18);
    const interp = segments.find((segment) => segment.type === ptInterp);
    const dynamic = segments.find((segment) => segment.type === ptDynamic);
    const interpreter = interp && textAt(await read(interp.offset, Math.min(interp.size, maxSegment)), 0);
    if (!dynamic) return { machine, ...(interpreter && { interpreter }), needed: [], runPaths: [] };
    const entries = await read(dynamic.offset, Math.min(dynamic.size, maxSegment));
    const tags: { tag: bigint; value: number }[] = [];
    for (let at = 0; at + 16 <= entries.length; at += 16) {
      tags.push({ tag: entries.readBigInt64LE(at), value: Number(entries.readBigUInt64LE(at + 8)) });
    }
    const address = tags.find(({ tag }) => tag === dtStrTab)?.value ?? 0;
    const home = segments.find(
      (segment) =>
        segment.type === ptLoad && address >= segment.address && address < segment.address + segment.size,
    );
    const start = address - (home?.address ?? 0) + (home?.offset ?? 0);
    const texts = async (...wanted: bigint[]): Promise<string[]> =>
      await Promise.all(
        tags
          .filter(({ tag }) => wanted.includes(tag))
          .map(async ({ value }) => textAt(await read(start + value, 4096), 0)),
      );
    const runPaths = (await texts(dtRPath, dtRunPath))
      .flatMap((paths) => paths.split(':'))
      .filter((path) => path !== '');
    return { machine, ...(interpreter && { interpreter }), needed: await texts(dtNeeded), runPaths };
  } finally {
    await file.close();
  }
}

function textAt(bytes: Buffer, offset: number): string {
  const end = bytes.indexOf(0, offset);
  return bytes.toString('latin1', offset, end < 0 ? bytes.length : end);
}

/** The loader's search path: /etc/ld.so.conf and its includes, then the built-in directories (ld.so(8)). */
function systemLibraryDirectories(): string[] {
  const read = (path: string, depth: number): string[] => {
    if (depth > 4 || !existsSync(path)) return [];
    return readFileSync(path, 'utf8')
      .split('\n')
      .map((line) => line.replace(/#.*/, '').trim())
      .filter((line) => line !== '')
      .flatMap((line) => {
        const include = /^include\s+(.+)$/.exec(line)?.[1];
        if (include === undefined) return [line];
        const found = globSync(include, { cwd: '/etc' });
        return found.sort().flatMap((name) => read(resolve('/etc', name), depth + 1));
      });
  };
  const builtIn = ['/lib64', '/usr/lib64', '/lib', '/usr/lib', '/usr/local/lib'];
  return [...new Set([...read('/etc/ld.so.conf', 0), ...builtIn])];
}

/**
 * The libraries that executables need, their own needs included, and their loader: path in an image → file here.
 * `extra` names libraries that are opened by name at run time (name service). Throws when one that is needed is missing.
 */
export async function sharedLibraries(
  executables: readonly string[],
  extra: readonly string[] = [],
): Promise<Map<string, string>> {
  const directories = systemLibraryDirectories();
  const files = new Map<string, string>();
  const seen = new Set<string>();
  let machine: number | undefined;
  const locate = async (
    name: string,
    from: string,
    runPaths: readonly string[],
  ): Promise<string | undefined> => {
    if (name.startsWith('/')) return existsSync(name) ? name : undefined;
    const own = runPaths.map((path) => path.replace(/\$(?:ORIGIN|\{ORIGIN\})/, dirname(realpathSync(from))));
    for (const directory of [...own, ...directories]) {
      const candidate = join(directory, name);
      if (existsSync(candidate) && (await readElf(candidate))?.machine === machine) return candidate;
    }
    return undefined;
  };
  const visit = async (path: string): Promise<void> => {
    const real = realpathSync(path);
    if (seen.has(real)) return;
    seen.add(real);
    const elf = await readElf(real);
    if (!elf) return;
    machine ??= elf.machine;
    if (elf.interpreter !== undefined && !files.has(elf.interpreter)) {
      files.set(elf.interpreter, realpathSync(elf.interpreter));
    }
    for (const name of elf.needed) {
      if ([...files.keys()].some((known) => basename(known) === basename(name))) continue;
      const found = await locate(name, real, elf.runPaths);
      if (found === undefined) throw new Error(`${path} needs the library ${name}, which was not found`);
      files.set(found, realpathSync(found));
      await visit(found);
    }
  };
  for (const path of executables) await visit(path);
  for (const name of extra) {
    const found = await locate(name, executables[0] ?? '/', []);
    if (found === undefined || files.has(found)) continue;
    files.set(found, realpathSync(found));
    await visit(found);
  }
  return files;
}
