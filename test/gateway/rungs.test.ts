import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { gatewayErrors } from '../../src/base/catalogue/gateway.ts';
import { Account } from '../../src/gateway/account.ts';
import { codeOfRefusal, errorAnswer, type GatewayCode } from '../../src/gateway/answer.ts';
import { hostOf } from '../../src/gateway/authority.ts';
import { RequestHead } from '../../src/gateway/http1/request.ts';
import { RoutingTable, matchPath } from '../../src/gateway/routing-table.ts';
import { SharedSlots, localSlots, makeSharedSlots, reclaimSlots } from '../../src/gateway/slots.ts';
import { chooseShare } from '../../src/gateway/split.ts';
import { selectTransport, selfTest } from '../../src/gateway/transport/select.ts';
import { FAILED } from '../../src/gateway/transport/transport.ts';
import { eventually, makeTransport, transports } from './support.ts';

test('authorities are host names in one form, or nothing', () => {
  const cases: [string, string | undefined][] = [
    ['a', 'a'],
    ['App.Example.COM', 'app.example.com'],
    ['a.b:8080', 'a.b'],
    ['a.b.', 'a.b'],
    ['a.b.:80', 'a.b'],
    ['a_b-c.1', 'a_b-c.1'],
    ['127.0.0.1:1', '127.0.0.1'],
    ['[::1]', '[::1]'],
    ['[FE80::1]:80', '[fe80::1]'],
    ['a:', 'a'],
    ['', undefined],
    [':80', undefined],
    ['a b', undefined],
    ['a,b', undefined],
    ['a/b', undefined],
    ['user@a', undefined],
    ['a:80a', undefined],
    ['a:800000', undefined],
    ['a:80:80', undefined],
    ['a\0', undefined],
    ['caf\xe9', undefined],
    ['[::1', undefined],
    ['[]', undefined],
    ['[a.b]x', undefined],
    ['x'.repeat(300), undefined],
  ];
  for (const [text, host] of cases) {
    const bytes = Buffer.from(`<${text}>`, 'latin1');
    assert.equal(hostOf(bytes, 1, bytes.length - 1), host, text);
  }
});

test('paths match by whole segments and headers, first match wins', () => {
  const table = new RoutingTable();
  const splits = (backend: string) => [{ backend, percent: 100 }];
  table.apply({
    'A.example.com': {
      visibility: 'public',
      paths: [
        { prefix: '/a', headers: { 'X-Tag': 'one' }, splits: splits('tagged') },
        { prefix: '/a/', splits: splits('a') },
        { prefix: '/A', splits: splits('upper') },
        { prefix: '/', splits: splits('rest') },
      ],
    },
  });
  const host = table.find('a.example.com', false);
  assert.ok(host);
  const backend = (target: string, fields = ''): string | undefined => {
    const head = new RequestHead();
    const bytes = Buffer.from(`GET ${target} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`);
    assert.ok(head.parse(bytes, 0, bytes.length) > 0);
    return matchPath(host, head, bytes)?.shares[0]?.backend;
  };
  assert.equal(backend('/a'), 'a');
  assert.equal(backend('/a/'), 'a');
  assert.equal(backend('/a/b'), 'a');
  assert.equal(backend('/a?x=/b'), 'a');
  assert.equal(backend('/ab'), 'rest');
  assert.equal(backend('/A/b'), 'upper');
  assert.equal(backend('/'), 'rest');
  assert.equal(backend('/b/a'), 'rest');
  assert.equal(backend('http://x/a/b'), 'a');
  assert.equal(backend('http://x'), 'rest');
  assert.equal(backend('/a/b', 'x-tag: one\r\n'), 'tagged');
  assert.equal(backend('/a/b', 'x-tag: One\r\n'), 'a');
  table.apply({ 'a.example.com': null });
  assert.equal(table.find('a.example.com', true), undefined);
});

