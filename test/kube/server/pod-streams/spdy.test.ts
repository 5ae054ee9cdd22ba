import assert from 'node:assert/strict';
import { duplexPair, type Duplex } from 'node:stream';
import { afterEach, describe, it } from 'node:test';
import { createInflate } from 'node:zlib';
import * as fc from 'fast-check';
import { SpdyConnection, type SpdyStream } from '../../../../src/kube/server/pod-streams/spdy/connection.ts';
import { dictionary } from '../../../../src/kube/server/pod-streams/spdy/dictionary.ts';
import { FrameReader, SpdyError, type Frame } from '../../../../src/kube/server/pod-streams/spdy/frames.ts';
import { HeaderReader, replyBlock } from '../../../../src/kube/server/pod-streams/spdy/headers.ts';
import {
  controlFrame,
  data,
  HeaderWriter,
  ping,
  Received,
  rstStream,
  synStream,
} from '../../../support/spdy-client.ts';
import { waitFor } from '../../../support/wait.ts';

const token = fc.stringMatching(/^[a-z0-9-]{1,30}$/);
const headerSets = fc.array(
  fc.array(fc.tuple(token, fc.string({ maxLength: 40, unit: 'binary-ascii' })), { maxLength: 8 }),
  { maxLength: 12 },
);

describe('SPDY header blocks', () => {
  it('the dictionary is that of SPDY/3.1', () => {
    assert.equal(dictionary.length, 1423);
    // Its Adler-32 checksum, which every zlib stream that uses it carries.
    assert.equal(replyBlock(true).readUInt32BE(2), 0xe3c6a7c2);
  });

  it('reads what clients compress, block after block', async () => {
    await fc.assert(
      fc.asyncProperty(headerSets, async (sets) => {
        const [writer, reader] = [new HeaderWriter(), new HeaderReader()];
        for (const set of sets) {
          const headers = new Map(set);
          assert.deepEqual(reader.read(await writer.block(headers)), headers);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('writes replies that decompress, the first and the others', async () => {
    const inflate = createInflate({ dictionary });
    const chunks: Buffer[] = [];
    inflate.on('data', (chunk: Buffer) => chunks.push(chunk));
    for (const isFirst of [true, false, false]) {
      await new Promise<void>((resolve) => inflate.write(replyBlock(isFirst), () => resolve()));
    }
    assert.deepEqual(Buffer.concat(chunks), Buffer.alloc(12));
  });

  it('refuses bombs and nonsense', async () => {
    const writer = new HeaderWriter();
    const bomb = await writer.block(new Map([['a', 'x'.repeat(20_000)]]));
    assert.throws(() => new HeaderReader().read(bomb), SpdyError);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          new HeaderReader().read(Buffer.from(bytes));
        } catch (error) {
          assert.ok(error instanceof SpdyError, String(error));
        }
      }),
    );
  });
});

/** Frames with the parts of data frames put together. */
function whole(frames: readonly Frame[]): unknown[] {
  const out: { stream?: number; bytes?: string; fin?: boolean; type: string }[] = [];
  let open: { bytes: string; stream: number } | undefined;
  for (const frame of frames) {
    if (frame.type !== 'data') {
      out.push({ ...frame, ...('headers' in frame ? { headers: frame.headers.toString('hex') } : {}) });
      continue;
    }
    const before = open?.stream === frame.stream ? open.bytes : '';
    open = { bytes: before + frame.bytes.toString('hex'), stream: frame.stream };
    out.push({ type: 'data', stream: frame.stream, bytes: open.bytes, fin: frame.fin });
  }
  return out.filter((frame, i) => {
    const next = out[i + 1];
    return !(frame.type === 'data' && next?.type === 'data' && next.stream === frame.stream);
  });
}

describe('SPDY frames', () => {
  const frame = fc.oneof(
    fc
      .tuple(fc.integer({ min: 1, max: 9 }), fc.uint8Array({ maxLength: 50 }))
      .map(([stream, bytes]) => data(stream, Buffer.from(bytes))),
    fc
      .tuple(fc.integer({ min: 1, max: 9 }), fc.uint8Array({ maxLength: 50 }))
      .map(([stream, bytes]) => synStream(stream, Buffer.from(bytes))),
    fc.integer({ min: 1, max: 9 }).map((stream) => rstStream(stream, 5)),
    fc.integer({ min: 1, max: 99 }).map((id) => ping(id)),
  );

  it('are the same however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(frame, { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 40 })),
        (frames, cuts) => {
          const bytes = Buffer.concat(frames);
          const once = [...new FrameReader().read(bytes)];
          const reader = new FrameReader();
          const many: Frame[] = [];
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const length = cuts[i % Math.max(1, cuts.length)] ?? 7;
            many.push(...reader.read(bytes.subarray(at, at + length)));
            at += length;
          }
          assert.deepEqual(whole(many), whole(once));
        },
      ),
    );
  });

  it('are refused when they are too long, or none', () => {
    const tooLong = controlFrame(1, Buffer.alloc(0));
    tooLong.writeUIntBE(70_000, 5, 3);
    assert.throws(() => [...new FrameReader().read(tooLong)], SpdyError);
    assert.throws(() => [...new FrameReader().read(Buffer.from('\x80GET / HTTP/1.1'))], SpdyError);
  });
});

