import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import {
  HOST,
  RawClient,
  answering,
  eventually,
  get,
  ok,
  rawApp,
  routeTo,
  settle,
  startRig,
  statuses,
  transports,
} from './support.ts';

for (const transport of transports) {
  test(`${transport}: a request reaches the app with its headers and the answer comes back`, async () => {
    await using app = await rawApp(answering(() => ok('hello', 'X-App: 1\r\nKeep-Alive: timeout=5\r\n')));
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    client.write(get('/a/b?c=d', 'X-One: 1\r\nX-Two:  two \r\n'));
    const answer = await client.has('hello');
    assert.equal(answer, ok('hello', 'X-App: 1\r\n'));
    assert.equal(
      app.received[0],
      `GET /a/b?c=d HTTP/1.1\r\nHost: ${HOST}\r\nX-One: 1\r\nX-Two:  two \r\n` +
        'X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nForwarded: for=127.0.0.1;proto=http\r\n\r\n',
    );
  });

  test(`${transport}: connections on both sides are kept and used again`, async () => {
    await using app = await rawApp(answering((head) => ok(/^GET (\S+)/.exec(head)?.[1] ?? '')));
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    for (let i = 0; i < 20; i++) {
      client.write(get(`/n${i}`));
      await client.has(`/n${i}`);
    }
    assert.equal(app.sockets.length, 1);
    assert.equal(statuses(client.text).length, 20);
  });

  test(`${transport}: pipelined requests are answered in order`, async () => {
    await using app = await rawApp(answering((head, body) => ok(`${/^\S+ (\S+)/.exec(head)?.[1]}:${body};`)));
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    const post = `POST /p HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 3\r\n\r\nabc`;
    client.write(get('/1') + post + get('/2') + get('/nix').replace(HOST, 'unknown.example.com') + get('/3'));
    const text = await client.has('/3:;');
    assert.deepEqual(text.match(/\/\w+:\w*;/g), ['/1:;', '/p:abc;', '/2:;', '/3:;']);
    assert.deepEqual(statuses(text), [200, 200, 200, 404, 200]);
  });

  test(`${transport}: two pipelined requests and a half-closed connection: both are answered`, async () => {
    await using app = await rawApp(answering((head) => ok(/^\S+ (\S+)/.exec(head)?.[1] ?? '')));
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    client.socket.end(get('/first') + get('/second'));
    const text = await client.end();
    assert.deepEqual(statuses(text), [200, 200]);
    assert.match(text, /\/first[^]*\/second/);
  });

  test(`${transport}: chunked bodies pass, extensions are cut out and trailers filtered`, async () => {
    await using app = await rawApp((socket, all) => {
      if (!all.endsWith('\r\n\r\n') || !all.includes('\r\n0\r\n')) return;
      socket.write(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n',
      );
    });
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    client.write(
      `POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n` +
        '4;ext="1"\r\nwiki\r\n5\r\npedia\r\n0\r\nHost: evil\r\nX-Trailer: ok\r\n\r\n',
    );
    const text = await client.has('X-Sum: 1\r\n\r\n');
    assert.ok(text.endsWith('\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n'), text);
    assert.ok(
      app.received[0]?.endsWith('\r\n\r\n4\r\nwiki\r\n5\r\npedia\r\n0\r\nX-Trailer: ok\r\n\r\n'),
      app.received[0],
    );
    client.write(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`);
    await client.until(({ text: all }) => statuses(all).length === 2);
    assert.equal(app.sockets.length, 1, 'the connection was used again');
  });

  test(`${transport}: an HTTP/1.0 client gets plain data of a chunked answer and the end of the connection`, async () => {
    await using app = await rawApp(
      answering(
        () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n',
      ),
    );
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    client.write(`GET / HTTP/1.0\r\nHost: ${HOST}\r\n\r\n`);
    assert.equal(await client.end(), 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde');
    assert.match(app.received[0] ?? '', /^GET \/ HTTP\/1\.1\r\n/);
  });

  test(`${transport}: an HTTP/1.0 client that asks for it keeps its connection`, async () => {
    await using app = await rawApp(answering(() => ok('x')));
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    const request = `GET / HTTP/1.0\r\nHost: ${HOST}\r\nConnection: keep-alive\r\n\r\n`;
    client.write(request);
    assert.match(await client.has('\r\n\r\nx'), /Connection: keep-alive/);
    client.write(request);
    await client.until(({ text }) => statuses(text).length === 2);
  });

  test(`${transport}: HEAD, 204 and 304 have no body and keep the connection in step`, async () => {
    await using app = await rawApp(
      answering((head) => {
        if (head.startsWith('HEAD')) return 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n';
        if (head.includes('/204')) return 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n';
        if (head.includes('/304')) return 'HTTP/1.1 304 Not Modified\r\nContent-Length: 70\r\n\r\n';
        return ok('end');
      }),
    );
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    client.write(`HEAD / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n${get('/204')}${get('/304')}${get('/')}`);
    const text = await client.has('end');
    assert.equal(
      text,
      'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n' +
        `HTTP/1.1 304 Not Modified\r\nContent-Length: 70\r\n\r\n${ok('end')}`,
    );
    assert.equal(app.sockets.length, 1);
  });

  test(`${transport}: an answer without length ends with the connection`, async () => {
    await using app = await rawApp((socket) => {
      socket.end('HTTP/1.1 200 OK\r\n\r\nuntil the end');
    });
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    client.write(get());
    assert.equal(await client.end(), 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end');
    assert.equal(client.failed, undefined);
  });

  test(`${transport}: interim answers pass, 100 of the app is swallowed, 1.0 clients see none`, async () => {
    await using app = await rawApp(
      answering(
        () =>
          `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 P\r\n\r\n${ok('x')}`,
      ),
    );
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    client.write(get());
    const text = await client.has('\r\n\r\nx');
    assert.equal(text, `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 P\r\n\r\n${ok('x')}`);
    using old = new RawClient(rig.port);
    old.write(`GET / HTTP/1.0\r\nHost: ${HOST}\r\n\r\n`);
    assert.deepEqual(statuses(await old.end()), [200]);
  });

  test(`${transport}: Expect is answered by the gateway, and only once a pod is there`, async () => {
    await using app = await rawApp(answering((_head, body) => ok(`got ${body}`)));
    await using rig = await startRig(transport);
    routeTo(rig, []);
    using client = new RawClient(rig.port);
    client.write(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n`);
    await eventually(() => rig.wakes.length === 1, 'the wake-up');
    await settle();
    assert.equal(client.text, '', 'no 100 while the request waits');
    routeTo(rig, [app.port]);
    await client.has('100 Continue\r\n\r\n');
    client.write('body');
    assert.equal(await client.has('got body'), `HTTP/1.1 100 Continue\r\n\r\n${ok('got body')}`);
    assert.doesNotMatch(app.received[0] ?? '', /expect/i);
  });

  test(`${transport}: an early answer is delivered and the connection ends without a reset`, async () => {
    await using app = await rawApp((socket, all) => {
      if (all.includes('\r\n\r\n')) socket.write('HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!');
      socket.pause();
    });
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    client.write(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 10000000\r\n\r\n`);
    client.socket.write(Buffer.alloc(300_000));
    const text = await client.end();
    assert.match(text, /^HTTP\/1\.1 413[^]*Connection: close[^]*no!$/);
    assert.equal(client.failed, undefined);
    client.socket.write(Buffer.alloc(100_000));
    // The pod's connection was not clean and must not carry the next request.
    using next = new RawClient(rig.port);
    next.write(get());
    await next.has('no!');
    assert.equal(app.sockets.length, 2);
  });

  test(`${transport}: hop-by-hop and nominated fields stay here, internal ones cannot be sent in`, async () => {
    await using app = await rawApp(
      answering(() => ok('x', 'Connection: X-Back\r\nX-Back: 1\r\nX-Fine: 2\r\n')),
    );
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    client.write(
      get(
        '/',
        'Connection: keep-alive, X-Secret, Host, Content-Length\r\nX-Secret: 1\r\nKeep-Alive: 3\r\nTE: trailers\r\n' +
          'Proxy-Connection: x\r\nProxy-Authorization: y\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n' +
          'K-Proxy-Request: activator\r\nK-Original-Host: z\r\nKnative-Serving-Revision: r\r\n' +
          'Knative-Serving-Namespace: n\r\nK-Network-Hash: h\r\nX-Kept: yes\r\n',
      ),
    );
    const text = await client.has('\r\n\r\nx');
    assert.equal(text, ok('x', 'X-Fine: 2\r\n'));
    assert.equal(
      app.received[0],
      `GET / HTTP/1.1\r\nHost: ${HOST}\r\nX-Kept: yes\r\nX-Forwarded-For: 127.0.0.1\r\n` +
        'X-Forwarded-Proto: http\r\nForwarded: for=127.0.0.1;proto=http\r\n\r\n',
    );
  });

  test(`${transport}: the authority of an absolute target wins over Host`, async () => {
    await using app = await rawApp(answering(() => ok('x')));
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    client.write(`GET http://${HOST}/path?q HTTP/1.1\r\nHost: other.example.com\r\n\r\n`);
    await client.has('\r\n\r\nx');
    assert.match(app.received[0] ?? '', new RegExp(`^GET /path\\?q HTTP/1\\.1\r\nHost: ${HOST}\r\n`));
    assert.doesNotMatch(app.received[0] ?? '', /other/);
    client.write(`GET http://unknown.example.com/ HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    await client.has('404');
  });

  test(`${transport}: a chain of proxies is extended`, async () => {
    await using app = await rawApp(answering(() => ok('x')));
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    client.write(
      get(
        '/',
        'X-Forwarded-For: 10.0.0.1, 2001:db8::1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a.b\r\n',
      ),
    );
    await client.has('\r\n\r\nx');
    assert.match(app.received[0] ?? '', /X-Forwarded-For: 10\.0\.0\.1, 2001:db8::1, 127\.0\.0\.1\r\n/);
    assert.match(app.received[0] ?? '', /X-Forwarded-Proto: https\r\n/);
    assert.match(
      app.received[0] ?? '',
      /Forwarded: for=10\.0\.0\.1;host=a\.b;proto=https, for="\[2001:db8::1\]", for=127\.0\.0\.1\r\n/,
    );
    assert.equal(app.received[0]?.match(/x-forwarded-for/gi)?.length, 1);
  });

  test(`${transport}: WebSocket passes in both directions, bytes behind the request included`, async () => {
    await using app = await rawApp(
      (socket, all) => {
        const end = all.indexOf('\r\n\r\n');
        if (end >= 0 && socket.bytesWritten === 0) {
          socket.write(
            'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
          );
        }
        socket.write(all.slice(-5));
      },
      { allowHalfOpen: true },
    );
    const clock = new ManualClock();
    await using rig = await startRig(transport, { clock });
    routeTo(rig, [app.port], { timeoutMs: 50, idleTimeoutMs: 50, responseStartTimeoutMs: 50 });
    using client = new RawClient(rig.port);
    client.write(get('/', 'Connection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k\r\n') + 'early');
    const text = await client.has('early');
    assert.match(
      text,
      /^HTTP\/1\.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n/,
    );
    assert.match(app.received[0] ?? '', /Connection: Upgrade\r\nUpgrade: websocket\r\n/);
    clock.advance(24 * 3_600_000);
    client.write('later');
    await client.has('later');
    assert.equal(rig.engine.backends.get('default/app-00001')?.inFlight, 1);
    client.socket.end();
    await eventually(() => app.sockets[0]?.readableEnded === true, 'the end at the app');
    app.sockets[0]?.end('bye');
    await client.has('bye');
    await client.end();
    await eventually(
      () => rig.engine.backends.get('default/app-00001')?.inFlight === 0,
      'the end of the tunnel',
    );
  });

  test(`${transport}: a refused upgrade is an ordinary answer, and what came behind the next request`, async () => {
    await using app = await rawApp(answering((head) => ok(/^\S+ (\S+)/.exec(head)?.[1] ?? '')));
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    client.write(get('/ws', 'Connection: Upgrade\r\nUpgrade: websocket\r\n') + get('/next'));
    assert.match(await client.has('/next'), /\/ws[^]*\/next/);
  });
}
