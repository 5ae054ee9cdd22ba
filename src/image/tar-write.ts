/** Writes reproducible tar archives: same entries, same bytes (POSIX.1-2001 pax interchange format). */

export interface TarEntry {
  /** Relative, `/` between components, no leading or trailing slash. */
  readonly path: string;
  readonly type: 'file' | 'directory' | 'symlink' | 'hardlink';
  /** Permission bits. */
  readonly mode: number;
  /** Bytes of content that follow; 0 unless a file. */
  readonly size: number;
  /** Target of a link. */
  readonly link?: string;
}

const blockSize = 512;
const typeFlags = { file: '0', hardlink: '1', symlink: '2', directory: '5' } as const;
const maxOctalSize = 0o77777777777;

/** The end of an archive. */
export const tarTrailer: Uint8Array = Buffer.alloc(2 * blockSize);

/** Zeros that fill the last block of `size` bytes of content. */
export function tarPadding(size: number): Uint8Array {
  return Buffer.alloc((blockSize - (size % blockSize)) % blockSize);
}

/**
 * The header of an entry, with a pax header before it where ustar cannot say it. Owner is 0:0 and time is the epoch, as
 * neither may change an image's digest.
 */
export function tarHeader(entry: TarEntry): Uint8Array {
  const path = entry.type === 'directory' ? `${entry.path}/` : entry.path;
  const link = entry.link ?? '';
  const records: [string, string][] = [];
  if (!fits(path)) records.push(['path', path]);
  if (!fits(link)) records.push(['linkpath', link]);
  if (entry.size > maxOctalSize) records.push(['size', String(entry.size)]);
  const header = ustar(path, typeFlags[entry.type], entry.mode, entry.size, link);
  if (records.length === 0) return header;
  const body = Buffer.concat(records.map(([key, value]) => paxRecord(key, value)));
  return Buffer.concat([
    ustar('PaxHeader', 'x', 0o644, body.length, ''),
    body,
    tarPadding(body.length),
    header,
  ]);
}

/** Short and ASCII: every reader understands the plain field. */
function fits(text: string): boolean {
  // oxlint-disable-next-line no-control-regex -- the range is the point: only printable ASCII goes into ustar fields
  return text.length <= 99 && !/[^\x20-\x7e]/.test(text);
}

/** `LENGTH KEY=VALUE\n`, where LENGTH counts itself. */
function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.from(` ${key}=${value}\n`);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function ustar(path: string, type: string, mode: number, size: number, link: string): Buffer {
  const block = Buffer.alloc(blockSize);
  const octal = (value: number, offset: number, width: number): void => {
    block.write(`${value.toString(8).padStart(width - 1, '0')}\0`, offset, 'latin1');
  };
  block.write(fits(path) ? path : Buffer.from(path).toString('latin1').slice(0, 99), 0, 99, 'latin1');
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(Math.min(size, maxOctalSize), 124, 12);
  octal(0, 136, 12);
  block.write('        ', 148, 'latin1');
  block.write(type, 156, 'latin1');
  block.write(fits(link) ? link : Buffer.from(link).toString('latin1').slice(0, 99), 157, 99, 'latin1');
  block.write('ustar\u000000', 257, 'latin1');
  octal(0, 329, 8);
  octal(0, 337, 8);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