test('shares are chosen by percent', () => {
  const shares = [{ percent: 20 }, { percent: 0 }, { percent: 80 }];
  assert.equal(
    chooseShare(shares, () => 0),
    0,
  );
  assert.equal(
    chooseShare(shares, () => 0.1999),
    0,
  );
  assert.equal(
    chooseShare(shares, () => 0.2001),
    2,
  );
  assert.equal(
    chooseShare(shares, () => 0.9999),
    2,
  );
  assert.equal(
    chooseShare([{ percent: 0 }], () => 0),
    -1,
  );
  assert.equal(
    chooseShare([], () => 0),
    -1,
  );
  fc.assert(
    fc.property(
      fc.array(fc.record({ percent: fc.nat(100) }), { minLength: 1, maxLength: 6 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (some, random) => {
        const i = chooseShare(some, () => random);
        if (some.every(({ percent }) => percent === 0)) assert.equal(i, -1);
        else assert.ok((some[i]?.percent ?? 0) > 0);
      },
    ),
  );
});

test('concurrency is averaged over time', () => {
  const account = new Account(0);
  assert.equal(account.report(100), undefined);
  account.arrive(100);
  account.arrive(350);
  account.leave(600);
  // One for 250 ms, two for 250 ms, one for 500 ms.
  assert.deepEqual(account.report(1100), { intervalMs: 1000, averageConcurrency: 1.25, arrived: 2 });
  assert.deepEqual(account.report(2100), { intervalMs: 1000, averageConcurrency: 1, arrived: 0 });
  account.leave(2600);
  assert.deepEqual(account.report(3100), { intervalMs: 1000, averageConcurrency: 0.5, arrived: 0 });
  assert.equal(account.report(4100), undefined);
});

test('slots hold the limit, alone and shared, and those of a dead worker come back', () => {
  const memory = makeSharedSlots(2);
  let given = 0;
  const first = new SharedSlots(memory, 0, () => given++);
  const second = new SharedSlots(memory, 1, () => given++);
  const a = { inFlight: 0, slot: 7 };
  const b = { inFlight: 0, slot: 7 };
  assert.ok(first.take(a, 2));
  assert.ok(second.take(b, 2));
  assert.ok(!first.take(a, 2));
  assert.equal(first.taken(a), 2);
  assert.ok(first.take(a, 0), 'no limit');
  first.give(a);
  first.give(a);
  assert.equal(given, 2);
  assert.deepEqual([a.inFlight, b.inFlight, second.taken(b)], [0, 1, 1]);
  reclaimSlots(memory, 1);
  assert.equal(first.taken(a), 0);
  const alone = { inFlight: 0, slot: 0 };
  assert.ok(localSlots.take(alone, 1));
  assert.ok(!localSlots.take(alone, 1));
  localSlots.give(alone);
  assert.equal(localSlots.taken(alone), 0);
});

test('every code answers with its status, code, cause and remedy, as text and as JSON', () => {
  for (const [code, { status, cause, remedy }] of Object.entries(gatewayErrors)) {
    const options = { json: true, isHead: false, close: true, keepAlive10: false };
    const json = errorAnswer(code as GatewayCode, 'this happened', options).toString();
    assert.ok(json.startsWith(`HTTP/1.1 ${status} `), json);
    assert.match(json, new RegExp(`X-Knapsack-Error: ${code}\r\n`));
    const [head = '', body = ''] = json.split('\r\n\r\n');
    assert.deepEqual(JSON.parse(body), { code, message: 'this happened', cause, remedy });
    assert.match(head, new RegExp(`Content-Length: ${Buffer.byteLength(body)}\r\n`));
    const text = errorAnswer(code as GatewayCode, 'this happened', { ...options, json: false }).toString();
    assert.ok(text.includes(`${code}: this happened\n${cause}\n${remedy}\n`));
    const onlyHead = errorAnswer(code as GatewayCode, 'x', { ...options, isHead: true }).toString();
    assert.ok(onlyHead.endsWith('\r\n\r\n'));
  }
});

test('each refusal of the parser has a code with the same status', () => {
  for (const status of [400, 405, 414, 417, 431, 501, 505] as const) {
    assert.equal(gatewayErrors[codeOfRefusal({ status, reason: '' })].status, status);
  }
});

for (const name of transports) {
  test(`${name}: the transport passes its self-test and tells of refused connections later`, async () => {
    const faults: unknown[] = [];
    const transport = makeTransport(name, faults);
    await selfTest(transport);
    const listener = await transport.listen({ host: '127.0.0.1', port: 0, reusePort: false }, () => {});
    listener.close();
    const codes: string[] = [];
    const connection = transport.connect('127.0.0.1', listener.port, {
      onConnect: () => codes.push('connected'),
      onData() {},
      onEnd() {},
      onDrain() {},
      onError: (code) => codes.push(code),
    });
    assert.deepEqual(codes, []);
    await eventually(() => codes.length > 0, 'the refusal');
    assert.deepEqual(codes, ['ECONNREFUSED']);
    assert.equal(connection.write(Buffer.from('x'), 0, 1), FAILED);
    connection.destroy();
    assert.deepEqual(faults, []);
  });

  test(`${name}: an exception in a handler closes that connection and no other`, async () => {
    const faults: unknown[] = [];
    const transport = makeTransport(name, faults);
    const errors: string[] = [];
    const listener = await transport.listen(
      { host: '127.0.0.1', port: 0, reusePort: false },
      (connection) => {
        connection.handler = {
          onConnect() {},
          onData(bytes, length) {
            if (bytes.toString('latin1', 0, length) === 'bad') throw new Error('a defect');
            connection.write(Buffer.from('fine'), 0, 4);
          },
          onEnd: () => connection.destroy(),
          onDrain() {},
          onError: (code) => errors.push(code),
        };
      },
    );
    const ends: string[] = [];
    const dial = (text: string) => {
      const connection = transport.connect('127.0.0.1', listener.port, {
        onConnect: () => connection.write(Buffer.from(text), 0, text.length),
        onData: (bytes, length) => ends.push(bytes.toString('latin1', 0, length)),
        onEnd: () => ends.push('end'),
        onDrain() {},
        onError: () => ends.push('end'),
      });
      return connection;
    };
    const bad = dial('bad');
    await eventually(() => ends.includes('end'), 'the end of the bad connection');
    const good = dial('good');
    await eventually(() => ends.includes('fine'), 'the answer on the good one');
    assert.equal(faults.length, 1);
    assert.deepEqual(errors, ['EPROTO']);
    bad.destroy();
    good.destroy();
    listener.close();
  });
}

test('the transport can be chosen', async () => {
  assert.equal((await selectTransport('net', () => {})).name, 'net');
  assert.equal((await selectTransport('handles', () => {})).name, 'handles');
});
