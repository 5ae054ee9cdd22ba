import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { ManualClock } from '../../../src/base/clock.ts';
import { inProcessClient } from '../../../src/kube/client/in-process.ts';
import { ApiService } from '../../../src/kube/server/service/service.ts';
import type { WatchStream } from '../../../src/kube/server/service/watch.ts';
import { ExpiredList } from '../../../src/kube/server/service/paging.ts';
import { Store } from '../../../src/kube/store/store.ts';
import { memoryBackend } from '../../../src/kube/store/backend.ts';
import { startTestApi } from '../../support/api.ts';
import { HeldBackend } from '../store/support.ts';
import { at, describe, fails, take, user, widget, widgets } from './support.ts';

interface Started {
  readonly service: ApiService;
  readonly clock: ManualClock;
  readonly write: (name: string, labels?: Record<string, string>) => Promise<string>;
}

async function api(t: TestContext, ringSize?: number): Promise<Started> {
  const clock = new ManualClock();
  const store = await Store.open(memoryBackend(), ringSize === undefined ? {} : { ringSize });
  t.after(() => store.close());
  const service = new ApiService({ store, resources: [widgets], clock });
  let size = 1;
  const write = async (name: string, labels: Record<string, string> = {}): Promise<string> => {
    const body = { metadata: { labels }, spec: { size: ++size } };
    const exists =
      (await service.list(widgets, { fieldSelector: `metadata.name=${name}` })).records.length > 0;
    const { object } = exists
      ? await service.patch(widgets, at(name), { type: 'merge', body }, { user })
      : await service.create(widgets, 'default', widget(name, body.spec, { labels }), { user });
    return object.metadata.resourceVersion ?? '';
  };
  return { service, clock, write };
}

test('list, then watch from its version: every change after it, once, in order, with deletions at their own version', async (t) => {
  const { service, write } = await api(t);
  await write('a');
  const { resourceVersion } = await service.list(widgets);
  await write('b');
  await write('a');
  await service.delete(widgets, at('b'), { user });
  const stream = await service.watch(widgets, { resourceVersion });
  await write('c');
  assert.deepEqual(await take(stream, 4), ['ADDED b@3', 'MODIFIED a@4', 'DELETED b@5', 'ADDED c@6']);
  await stream.return();
});

test('a watch that resumes where another stopped sees neither a gap nor a repetition', async (t) => {
  const { service, write } = await api(t);
  const whole = await service.watch(widgets, { resourceVersion: '1' });
  for (let i = 0; i < 12; i++) await write(`w${i % 3}`);
  const all = await take(whole, 12);
  const seen: string[] = [];
  let resourceVersion = '1';
  while (seen.length < 12) {
    const part = await service.watch(widgets, { resourceVersion });
    seen.push(...(await take(part, 2)));
    await part.return();
    resourceVersion = seen.at(-1)?.split('@')[1] ?? '';
  }
  assert.deepEqual(seen, all);
});

test('all watchers of a resource see the same order, however the writers race', async (t) => {
  const { service, write } = await api(t);
  const streams = await Promise.all(
    Array.from({ length: 5 }, () => service.watch(widgets, { resourceVersion: '1' })),
  );
  await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => write(name)));
  await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => write(name)));
  const orders = await Promise.all(streams.map((stream) => take(stream, 12)));
  for (const order of orders) assert.deepEqual(order, orders[0]);
  const versions = orders[0]?.map((line) => Number(line.split('@')[1])) ?? [];
  assert.deepEqual(
    versions,
    [...versions].sort((a, b) => a - b),
  );
});

