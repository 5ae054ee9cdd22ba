/**
 * Reads tar archives from a stream of chunks: ustar, pax and GNU long names. Every buffer has a cap, as the archive may
 * be hostile: a header cannot make the reader hold more than 1 MiB.
 */
import { KnapsackError } from '../base/errors.ts';

export interface TarHeader {
  readonly path: string;
  /** `other` covers devices, FIFOs and types that readers must skip. */
  readonly type: 'file' | 'directory' | 'symlink' | 'hardlink' | 'other';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since the epoch. */
  readonly mtime: number;
  readonly size: number;
  readonly link: string;
}

export interface TarItem {
  readonly header: TarHeader;
  /** The content, once. What is not read is skipped when the next item is asked for. */
  content(): AsyncGenerator<Buffer>;
}

const blockSize = 512;
const maxMetadata = 1 << 20;

function unsafe(why: string): never {
  throw new KnapsackError('IMAGE_ARCHIVE_UNSAFE', `not a readable archive: ${why}`);
}

function truncated(): KnapsackError {
  return new KnapsackError(
    'IMAGE_ARCHIVE_UNSAFE',
    'not a readable archive: it ends in the middle of an entry',
  );
}

/** Hands out exact byte counts from a stream of chunks of any size. */
class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** At least one and at most `max` bytes; undefined at the end of the stream. */
  async some(max: number): Promise<Buffer | undefined> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next();
      if (next.done) return undefined;
      this.#rest = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
    }
    const taken = this.#rest.subarray(0, max);
    this.#rest = this.#rest.subarray(taken.length);
    return taken;
  }

  /** Exactly `count` bytes; undefined at the end of the stream when there is none left at all. */
  async exactly(count: number): Promise<Buffer | undefined> {
    const first = await this.some(count);
    if (!first || first.length === count) return first;
    const parts = [first];
    let length = first.length;
    while (length < count) {
      const part = await this.some(count - length);
      if (!part) throw truncated();
      parts.push(part);
      length += part.length;
    }
    return Buffer.concat(parts);
  }

  async skip(count: number): Promise<void> {
    while (count > 0) {
      const part = await this.some(count);
      if (!part) throw truncated();
      count -= part.length;
    }
  }

  /** Reads to the end, so that whoever hashes the stream sees all of it. */
  async drain(): Promise<void> {
    while (await this.some(1 << 30));
  }
}

type Overrides = { [key: string]: string };

/** The entries of an archive in order. Throws IMAGE_ARCHIVE_UNSAFE when it is malformed or truncated. */
export async function* readTar(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<TarItem> {
  const reader = new ByteReader(chunks);
  const globals: Overrides = {};
  let overrides: Overrides = {};
  for (;;) {
    const block = await reader.exactly(blockSize);
    if (!block) return;
    if (block.every((byte) => byte === 0)) {
      await reader.drain();
      return;
    }
    const { header, flag } = parseHeader(block, { ...globals, ...overrides });
    if (flag === 'x' || flag === 'g' || flag === 'L' || flag === 'K') {
      const body = await metadata(reader, numberAt(block, 124, 12));
      if (flag === 'x') Object.assign(overrides, parsePax(body));
      else if (flag === 'g') Object.assign(globals, parsePax(body));
      else overrides[flag === 'L' ? 'path' : 'linkpath'] = textOf(body);
      continue;
    }
    overrides = {};
    let left = header.size;
    yield {
      header,
      async *content() {
        while (left > 0) {
          const part = await reader.some(left);
          if (!part) throw truncated();
          left -= part.length;
          yield part;
        }
      },
    };
    await reader.skip(left + ((blockSize - (header.size % blockSize)) % blockSize));
  }
}

async function metadata(reader: ByteReader, size: number): Promise<Buffer> {
  if (size > maxMetadata) return unsafe(`a header of ${size} bytes`);
  const body = size === 0 ? Buffer.alloc(0) : await reader.exactly(size);
  if (!body) return unsafe('it ends in a header');
  await reader.skip((blockSize - (size % blockSize)) % blockSize);
  return body;
}

const types: { readonly [flag: string]: TarHeader['type'] } = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '5': 'directory',
};

function parseHeader(block: Buffer, overrides: Overrides): { header: TarHeader; flag: string } {
  let sum = 8 * 0x20;
  for (let i = 0; i < blockSize; i++) if (i < 148 || i >= 156) sum += block[i] ?? 0;
  if (numberAt(block, 148, 8) !== sum) return unsafe('the checksum of a header is wrong');
  const flag = String.fromCharCode(block[156] ?? 0);
  const prefix = block.toString('latin1', 257, 262) === 'ustar' ? textAt(block, 345, 155) : '';
  const name = textAt(block, 0, 100);
  const path = overrides['path'] ?? (prefix && block[262] === 0 ? `${prefix}/${name}` : name);
  // Old archives mark a directory only by the slash at its end.
  const type = flag === '\0' && path.endsWith('/') ? 'directory' : (types[flag] ?? 'other');
  const size = numberFrom(overrides['size'], () => numberAt(block, 124, 12));
  return {
    flag,
    header: {
      path,
      type,
      mode: numberAt(block, 100, 8) & 0o7777,
      uid: numberFrom(overrides['uid'], () => numberAt(block, 108, 8)),
      gid: numberFrom(overrides['gid'], () => numberAt(block, 116, 8)),
      mtime: numberFrom(overrides['mtime'], () => numberAt(block, 136, 12)),
      // Links and directories have no content, whatever the field says (POSIX leaves it free).
      size: type === 'file' || type === 'other' ? size : 0,
      link: overrides['linkpath'] ?? textAt(block, 157, 100),
    },
  };
}

function numberFrom(override: string | undefined, otherwise: () => number): number {
  if (override === undefined) return otherwise();
  const value = Math.trunc(Number(override));
  return Number.isSafeInteger(value) ? value : unsafe(`${JSON.stringify(override)} is not a number`);
}

/** Octal, or GNU's base 256 when the first bit is set. */
function numberAt(block: Buffer, offset: number, width: number): number {
  const first = block[offset] ?? 0;
  if (first & 0x80) {
    if (first !== 0x80) return unsafe('a number is negative or too large');
    let value = 0;
    for (let i = 1; i < width; i++) value = value * 256 + (block[offset + i] ?? 0);
    return Number.isSafeInteger(value) ? value : unsafe('a number is too large');
  }
  const text =
    block
      .toString('latin1', offset, offset + width)
      .split('\0')[0]
      ?.trim() ?? '';
  if (text === '') return 0;
  return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : unsafe(`${JSON.stringify(text)} is not octal`);
}

function textAt(block: Buffer, offset: number, width: number): string {
  return textOf(block.subarray(offset, offset + width));
}

function textOf(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
}

/** `LENGTH KEY=VALUE\n` records. */
function parsePax(body: Buffer): Overrides {
  const records: Overrides = {};
  for (let offset = 0; offset < body.length;) {
    const space = body.indexOf(0x20, offset);
    const length = space < 0 ? Number.NaN : Number(body.toString('latin1', offset, space));
    if (!Number.isSafeInteger(length) || length <= space - offset || offset + length > body.length) {
      return unsafe('a pax record has a wrong length');
    }
    const record = body.toString('utf8', space + 1, offset + length - 1);
    const equals = record.indexOf('=');
    if (equals < 0) return unsafe('a pax record has no value');
    records[record.slice(0, equals)] = record.slice(equals + 1);
    offset += length;
  }
  return records;
}
