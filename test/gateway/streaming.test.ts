import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createServer, request, type IncomingMessage, type Server } from 'node:http';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  HOST,
  RawClient,
  answering,
  eventually,
  get,
  listening,
  ok,
  rawApp,
  routeTo,
  settle,
  startRig,
  transports,
} from './support.ts';

const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Collects a body with pauses, so that buffers on the way fill up. */
async function slowSha(message: IncomingMessage, everyBytes: number): Promise<string> {
  const hash = createHash('sha256');
  let since = 0;
  for await (const part of message as AsyncIterable<Buffer>) {
    hash.update(part);
    since += part.length;
    if (since < everyBytes) continue;
    since = 0;
    await settle(3);
  }
  return hash.digest('hex');
}

/** Answers with the digest of what it read, and with `size` random bytes whose digest is in a header. */
function bodyApp(): Server {
  return createServer((incoming, response) => {
    void (async () => {
      const digest = await slowSha(incoming, 200_000);
      const body = randomBytes(Number(incoming.headers['x-size'] ?? 0));
      response.setHeader('x-read', digest);
      response.setHeader('x-sha', sha(body));
      if (incoming.headers['x-chunked']) {
        Readable.from(pieces(body)).pipe(response);
      } else {
        response.setHeader('content-length', body.length);
        response.end(body);
      }
    })();
  });
}

function* pieces(body: Buffer): Generator<Buffer> {
  for (let i = 0; i < body.length; i += 70_001) yield body.subarray(i, i + 70_001);
}

interface Exchange {
  up: number;
  down: number;
  chunkedUp: boolean;
  chunkedDown: boolean;
  slow: boolean;
}

/** One request with random bytes both ways; throws when a digest differs. */
async function exchange(port: number, { up, down, chunkedUp, chunkedDown, slow }: Exchange): Promise<void> {
  const body = randomBytes(up);
  const outgoing = request({
    host: '127.0.0.1',
    port,
    method: 'POST',
    headers: {
      host: HOST,
      'x-size': down,
      ...(chunkedDown ? { 'x-chunked': '1' } : {}),
      ...(chunkedUp ? {} : { 'content-length': up }),
    },
  });
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    outgoing.once('response', resolve);
    outgoing.once('error', reject);
  });
  if (chunkedUp) Readable.from(pieces(body)).pipe(outgoing);
  else outgoing.end(body);
  const message = await answer;
  const digest = await slowSha(message, slow ? 100_000 : Infinity);
  assert.equal(message.statusCode, 200);
  assert.equal(message.headers['x-read'], sha(body), 'what the app read');
  assert.equal(digest, message.headers['x-sha'], 'what the client read');
}

