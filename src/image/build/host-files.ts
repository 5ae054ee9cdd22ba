/** Puts programs of this machine into a layer, with all that they need to start. */
import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, delimiter, join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { sharedLibraries } from './elf.ts';
import type { Layer } from './layer.ts';

/** The C library opens these by name, so no executable lists them. */
const nameServiceLibraries = ['libnss_files.so.2', 'libnss_dns.so.2', 'libresolv.so.2'];

/** Directories that are links to their counterpart under usr, as current distributions have it. */
const mergedDirectories = ['bin', 'sbin', 'lib', 'lib64'];

/** Where a file of this machine goes in an image whose /lib and /bin are links into /usr. */
export function imagePath(path: string): string {
  const relative = path.replace(/^\/+/, '');
  const first = relative.slice(0, relative.indexOf('/'));
  return mergedDirectories.includes(first) ? `usr/${relative}` : relative;
}

/** The directory skeleton, users and certificates of a minimal root. */
export async function addSkeleton(layer: Layer): Promise<void> {
  for (const name of mergedDirectories) {
    layer.directory(`usr/${name}`);
    layer.symlink(name, `usr/${name}`);
  }
  for (const name of ['dev', 'proc', 'sys', 'run', 'var', 'var/run', 'home', 'home/node', 'etc'])
    layer.directory(name);
  layer.directory('root', 0o700);
  layer.directory('tmp', 0o1777);
  layer.directory('var/tmp', 0o1777);
  layer.text(
    'etc/passwd',
    'root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000:node:/home/node:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
  );
  layer.text('etc/group', 'root:x:0:\nnode:x:1000:\nnogroup:x:65534:\n');
  layer.text('etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\n');
  layer.text('etc/hosts', '127.0.0.1 localhost\n::1 localhost\n');
  layer.text('etc/ssl/certs/ca-certificates.crt', await certificates());
}

/** The machine's certificate authorities, as its administrator may have added some; otherwise Node's own list. */
async function certificates(): Promise<string> {
  for (const path of ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt']) {
    if (existsSync(path)) return await readFile(path, 'utf8');
  }
  return `${rootCertificates.join('\n')}\n`;
}

/** Adds executables (path in the image → file here) and the libraries that `has` does not already know. */
export async function addExecutables(
  layer: Layer,
  executables: ReadonlyMap<string, string>,
  has: (path: string) => boolean = () => false,
): Promise<void> {
  for (const [path, from] of executables) await layer.file(path, from);
  for (const [path, from] of await sharedLibraries([...executables.values()], nameServiceLibraries)) {
    const target = imagePath(path);
    if (!has(target) && !layer.has(target)) await layer.file(target, from);
  }
}

/** The first executable of that name on PATH, or undefined. */
export function findOnPath(name: string, path = process.env['PATH'] ?? ''): string | undefined {
  return path
    .split(delimiter)
    .filter((directory) => directory.startsWith('/'))
    .map((directory) => join(directory, name))
    .find((candidate) => existsSync(candidate) && statSync(candidate).isFile());
}

/** Identifies files by name, size and time: cheap, and changes when a program is upgraded. */
export function fingerprint(paths: readonly string[]): string {
  return paths
    .map((path) => {
      const found = statSync(path, { throwIfNoEntry: false });
      return `${basename(path)}:${found?.size ?? -1}:${found?.mtimeMs ?? 0}:${found?.ino ?? 0}`;
    })
    .join('|');
}
