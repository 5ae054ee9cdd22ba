/** Header blocks of SPDY/3.1: names and values, compressed with one zlib stream per direction. */
import { constants, inflateRawSync } from 'node:zlib';
import { dictionary } from './dictionary.ts';
import { SpdyError } from './frames.ts';

/** What a block may hold when decompressed, bytes; the ones of Kubernetes clients have some hundred. */
const maxBlockBytes = 16 * 1024;
const maxHeaders = 64;
/** How far back deflate refers (RFC 1951). */
const windowBytes = 32 * 1024;
/** CMF, FLG with FDICT, and the identifier of the dictionary (RFC 1950). */
const preambleBytes = 6;

/**
 * Decompresses the blocks of one direction, in their order. Every block ends at a byte boundary (a sync flush), so what
 * was decompressed before, given as a dictionary, is all the state that the next one needs.
 */
export class HeaderReader {
  #window: Buffer | undefined;

  /** Names in lower case. Throws {@link SpdyError} for what is no header block. */
  read(block: Buffer): Map<string, string> {
    const compressed = this.#window ? block : block.subarray(preambleBytes);
    let plain: Buffer;
    try {
      plain = inflateRawSync(compressed, {
        dictionary: this.#window ?? dictionary,
        finishFlush: constants.Z_SYNC_FLUSH,
        maxOutputLength: maxBlockBytes,
      });
    } catch (error) {
      throw new SpdyError('a header block cannot be decompressed', { cause: error });
    }
    this.#window = Buffer.concat([this.#window ?? dictionary, plain]).subarray(-windowBytes);
    return parse(plain);
  }
}

function parse(block: Buffer): Map<string, string> {
  let at = 0;
  const number = (): number => {
    if (at + 4 > block.length) throw new SpdyError('a header block ends too early');
    at += 4;
    return block.readUInt32BE(at - 4);
  };
  const text = (): string => {
    const length = number();
    if (length > block.length - at) throw new SpdyError('a header block ends too early');
    at += length;
    return block.toString('latin1', at - length, at);
  };
  const headers = new Map<string, string>();
  const count = number();
  if (count > maxHeaders) throw new SpdyError('a header block has too many headers');
  for (let i = 0; i < count; i++) {
    const name = text().toLowerCase();
    headers.set(name, text());
  }
  return headers;
}

/** A block without headers: the number 0 in a stored block of deflate. */
const emptyBlock = Buffer.from([0, 4, 0, 0xfb, 0xff, 0, 0, 0, 0]);
/** Go's decompressor hands out what it has only when it meets an empty stored block. */
const flush = Buffer.from([0, 0, 0, 0xff, 0xff]);

/**
 * The compressed blocks of replies, which have no headers. Stored blocks refer to nothing before them, so there is no
 * compressor to keep; the first one of a connection opens the zlib stream.
 */
export function replyBlock(isFirst: boolean): Buffer {
  return Buffer.concat([...(isFirst ? [preamble()] : []), emptyBlock, flush]);
}

function preamble(): Buffer {
  const bytes = Buffer.alloc(preambleBytes);
  bytes.writeUInt16BE(0x78bb);
  bytes.writeUInt32BE(adler32(dictionary), 2);
  return bytes;
}

/** RFC 1950, section 9. */
function adler32(bytes: Buffer): number {
  let a = 1;
  let b = 0;
  for (const byte of bytes) {
    a = (a + byte) % 65_521;
    b = (b + a) % 65_521;
  }
  return ((b << 16) | a) >>> 0;
}
