/** Frames of SPDY/3.1 (sections 2.2 and 2.6), as far as Kubernetes clients use them. Pure. */

/** The peer broke the protocol: its connection ends. */
export class SpdyError extends Error {
  override name = 'SpdyError';
}

export type Frame =
  /** A part of a data frame; `fin` with the last part of a frame that ends its stream. */
  | { readonly type: 'data'; readonly stream: number; readonly bytes: Buffer; readonly fin: boolean }
  | { readonly type: 'syn-stream'; readonly stream: number; readonly fin: boolean; readonly headers: Buffer }
  | { readonly type: 'rst-stream'; readonly stream: number }
  | { readonly type: 'headers'; readonly stream: number; readonly fin: boolean; readonly headers: Buffer }
  | { readonly type: 'ping'; readonly id: number }
  | { readonly type: 'goaway' }
  /** Settings, window updates and what we do not know. */
  | { readonly type: 'other' };

const headBytes = 8;
const version = 3;
/** Control frames are kept until they are complete, so they are bounded; data passes through in parts. */
const maxControlBytes = 64 * 1024;
const finFlag = 0x01;

const types = { synStream: 1, synReply: 2, rstStream: 3, ping: 6, goAway: 7, headers: 8 } as const;

/** Status codes of RST_STREAM. */
export const resetCodes = { protocolError: 1, refusedStream: 3, cancel: 5 } as const;

/** Cuts a byte stream into frames. */
export class FrameReader {
  /** The head of the next frame, or a control frame that is not complete. */
  #kept: Buffer = Buffer.alloc(0);
  /** The data frame whose bytes are passing. */
  #data: { stream: number; left: number; fin: boolean } | undefined;

  /** The frames that `chunk` completes. Throws {@link SpdyError}. */
  *read(chunk: Buffer): Generator<Frame> {
    let bytes = this.#kept.length > 0 ? Buffer.concat([this.#kept, chunk]) : chunk;
    this.#kept = Buffer.alloc(0);
    for (;;) {
      if (this.#data) {
        if (bytes.length === 0 && this.#data.left > 0) return;
        const part = bytes.subarray(0, this.#data.left);
        bytes = bytes.subarray(part.length);
        yield this.#passed(this.#data, part);
        continue;
      }
      if (bytes.length < headBytes) break;
      const length = bytes.readUIntBE(5, 3);
      if (((bytes[0] ?? 0) & 0x80) === 0) {
        const stream = bytes.readUInt32BE(0);
        this.#data = { stream, left: length, fin: ((bytes[4] ?? 0) & finFlag) !== 0 };
        bytes = bytes.subarray(headBytes);
        continue;
      }
      if (length > maxControlBytes) throw new SpdyError('a control frame is too long');
      if ((bytes.readUInt16BE(0) & 0x7fff) !== version) throw new SpdyError('not SPDY version 3');
      if (bytes.length < headBytes + length) break;
      const payload = bytes.subarray(headBytes, headBytes + length);
      yield control(bytes.readUInt16BE(2), bytes[4] ?? 0, payload);
      bytes = bytes.subarray(headBytes + length);
    }
    // A copy, so that a few bytes do not hold on to a whole chunk.
    this.#kept = Buffer.from(bytes);
  }

  #passed(data: { stream: number; left: number; fin: boolean }, bytes: Buffer): Frame {
    data.left -= bytes.length;
    const isLast = data.left === 0;
    if (isLast) this.#data = undefined;
    return { type: 'data', stream: data.stream, bytes, fin: isLast && data.fin };
  }
}

function control(type: number, flags: number, payload: Buffer): Frame {
  const fin = (flags & finFlag) !== 0;
  const number = (): number => {
    if (payload.length < 4) throw new SpdyError('a control frame ends too early');
    return payload.readUInt32BE(0);
  };
  const stream = (): number => number() & 0x7fffffff;
  switch (type) {
    case types.synStream:
      // Stream, associated stream, priority and slot come before the headers.
      if (payload.length < 10) throw new SpdyError('a control frame ends too early');
      return { type: 'syn-stream', stream: stream(), fin, headers: payload.subarray(10) };
    case types.headers:
      return { type: 'headers', stream: stream(), fin, headers: payload.subarray(4) };
    case types.rstStream:
      return { type: 'rst-stream', stream: stream() };
    case types.ping:
      return { type: 'ping', id: number() };
    case types.goAway:
      return { type: 'goaway' };
    default:
      return { type: 'other' };
  }
}

function controlFrame(type: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(headBytes);
  head.writeUInt16BE(0x8000 | version, 0);
  head.writeUInt16BE(type, 2);
  head.writeUIntBE(payload.length, 5, 3);
  return Buffer.concat([head, payload]);
}

function numbers(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeUInt32BE(value, 4 * i));
  return bytes;
}

/** Accepts a stream. */
export function synReplyFrame(stream: number, headers: Buffer): Buffer {
  return controlFrame(types.synReply, Buffer.concat([numbers(stream), headers]));
}

/** `code`: one of {@link resetCodes}. */
export function rstStreamFrame(stream: number, code: number): Buffer {
  return controlFrame(types.rstStream, numbers(stream, code));
}

/** Also the answer to one. */
export function pingFrame(id: number): Buffer {
  return controlFrame(types.ping, numbers(id));
}

/** `lastStream`: the newest one that was accepted; `code` 0: nothing is wrong, 1: protocol error. */
export function goAwayFrame(lastStream: number, code: 0 | 1): Buffer {
  return controlFrame(types.goAway, numbers(lastStream, code));
}

/** The head of a data frame of up to 2^24 - 1 bytes. */
export function dataHead(stream: number, length: number, fin: boolean): Buffer {
  const head = Buffer.alloc(headBytes);
  head.writeUInt32BE(stream, 0);
  head[4] = fin ? finFlag : 0;
  head.writeUIntBE(length, 5, 3);
  return head;
}