test('selectors: entering is ADDED, leaving is DELETED with the last matching state at the new version', async (t) => {
  const { service, write } = await api(t);
  await write('a', { app: 'x' });
  const stream = await service.watch(widgets, { labelSelector: 'app=x' });
  await write('b', { app: 'y' });
  await write('b', { app: 'x' });
  await write('b', { app: 'x' });
  await write('a', { app: 'z' });
  await service.delete(widgets, at('a'), { user });
  await service.delete(widgets, at('b'), { user });
  const events = [];
  for await (const event of stream) {
    events.push(event);
    if (events.length === 5) break;
  }
  assert.deepEqual(events.map(describe), [
    'ADDED a@2',
    'ADDED b@4',
    'MODIFIED b@5',
    'DELETED a@6',
    'DELETED b@8',
  ]);
  assert.deepEqual(events[3]?.object.metadata.labels, { app: 'x' });
  for (const { line, type, object } of events)
    assert.deepEqual(JSON.parse(line.toString()), { type, object });
});

test('a version that the ring has lost is 410; the present one still works', async (t) => {
  const { service, write } = await api(t, 4);
  let version = '';
  for (let i = 0; i < 20; i++) version = await write('a');
  await fails(
    service.watch(widgets, { resourceVersion: '2' }),
    410,
    'Expired',
    /^too old resource version: 2 \(\d+\)$/,
  );
  const stream = await service.watch(widgets, { resourceVersion: version });
  await write('a');
  assert.deepEqual(await take(stream, 1), [`MODIFIED a@${Number(version) + 1}`]);
});

test('sendInitialEvents: the state, a bookmark that says so, then changes', async (t) => {
  const { service, write } = await api(t);
  await write('a');
  await write('b');
  const stream = await service.watch(widgets, { sendInitialEvents: true, allowBookmarks: true });
  await write('c');
  const events = [];
  for await (const event of stream) if (events.push(event) === 4) break;
  assert.deepEqual(events.map(describe), ['ADDED a@2', 'ADDED b@3', 'BOOKMARK @3', 'ADDED c@4']);
  assert.deepEqual(events[2]?.object.metadata.annotations, { 'k8s.io/initial-events-end': 'true' });
  await fails(
    service.watch(widgets, { sendInitialEvents: true, resourceVersion: '99' }),
    504,
    'Timeout',
    /Too large resource version: 99, current: 4/,
  );
});

test('bookmarks carry the newest version of the whole store, each minute and before the end', async (t) => {
  const { service, clock, write } = await api(t);
  const version = await write('a');
  const quiet = await service.watch(widgets, {
    namespace: 'other',
    resourceVersion: '1',
    allowBookmarks: true,
    timeoutMs: 90_000,
  });
  clock.advance(60_000);
  assert.deepEqual(await take(quiet, 1), [`BOOKMARK @${version}`]);
  clock.advance(30_000);
  assert.deepEqual(await take(quiet, 5), [`BOOKMARK @${version}`], 'then the stream ends');
});

test('an aborted watch ends and lets go of the store', async (t) => {
  const { service, write } = await api(t);
  const abort = new AbortController();
  const stream = await service.watch(widgets, { resourceVersion: '1', signal: abort.signal });
  const next = stream.next();
  abort.abort();
  assert.equal((await next).done, true);
  await write('a');
  assert.equal((await stream.next()).done, true);
  assert.equal((stream as WatchStream).ready, 0);
});

test('a watcher that does not read is ended with 410 instead of growing without bound', async (t) => {
  const { service } = await api(t);
  await service.create(widgets, 'default', widget('a', { size: 1 }), { user });
  const stream = await service.watch(widgets, { resourceVersion: '1' });
  for (let batch = 0; batch < 21; batch++) {
    const patches = Array.from({ length: 1000 }, (_, i) =>
      service.patch(
        widgets,
        at('a'),
        { type: 'merge', body: { spec: { size: batch * 1000 + i + 2 } } },
        { user },
      ),
    );
    await Promise.all(patches);
  }
  await fails(stream.next(), 410, 'Expired', /fell too far behind/);
  assert.equal((await stream.next()).done, true);
});

