import assert from 'node:assert/strict';
import { test } from 'node:test';
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
  test(`${transport}: a client that breaks off frees the slot and the pod's connection`, async () => {
    await using app = await rawApp(() => {});
    await using rig = await startRig(transport);
    routeTo(rig, [app.port], { containerConcurrency: 1 });
    const backend = rig.engine.backends.get('default/app-00001');
    using client = new RawClient(rig.port);
    client.write(get());
    await eventually(() => app.received[0] !== undefined && app.received[0] !== '', 'the request at the app');
    using second = new RawClient(rig.port);
    second.write(get('/second'));
    await eventually(() => backend?.queuedCount === 1, 'the second request waits');
    client.socket.resetAndDestroy();
    await eventually(
      () => app.received.length === 2 && (app.received[1] ?? '').includes('/second'),
      'the freed slot',
    );
    await eventually(() => app.sockets[0]?.destroyed === true, 'the end of the first connection');
    second.socket.resetAndDestroy();
    await eventually(() => backend?.account.current === 0, 'the account');
  });

  test(`${transport}: a client that breaks off while it waits leaves the queue`, async () => {
    await using rig = await startRig(transport);
    routeTo(rig, []);
    const backend = rig.engine.backends.get('default/app-00001');
    using client = new RawClient(rig.port);
    client.write(get());
    await eventually(() => backend?.queuedCount === 1, 'the request waits');
    client.socket.resetAndDestroy();
    await eventually(() => backend?.queuedCount === 0 && backend.account.current === 0, 'the empty queue');
  });

  test(`${transport}: half a request and the end of the client is an abort`, async () => {
    await using app = await rawApp(() => {}, { allowHalfOpen: true });
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    client.write(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 10\r\n\r\nabc`);
    await eventually(() => (app.received[0] ?? '').endsWith('abc'), 'the part at the app');
    client.socket.end();
    await eventually(
      () => app.sockets[0]?.readableEnded === true || app.sockets[0]?.destroyed === true,
      'the abort',
    );
    await eventually(
      () => rig.engine.backends.get('default/app-00001')?.account.current === 0,
      'the account',
    );
  });

  test(`${transport}: bytes behind an answer poison the pod's connection`, async () => {
    await using app = await rawApp(
      answering(() => `${ok('a')}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`),
    );
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    for (let i = 1; i <= 3; i++) {
      client.write(get());
      await client.until(({ text }) => statuses(text).length === i);
    }
    await settle();
    assert.doesNotMatch(client.text, /evil/);
    assert.equal(app.sockets.length, 3);
  });

  test(`${transport}: what the app answers wrongly is 502 with a code`, async () => {
    const cases: Record<string, string> = {
      '/tls': '\x15\x03\x01\x00\x02\x02\x46',
      '/both': 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      '/twice': 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc',
      '/lf': 'HTTP/1.1 200 OK\nContent-Length: 0\n\n',
      '/101': 'HTTP/1.1 101 Switching Protocols\r\n\r\n',
      '/chunk': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
      '/te': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n',
      '/interim': 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(30),
    };
    await using app = await rawApp(answering((head) => cases[/^\S+ (\S+)/.exec(head)?.[1] ?? '']));
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    for (const path of Object.keys(cases)) {
      using client = new RawClient(rig.port);
      client.write(get(path, 'Accept: application/json\r\n'));
      const text = await client.has('"code"');
      assert.match(text, /HTTP\/1\.1 502 Bad Gateway\r\n/, path);
      assert.match(text, /X-Knapsack-Error: GATEWAY_UPSTREAM_MALFORMED\r\n/, path);
    }
  });

  test(`${transport}: a truncated answer shows as a broken connection`, async () => {
    await using app = await rawApp((socket) => {
      socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab');
    });
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    client.write(get());
    await client.until((c) => c.closed, 'the end');
    assert.match(client.failed ?? '', /ECONNRESET/);
  });

  test(`${transport}: a lost connection is tried again for GET and not for POST`, async () => {
    let seen = 0;
    await using app = await rawApp((socket) => {
      seen++;
      if (seen === 1 || seen === 3) socket.destroy();
      else socket.write(ok('second try'));
    });
    await using rig = await startRig(transport);
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    client.write(get());
    await client.has('second try');
    using post = new RawClient(rig.port);
    post.write(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 1\r\n\r\nx`);
    const text = await post.has('GATEWAY_UPSTREAM_BROKEN');
    assert.match(text, /^HTTP\/1\.1 502/);
    assert.equal(seen, 3);
  });
}
