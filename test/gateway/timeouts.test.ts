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
  test(`${transport}: an app that does not begin to answer is 504 after the response-start timeout`, async () => {
    const clock = new ManualClock();
    await using app = await rawApp(() => {});
    await using rig = await startRig(transport, { clock });
    routeTo(rig, [app.port], { responseStartTimeoutMs: 1000, timeoutMs: 5000 });
    using client = new RawClient(rig.port);
    client.write(get());
    await eventually(() => (app.received[0] ?? '') !== '', 'the request at the app');
    clock.advance(900);
    await settle();
    assert.equal(client.text, '');
    clock.advance(150);
    assert.match(await client.has('GATEWAY_RESPONSE_START_TIMEOUT'), /^HTTP\/1\.1 504/);
    await eventually(() => app.sockets[0]?.destroyed === true, 'the end of the connection to the app');
    // The client's connection is in step and serves on.
    client.write(get('/nix').replace(HOST, 'nobody'));
    await client.has('404');
  });

  test(`${transport}: the idle timeout starts anew with every byte, the total one does not`, async () => {
    const clock = new ManualClock();
    await using app = await rawApp((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n.');
    });
    await using rig = await startRig(transport, { clock });
    routeTo(rig, [app.port], { idleTimeoutMs: 1000, timeoutMs: 5000 });
    using client = new RawClient(rig.port);
    client.write(get());
    await client.until((c) => c.text.endsWith('.'));
    for (let i = 1; i <= 5; i++) {
      clock.advance(900);
      app.sockets[0]?.write('.');
      await client.until((c) => c.text.endsWith('.'.repeat(i + 1)));
    }
    assert.equal(client.closed, false);
    clock.advance(600);
    await client.until((c) => c.closed, 'the break');

    using idle = new RawClient(rig.port);
    idle.write(get());
    await idle.until((c) => c.text.endsWith('.'));
    clock.advance(1050);
    await idle.until((c) => c.closed, 'the break');
  });

  test(`${transport}: the total timeout before the answer is 504`, async () => {
    const clock = new ManualClock();
    await using app = await rawApp(() => {});
    await using rig = await startRig(transport, { clock });
    routeTo(rig, [app.port], { timeoutMs: 3000 });
    using client = new RawClient(rig.port);
    client.write(get());
    await eventually(() => (app.received[0] ?? '') !== '', 'the request at the app');
    clock.advance(3050);
    assert.match(await client.has('GATEWAY_REQUEST_TIMEOUT'), /^HTTP\/1\.1 504/);
  });

  test(`${transport}: a client that stalls in its body is 408`, async () => {
    const clock = new ManualClock();
    await using app = await rawApp(() => {});
    await using rig = await startRig(transport, { clock });
    routeTo(rig, [app.port], { idleTimeoutMs: 1000 });
    using client = new RawClient(rig.port);
    client.write(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 10\r\n\r\nabc`);
    await eventually(() => (app.received[0] ?? '').endsWith('abc'), 'the part at the app');
    clock.advance(1050);
    assert.match(await client.end(), /^HTTP\/1\.1 408[^]*GATEWAY_REQUEST_SLOW/);
  });

  test(`${transport}: a slow head is 408, an empty connection just ends, a resting one is kept longer`, async () => {
    const clock = new ManualClock();
    await using app = await rawApp(answering(() => ok('x')));
    await using rig = await startRig(transport, { clock });
    routeTo(rig, [app.port]);
    using slow = new RawClient(rig.port);
    using empty = new RawClient(rig.port);
    using resting = new RawClient(rig.port);
    resting.write(get());
    await resting.has('\r\n\r\nx');
    slow.write('GET / HT');
    await settle();
    clock.advance(8000);
    slow.write('TP/1.1\r\nHost:');
    await settle();
    clock.advance(8000);
    assert.match(await slow.end(), /^HTTP\/1\.1 408[^]*GATEWAY_REQUEST_SLOW/);
    assert.equal(await empty.end(), '');
    resting.write(get());
    await resting.until(({ text }) => statuses(text).length === 2);
    clock.advance(61_000);
    await resting.end();
  });

  test(`${transport}: a request that nobody wakes for is 504, one that finds no slot 503`, async () => {
    const clock = new ManualClock();
    await using app = await rawApp(() => {});
    await using rig = await startRig(transport, { clock, options: { wakeTimeoutMs: 2000 } });
    routeTo(rig, []);
    using client = new RawClient(rig.port);
    client.write(get());
    await eventually(() => rig.wakes.length === 1, 'the wake-up');
    clock.advance(2050);
    assert.match(await client.has('GATEWAY_WAKE_TIMEOUT'), /^HTTP\/1\.1 504/);
    routeTo(rig, [app.port], { containerConcurrency: 1 });
    using busy = new RawClient(rig.port);
    busy.write(get());
    await eventually(() => (app.received[0] ?? '') !== '', 'the request at the app');
    client.write(get());
    await eventually(() => rig.engine.backends.get('default/app-00001')?.queuedCount === 1, 'the queue');
    clock.advance(2050);
    assert.match(await client.has('GATEWAY_SLOT_TIMEOUT'), /HTTP\/1\.1 503/);
  });

  test(`${transport}: idle connections to pods are closed before the app does it`, async () => {
    const clock = new ManualClock();
    await using app = await rawApp(answering(() => ok('x')));
    await using hinting = await rawApp(answering(() => ok('x', 'Keep-Alive: timeout=2\r\n')));
    await using rig = await startRig(transport, { clock });
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    client.write(get());
    await client.has('\r\n\r\nx');
    clock.advance(3900);
    await settle();
    assert.equal(app.sockets[0]?.destroyed, false);
    clock.advance(700);
    await eventually(() => app.sockets[0]?.destroyed === true, 'the end of the idle connection');
    routeTo(rig, [hinting.port]);
    client.write(get());
    await client.until(({ text }) => statuses(text).length === 2);
    clock.advance(1600);
    await eventually(() => hinting.sockets[0]?.destroyed === true, 'the end before the hinted time');
  });

  test(`${transport}: a request that cannot be repeated takes no connection that was idle for long`, async () => {
    const clock = new ManualClock();
    await using app = await rawApp(answering(() => ok('x')));
    await using rig = await startRig(transport, { clock });
    routeTo(rig, [app.port]);
    using client = new RawClient(rig.port);
    const post = `POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 1\r\n\r\nx`;
    client.write(post);
    await client.until(({ text }) => statuses(text).length === 1);
    clock.advance(500);
    client.write(post);
    await client.until(({ text }) => statuses(text).length === 2);
    assert.equal(app.sockets.length, 1);
    clock.advance(1500);
    client.write(post);
    await client.until(({ text }) => statuses(text).length === 3);
    assert.equal(app.sockets.length, 2);
  });
}
