/** The client's end of a SPDY/3.1 connection, as far as tests of the server's need one. */
import type { Duplex } from 'node:stream';
import { constants, createDeflate, type Deflate } from 'node:zlib';
import { dictionary } from '../../src/kube/server/pod-streams/spdy/dictionary.ts';
import { dataHead } from '../../src/kube/server/pod-streams/spdy/frames.ts';

/** Compresses header blocks of one direction as clients do: one zlib stream, flushed after each. */
export class HeaderWriter {
  readonly #deflate: Deflate = createDeflate({ dictionary, flush: constants.Z_SYNC_FLUSH });
  #out: Buffer[] = [];

  constructor() {
    this.#deflate.on('data', (chunk: Buffer) => this.#out.push(chunk));
  }

  async block(headers: ReadonlyMap<string, string>): Promise<Buffer> {
    const parts: Buffer[] = [number(headers.size)];
    for (const text of [...headers].flat()) {
      const bytes = Buffer.from(text, 'latin1');
      parts.push(number(bytes.length), bytes);
    }
    await new Promise<void>((resolve, reject) => {
      this.#deflate.write(Buffer.concat(parts), (error) => (error ? reject(error) : resolve()));
    });
    const block = Buffer.concat(this.#out);
    this.#out = [];
    return block;
  }
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A control frame of any type. */
export function controlFrame(type: number, payload: Buffer, flags = 0): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16BE(0x8003);
  head.writeUInt16BE(type, 2);
  head[4] = flags;
  head.writeUIntBE(payload.length, 5, 3);
  return Buffer.concat([head, payload]);
}

export function synStream(stream: number, headers: Buffer, fin = false): Buffer {
  return controlFrame(1, Buffer.concat([number(stream), Buffer.alloc(6), headers]), fin ? 1 : 0);
}

export function rstStream(stream: number, code: number): Buffer {
  return controlFrame(3, Buffer.concat([number(stream), number(code)]));
}

export function ping(id: number): Buffer {
  return controlFrame(6, number(id));
}

export function data(stream: number, bytes: Buffer, fin = false): Buffer {
  return Buffer.concat([dataHead(stream, bytes.length, fin), bytes]);
}

/** What the server sent: whole frames, data by stream. */
export class Received {
  readonly types: number[] = [];
  readonly pings: number[] = [];
  /** Streams that were accepted, and those that were reset with the code. */
  readonly accepted: number[] = [];
  readonly reset = new Map<number, number>();
  readonly data = new Map<number, Buffer>();
  readonly finished = new Set<number>();
  goAway: number | undefined;
  #kept = Buffer.alloc(0);

  constructor(carrier: Duplex) {
    carrier.on('data', (chunk: Buffer) => this.#read(chunk));
  }

  #read(chunk: Buffer): void {
    let bytes = Buffer.concat([this.#kept, chunk]);
    while (bytes.length >= 8) {
      const length = bytes.readUIntBE(5, 3);
      if (bytes.length < 8 + length) break;
      this.#frame(bytes, bytes.subarray(8, 8 + length));
      bytes = bytes.subarray(8 + length);
    }
    this.#kept = bytes;
  }

  #frame(head: Buffer, payload: Buffer): void {
    const first = head.readUInt32BE(0);
    if ((first & 0x80000000) === 0) {
      this.data.set(first, Buffer.concat([this.data.get(first) ?? Buffer.alloc(0), payload]));
      if (((head[4] ?? 0) & 1) !== 0) this.finished.add(first);
      return;
    }
    const type = head.readUInt16BE(2);
    this.types.push(type);
    if (type === 2) this.accepted.push(payload.readUInt32BE(0));
    if (type === 3) this.reset.set(payload.readUInt32BE(0), payload.readUInt32BE(4));
    if (type === 6) this.pings.push(payload.readUInt32BE(0));
    if (type === 7) this.goAway = payload.readUInt32BE(4);
  }
}