for (const transport of transports) {
  test(`${transport}: bodies of any size pass both ways unharmed, many at once, with slow readers`, async () => {
    const server = bodyApp();
    const port = await listening(server);
    await using rig = await startRig(transport);
    routeTo(rig, [port]);
    const sizes = [0, 1, 1000, 4000, 5000, 64_000, 70_000, 300_000, 3_000_000];
    const all: Exchange[] = [];
    for (const size of sizes) {
      for (const chunked of [false, true]) {
        all.push({ up: size, down: 10, chunkedUp: chunked, chunkedDown: false, slow: false });
        all.push({ up: 10, down: size, chunkedUp: false, chunkedDown: chunked, slow: true });
        all.push({ up: size, down: size, chunkedUp: chunked, chunkedDown: chunked, slow: chunked });
      }
    }
    await Promise.all(all.map((one) => exchange(rig.port, one)));
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  test(`${transport}: a client that does not read stops the app, in bounded memory`, async () => {
    const block = Buffer.alloc(1_000_000, 'x');
    const total = 300;
    let written = 0;
    await using app = await rawApp((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total * block.length}\r\n\r\n`);
      const more = (): void => {
        while (written < total) {
          written++;
          if (!socket.write(block)) {
            socket.once('drain', more);
            return;
          }
        }
      };
      more();
    });
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    const socket = connect(rig.port, '127.0.0.1');
    socket.write(get());
    let read = 0;
    await new Promise<void>((resolve) => {
      socket.once('data', (bytes: Buffer) => {
        read += bytes.length;
        socket.pause();
        resolve();
      });
    });
    // The app comes to a stop long before all is written.
    let before = -1;
    while (before !== written) {
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.ok(written < total / 3, `${written} MB were taken from the app`);
    await new Promise<void>((resolve) => {
      socket.on('data', (bytes: Buffer) => {
        read += bytes.length;
        if (read > total * block.length) resolve();
      });
      socket.resume();
    });
    socket.destroy();
  });

  test(`${transport}: an app that does not read stops the client`, async () => {
    let stopped = false;
    await using app = await rawApp((socket) => {
      if (!stopped) socket.pause();
      stopped = true;
    });
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    const socket = connect(rig.port, '127.0.0.1');
    const total = 300_000_000;
    socket.write(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: ${total}\r\n\r\n`);
    const block = Buffer.alloc(1_000_000);
    let written = 0;
    const more = (): void => {
      while (written < total) {
        written += block.length;
        if (!socket.write(block)) {
          socket.once('drain', more);
          return;
        }
      }
    };
    more();
    let before = -1;
    while (before !== written) {
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.ok(written < total / 3, `${written} bytes were taken from the client`);
    // While nothing moves nobody looks at the client; the timeouts would end this. Here the app reads on.
    socket.destroy();
    app.sockets[0]?.resume();
    await eventually(() => rig.engine.backends.get('default/app-00001')?.account.current === 0, 'the abort');
  });

  test(`${transport}: a stream of events passes each event at once`, async () => {
    await using app = await rawApp((socket) => {
      socket.write(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n',
      );
    });
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    client.write(get());
    await client.has('\r\n\r\n');
    for (let i = 0; i < 5; i++) {
      app.sockets[0]?.write(`8\r\ndata: ${i}\n\r\n`);
      await client.has(`data: ${i}\n`);
    }
    app.sockets[0]?.write('0\r\n\r\n');
    await client.has('0\r\n\r\n');
  });

  test(`${transport}: wherever requests and answers are split, the same comes out`, async () => {
    const answer =
      'HTTP/1.1 103 Early\r\n\r\n' +
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nX-T: 1\r\nHost: x\r\n\r\n';
    let cuts: number[] = [];
    const send = async (write: (part: string) => void, text: string): Promise<void> => {
      let from = 0;
      for (const cut of [...cuts.map((cut) => cut % text.length), text.length].sort((a, b) => a - b)) {
        if (cut > from) write(text.slice(from, cut));
        from = Math.max(from, cut);
        await settle(2);
      }
    };
    await using app = await rawApp((socket, all) => {
      if (!all.endsWith('0\r\n\r\n')) return;
      void send((part) => socket.write(part), answer);
    });
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    const post = `POST /x HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n3;e\r\nabc\r\n0\r\nHost: y\r\n\r\n`;
    const seen: string[] = [];
    const run = async (at: number[]): Promise<void> => {
      cuts = at;
      using client = new RawClient(rig.port);
      await send((part) => client.write(part), post);
      await client.has('X-T: 1\r\n\r\n');
      seen.push(client.text);
    };
    for (let cut = 1; cut < post.length; cut++) await run([cut]);
    await fc.assert(fc.asyncProperty(fc.array(fc.nat(500), { maxLength: 12 }), run), { numRuns: 40 });
    assert.equal(new Set(seen).size, 1, [...new Set(seen)].join('\n---\n'));
    const requests = app.received.join('').split('POST ').slice(1);
    assert.equal(new Set(requests).size, 1, [...new Set(requests)].join('\n---\n'));
    assert.match(requests[0] ?? '', /3\r\nabc\r\n0\r\n\r\n$/);
  });

  test(`${transport}: random bytes from clients and apps never harm others`, async () => {
    let garbage: Buffer = Buffer.alloc(0);
    await using app = await rawApp(
      answering((head, _body, socket) => {
        if (head.startsWith('GET /good')) return ok('good');
        socket.end(garbage);
        return undefined;
      }),
    );
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    const piece = fc.oneof(
      fc.constantFrom(
        'HTTP/1.1 200 OK\r\n',
        'Content-Length: 5\r\n',
        'Transfer-Encoding: chunked\r\n',
        '\r\n',
        '5\r\nabcde\r\n',
      ),
      fc.constantFrom(
        `Host: ${HOST}\r\n`,
        'GET / HTTP/1.1\r\n',
        'POST / HTTP/1.1\r\n',
        'Connection: upgrade\r\nUpgrade: websocket\r\n',
      ),
      fc.string({ unit: 'binary', maxLength: 8 }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { maxLength: 8 }),
        fc.array(piece, { maxLength: 8 }),
        async (fromClient, fromApp) => {
          garbage = Buffer.from(fromApp.join(''), 'latin1');
          using bad = new RawClient(rig.port);
          bad.socket.end(Buffer.from(fromClient.join(''), 'latin1'));
          using victim = new RawClient(rig.port);
          victim.write(get('/bad'));
          using good = new RawClient(rig.port);
          good.write(get('/good'));
          assert.equal(await good.has('\r\n\r\ngood'), ok('good'));
        },
      ),
      { numRuns: 150 },
    );
  });
}