test('reads and lists wait until what they show is durable', async () => {
  const backend = new HeldBackend();
  const store = await Store.open(backend);
  const service = new ApiService({ store, resources: [widgets], clock: new ManualClock() });
  const created = service.create(widgets, 'default', widget('a'), { user });
  await backend.waiting();
  const order: string[] = [];
  const reads = [
    service.get(widgets, at('a')).then(() => order.push('get')),
    service
      .list(widgets)
      .then(({ records, resourceVersion }) => order.push(`list ${records.length}@${resourceVersion}`)),
    service.watch(widgets).then(async (stream) => order.push(...(await take(stream, 1)))),
    fails(
      service.create(widgets, 'default', widget('a'), { user }),
      409,
      'AlreadyExists',
      /already exists/,
    ).then(() => order.push('refused')),
  ];
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(order, []);
  backend.letThrough();
  await Promise.all([created, ...reads]);
  assert.deepEqual(
    order.toSorted((a, b) => (a < b ? -1 : 1)),
    ['ADDED a@2', 'get', 'list 1@2', 'refused'],
  );
});

test('lists: order, pages of one moment, tokens that end', async (t) => {
  const { service, clock, write } = await api(t);
  for (const name of ['c', 'a', 'e', 'b', 'd']) await write(name);
  const names = (list: { records: readonly { object: { metadata: { name: string } } }[] }): string[] =>
    list.records.map(({ object }) => object.metadata.name);
  const first = await service.list(widgets, { limit: 2 });
  assert.deepEqual([names(first), first.remainingItemCount], [['a', 'b'], 3]);
  await service.delete(widgets, at('c'), { user });
  await write('aa');
  const token = first.continue ?? '';
  const second = await service.list(widgets, { limit: 2, continue: token });
  assert.deepEqual(
    [names(second), second.resourceVersion],
    [['c', 'd'], first.resourceVersion],
    'the moment of the first page',
  );
  const third = await service.list(widgets, { limit: 2, continue: second.continue ?? '' });
  assert.deepEqual([names(third), third.continue], [['e'], undefined]);
  assert.deepEqual(names(await service.list(widgets)), ['a', 'aa', 'b', 'd', 'e']);
  await fails(
    service.list(widgets, { continue: token, labelSelector: 'x=y' }),
    400,
    'BadRequest',
    /other parameters/,
  );
  await fails(
    service.list(widgets, { continue: 'nonsense' }),
    400,
    'BadRequest',
    /continue key is not valid/,
  );
  clock.advance(6 * 60_000);
  await fails(
    service.list(widgets, { limit: 2, continue: token }),
    410,
    'Expired',
    /too old to display a consistent list result/,
  );
});

test('lists: resourceVersion rules', async (t) => {
  const { service, write } = await api(t);
  const version = await write('a');
  for (const resourceVersion of ['', '0', '1', version]) {
    assert.equal((await service.list(widgets, { resourceVersion })).records.length, 1);
  }
  const error = await fails(
    service.list(widgets, { resourceVersion: '1000' }),
    504,
    'Timeout',
    /^Too large resource version: 1000, current: 2$/,
  );
  assert.equal(error.details?.causes?.[0]?.reason, 'ResourceVersionTooLarge');
  await fails(
    service.list(widgets, { resourceVersion: 'abc' }),
    400,
    'BadRequest',
    /resourceVersion: Invalid value/,
  );
  const atFirst = await service.list(widgets, { resourceVersion: '1', resourceVersionMatch: 'Exact' });
  assert.deepEqual([atFirst.records.length, atFirst.resourceVersion], [0, '1']);
});