describe('a SPDY connection', () => {
  const open: Duplex[] = [];
  afterEach(() => {
    for (const carrier of open.splice(0)) carrier.destroy();
  });

  function connect(onStream: (stream: SpdyStream) => void) {
    const [client, server] = duplexPair();
    open.push(client, server);
    const received = new Received(client);
    const state = { closed: false };
    const connection = new SpdyConnection(server, Buffer.alloc(0), {
      stream: onStream,
      closed: () => (state.closed = true),
    });
    return { client, server, received, connection, state, headers: new HeaderWriter() };
  }

  it('carries streams both ways, each to its own end', async () => {
    const { client, received, headers } = connect((stream) => stream.pipe(stream));
    for (const id of [1, 3])
      client.write(synStream(id, await headers.block(new Map([['streamtype', 'data']]))));
    client.write(data(1, Buffer.from('one ')));
    client.write(data(3, Buffer.from('three')));
    client.write(data(1, Buffer.from('more'), true));
    await waitFor('the echo of stream 1', () => received.finished.has(1));
    assert.deepEqual(received.accepted, [1, 3]);
    assert.equal(received.data.get(1)?.toString(), 'one more');
    assert.equal(received.data.get(3)?.toString(), 'three');
    assert.equal(received.finished.has(3), false);
  });

  it('answers pings, and sends large writes in parts', async () => {
    const bytes = Buffer.alloc(200_000, 'x');
    const { client, received, headers } = connect((stream) => stream.end(bytes));
    client.write(ping(7));
    client.write(synStream(1, await headers.block(new Map())));
    await waitFor('all of it', () => received.finished.has(1));
    assert.deepEqual(received.pings, [7]);
    assert.equal(received.data.get(1)?.equals(bytes), true);
  });

  it('takes no more than a stream that is not read can hold', async () => {
    let stalled: SpdyStream | undefined;
    const { client, headers, received } = connect((stream) => (stalled = stream));
    client.write(synStream(1, await headers.block(new Map())));
    let sent = 0;
    // As much as anybody takes: a write that is not taken within a turn of the loop waits for the reader.
    while (client.write(data(1, Buffer.alloc(16 * 1024))) && sent < 10_000_000) {
      sent += 16 * 1024;
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(sent < 1_000_000, `${sent} bytes were taken`);
    stalled?.resume();
    client.write(data(1, Buffer.alloc(0), true));
    await waitFor('the rest to be read', () => stalled?.readableEnded);
    client.write(ping(9));
    await waitFor('an answer', () => received.pings.includes(9));
  });

  it('tells the client of streams that are given up here, and forgets those that the client resets', async () => {
    const streams: SpdyStream[] = [];
    const { client, received, headers } = connect((stream) => streams.push(stream));
    for (const id of [1, 3]) client.write(synStream(id, await headers.block(new Map())));
    await waitFor('two streams', () => streams.length === 2);
    streams[0]?.destroy();
    await waitFor('a reset', () => received.reset.has(1));
    assert.equal(received.reset.get(1), 5);
    client.write(rstStream(3, 5));
    await waitFor('the end of stream 3', () => streams[1]?.destroyed);
    client.write(ping(1));
    await waitFor('an answer', () => received.pings.length > 0);
    assert.equal(received.reset.has(3), false);
  });

  it('refuses streams beyond a thousand, and lives', async () => {
    let count = 0;
    const { client, received, headers } = connect(() => count++);
    for (let i = 0; i < 1030; i++) client.write(synStream(2 * i + 1, await headers.block(new Map())));
    await waitFor('refusals', () => received.reset.size === 6);
    assert.equal(count, 1024);
    assert.deepEqual([...new Set(received.reset.values())], [3]);
  });

  it('ends when the client breaks the protocol', async () => {
    const wrong: ((headers: HeaderWriter) => Promise<Buffer>)[] = [
      async (headers) => synStream(2, await headers.block(new Map())),
      () => Promise.resolve(synStream(1, Buffer.from('no header block'))),
      () => Promise.resolve(Buffer.from('GET / HTTP/1.1\r\n\r\n'.replace('G', '\xff'), 'latin1')),
    ];
    for (const make of wrong) {
      const { client, received, state, headers } = connect(() => undefined);
      client.write(await make(headers));
      await waitFor('a farewell', () => received.goAway === 1);
      client.end();
      await waitFor('the end', () => state.closed);
    }
  });

  it('survives any bytes', async () => {
    const chunk = fc.oneof(
      fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
      fc
        .tuple(
          fc.integer({ min: 0, max: 12 }),
          fc.uint8Array({ maxLength: 40 }),
          fc.integer({ max: 1, min: 0 }),
        )
        .map(([type, payload, flags]) => controlFrame(type, Buffer.from(payload), flags)),
      fc
        .tuple(fc.integer({ min: 0, max: 5 }), fc.uint8Array({ maxLength: 40 }), fc.boolean())
        .map(([stream, bytes, fin]) => data(stream, Buffer.from(bytes), fin)),
      fc.constant('open' as const),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(chunk, { maxLength: 15 }), async (chunks) => {
        const { client, server, state, headers } = connect((stream) => stream.pipe(stream));
        let next = 1;
        for (const part of chunks) {
          if (part !== 'open') client.write(part);
          else {
            client.write(synStream(next, await headers.block(new Map([['streamtype', 'data']]))));
            next += 2;
          }
        }
        client.end();
        await new Promise((resolve) => setImmediate(resolve));
        client.destroy();
        server.destroy();
        await waitFor('the end', () => state.closed);
      }),
      { numRuns: 150 },
    );
  });
});