test('lists: Exact shows any moment that the ring reaches back to, as a list of then did', async (t) => {
  const { service, write } = await api(t, 30);
  const lists = new Map<string, string[]>();
  const names = async (request = {}): Promise<string[]> =>
    (await service.list(widgets, request)).records.map((record) => describe({ type: '', ...record }));
  const steps = ['b', 'a', 'b', '-a', 'c', 'a', '-b', 'b', '-c', 'a'];
  for (const step of [...steps, ...steps.map((s) => s), 'd']) {
    if (step.startsWith('-')) await service.delete(widgets, at(step.slice(1)), { user });
    else await write(step);
    lists.set(service.resourceVersion, await names());
  }
  for (const [resourceVersion, then] of lists) {
    assert.deepEqual(await names({ resourceVersion, resourceVersionMatch: 'Exact' }), then, resourceVersion);
  }
  for (let i = 0; i < 60; i++) await write('e');
  await fails(names({ resourceVersion: '3', resourceVersionMatch: 'Exact' }), 410, 'Expired', /too old: 3$/);
});

test('lists: the token of a list that is gone goes on behind the last object shown, in what there is now', async (t) => {
  const { service, clock, write } = await api(t);
  for (const name of ['a', 'b', 'c', 'd', 'e']) await write(name);
  const first = await service.list(widgets, { limit: 2 });
  await service.delete(widgets, at('c'), { user });
  await write('aa');
  await write('bb');
  clock.advance(6 * 60_000);
  const error = await fails(
    service.list(widgets, { limit: 2, continue: first.continue ?? '' }),
    410,
    'Expired',
    /use the continue token in this response/,
  );
  assert.ok(error instanceof ExpiredList);
  const shown: string[] = [];
  let token: string | undefined = error.continue;
  while (token) {
    const page = await service.list(widgets, { limit: 2, continue: token });
    shown.push(...page.records.map(({ object }) => object.metadata.name));
    assert.equal(page.resourceVersion, service.resourceVersion, 'the moment of now');
    token = page.continue;
  }
  assert.deepEqual(shown, ['bb', 'd', 'e']);
});

test('lists: a token grows too old however often it is used, as upstream, where old versions are compacted', async (t) => {
  const { service, clock, write } = await api(t);
  for (const name of ['a', 'b', 'c']) await write(name);
  const first = await service.list(widgets, { limit: 2 });
  const next = () => service.list(widgets, { limit: 2, continue: first.continue ?? '' });
  for (let minute = 0; minute < 4; minute++) {
    clock.advance(60_000);
    assert.equal((await next()).records.length, 1);
  }
  clock.advance(61_000);
  await fails(next(), 410, 'Expired', /use the continue token in this response/);
});

test('the in-process client speaks to the same service', async (t) => {
  const started = await startTestApi({ resources: [widgets] });
  t.after(started.close);
  const { client, service } = started;
  const abort = new AbortController();
  const seen: string[] = [];
  const watching = (async () => {
    for await (const event of client.watch(widgets, { sendInitialEvents: true, signal: abort.signal })) {
      seen.push(event.type);
      if (seen.length === 4) abort.abort();
    }
  })();
  const made = await client.create(widgets, {
    apiVersion: 'test.knapsack.dev/v1',
    kind: 'Widget',
    metadata: { name: 'a', namespace: 'default' },
    spec: { size: 1 },
  });
  assert.ok(Object.isFrozen(made.spec));
  const updated = await client.update(widgets, { ...made, spec: { ...made.spec, size: 2 } });
  assert.equal(updated.metadata.generation, 2);
  const status = await client.update(
    widgets,
    { ...updated, status: { ready: true } },
    { subresource: 'status' },
  );
  assert.deepEqual([status.spec?.size, status.status?.ready], [2, true]);
  assert.equal(await client.get(widgets, at('a')), status, 'one shared frozen object');
  assert.equal((await client.list(widgets, { namespace: 'default' })).items[0], status);
  await client.delete(widgets, at('a'));
  await watching;
  assert.ok(seen.includes('BOOKMARK'));
  const other = inProcessClient(service, { user: 'other' });
  await fails(other.get(widgets, at('a')), 404, 'NotFound', /not found/);
});
