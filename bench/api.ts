/**
 * The Kubernetes API server over HTTPS on its durable store, in a process of its own: writes, reads, lists, watches, memory and
 * start. What is a rate is also given as its ratio to bare `node:http` and `node:https` servers in the same run, in turn.
 * Run: `node bench/api.ts`, with `-o json` for a script, `--quick` without the 100 000 objects. Takes about two minutes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startApi, type ApiProcess } from './lib/api-process.ts';
import { Connection, requestBytes, throughput, type Target } from './lib/raw-client.ts';
import { median, quantile } from './lib/stats.ts';

const { values: options } = parseArgs({
  options: { output: { type: 'string', short: 'o' }, quick: { type: 'boolean', default: false } },
});

const roundMs = 1000;
const rounds = 3;
const concurrencies = [1, 16, 64] as const;
const collection = '/api/v1/namespaces/default/configmaps';
const json = { 'Content-Type': 'application/json' };

let serial = 0;
/** About 850 bytes when stored. */
const makeConfigMap = (name: string): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, labels: { app: 'bench', part: String(serial % 10) } },
    data: { payload: 'x'.repeat(450) },
  });
const create = (): Buffer =>
  requestBytes('POST', collection, { body: makeConfigMap(`c${serial++}`), headers: json });

const round = (value: number, digits = 1): number => Number(value.toFixed(digits));
const megabytes = (bytes: number): number => Math.round(bytes / 1e6);

interface Peers {
  readonly plain: Target;
  readonly tls: Target;
}

const say = (text: string): void => {
  if (options.output !== 'json') console.log(text);
};

/** A rate at each concurrency, beside its peers, median of rounds taken in turn. */
async function rates(api: ApiProcess, peers: Peers): Promise<Record<string, unknown>[]> {
  await throughput(api.target, 16, roundMs, create);
  const echo = requestBytes('GET', '/');
  const posted = requestBytes('POST', '/', { body: makeConfigMap('echo'), headers: json });
  const connection = await Connection.open(api.target);
  await connection.request(requestBytes('POST', collection, { body: makeConfigMap('one'), headers: json }));
  connection.close();
  const merge = (): Buffer =>
    requestBytes('PATCH', `${collection}/one`, {
      body: JSON.stringify({ data: { count: String(serial++) } }),
      headers: { 'Content-Type': 'application/merge-patch+json' },
    });
  const apply = (): Buffer =>
    requestBytes('PATCH', `${collection}/applied-${serial % 100}?fieldManager=bench&force=true`, {
      body: JSON.stringify({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: `applied-${serial % 100}` },
        data: { count: String(serial++) },
      }),
      headers: { 'Content-Type': 'application/apply-patch+yaml' },
    });
  const subjects: [string, () => Buffer, Buffer][] = [
    ['create', create, posted],
    ['get', () => requestBytes('GET', `${collection}/one`), echo],
    ['merge patch', merge, posted],
    ['server-side apply', apply, posted],
  ];
  const results: Record<string, unknown>[] = [];
  say('\nrequests/s         at once      API   CPU µs each   of bare https   of bare http');
  for (const [name, next, peer] of subjects) {
    for (const connections of concurrencies) {
      const found = { api: [] as number[], cpu: [] as number[], tls: [] as number[], plain: [] as number[] };
      for (let i = 0; i < rounds; i++) {
        const before = await api.cpu();
        const began = performance.now();
        const rate = await throughput(api.target, connections, roundMs, next);
        const done = (rate * (performance.now() - began)) / 1000;
        found.cpu.push(((await api.cpu()) - before) / done);
        found.api.push(rate);
        found.tls.push(await throughput(peers.tls, connections, roundMs / 3, () => peer));
        found.plain.push(await throughput(peers.plain, connections, roundMs / 3, () => peer));
      }
      const rate = median(found.api);
      const ofTls = median(found.api.map((value, i) => value / (found.tls[i] ?? Number.NaN)));
      const ofPlain = median(found.api.map((value, i) => value / (found.plain[i] ?? Number.NaN)));
      results.push({
        name,
        connections,
        perSecond: Math.round(rate),
        best: Math.round(Math.max(...found.api)),
        cpuMicroseconds: Math.round(median(found.cpu)),
        ofHttps: round(ofTls, 3),
        ofHttp: round(ofPlain, 3),
      });
      say(
        `${name.padEnd(18)} ${String(connections).padStart(7)} ${rate.toFixed(0).padStart(8)} ${median(found.cpu).toFixed(0).padStart(13)} ${ofTls.toFixed(2).padStart(15)} ${ofPlain.toFixed(2).padStart(14)}`,
      );
    }
  }
  return results;
}

async function fill(api: ApiProcess, objects: number): Promise<void> {
  const open = await Promise.all(Array.from({ length: 64 }, () => Connection.open(api.target)));
  let left = objects;
  await Promise.all(
    open.map(async (connection) => {
      while (left-- > 0) {
        const { status } = await connection.request(create());
        if (status !== 201) throw new Error(`create answered ${status}`);
      }
    }),
  );
  for (const connection of open) connection.close();
}

/** Of 10 000 objects. */
async function lists(api: ApiProcess): Promise<Record<string, unknown>[]> {
  const table = { Accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
  const forms: [string, string, Record<string, string>][] = [
    ['all', '', {}],
    ['all, compressed', '', { 'Accept-Encoding': 'gzip' }],
    ['limit=500', '?limit=500', {}],
    ['all as a Table', '', table],
    ['limit=500 as a Table', '?limit=500', table],
    ['label selector, a tenth', '?labelSelector=part%3D3', {}],
    ['label selector, nothing', '?labelSelector=part%3Dnone', {}],
  ];
  const connection = await Connection.open(api.target);
  const results: Record<string, unknown>[] = [];
  say('\nlist of 10 000                   p50 ms   min ms       MB');
  for (const [name, query, headers] of forms) {
    const request = requestBytes('GET', `${collection}${query}`, { headers });
    const times: number[] = [];
    let bytes = 0;
    for (let i = 0; i < 9; i++) {
      const began = performance.now();
      const { status, body } = await connection.request(request);
      times.push(performance.now() - began);
      if (status !== 200) throw new Error(`list answered ${status}`);
      bytes = body.length;
    }
    const [p50, min] = [median(times), Math.min(...times)];
    results.push({ name, p50Ms: round(p50), minMs: round(min), bytes });
    say(
      `${name.padEnd(30)} ${p50.toFixed(1).padStart(8)} ${min.toFixed(1).padStart(8)} ${(bytes / 1e6).toFixed(2).padStart(8)}`,
    );
  }
  connection.close();
  return results;
}

const watchers = 50;
const added = Buffer.from('{"type":"ADDED"');

/** Watchers that count what they are sent. */
async function fanOut(api: ApiProcess): Promise<Record<string, unknown>> {
  let bytes = 0;
  let events = 0;
  let marker: Buffer | undefined;
  let reached = 0;
  let allReached: () => void = () => undefined;
  const open = await Promise.all(Array.from({ length: watchers }, () => Connection.open(api.target)));
  const at = await Connection.open(api.target);
  const { body } = await at.request(requestBytes('GET', `${collection}?limit=1`));
  const { metadata } = JSON.parse(body.toString()) as { metadata: { resourceVersion: string } };
  for (const { socket } of open) {
    socket.removeAllListeners('data');
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      for (let i = chunk.indexOf(added); i >= 0; i = chunk.indexOf(added, i + added.length)) events++;
      if (!marker || !chunk.includes(marker)) return;
      if (++reached === watchers) allReached();
    });
    socket.write(requestBytes('GET', `${collection}?watch=1&resourceVersion=${metadata.resourceVersion}`));
  }
  await Promise.all(open.map(({ socket }) => once(socket, 'data')));
  const latencies: number[] = [];
  for (let i = 0; i < 100; i++) {
    const name = `latency-${serial++}`;
    marker = Buffer.from(`"name":"${name}"`);
    reached = 0;
    const all = new Promise<void>((resolve) => (allReached = resolve));
    const began = performance.now();
    await at.request(requestBytes('POST', collection, { body: makeConfigMap(name), headers: json }));
    await all;
    latencies.push(performance.now() - began);
  }
  marker = undefined;
  [bytes, events] = [0, 0];
  const began = performance.now();
  const perSecond = await throughput(api.target, 16, 3000, create);
  const seconds = (performance.now() - began) / 1000;
  const found = {
    watchers,
    createsPerSecond: Math.round(perSecond),
    eventsPerSecond: Math.round(events / seconds),
    megabytesPerSecond: megabytes(bytes / seconds),
    lastWatcherP50Ms: round(median(latencies)),
    lastWatcherP99Ms: round(quantile(latencies, 0.99)),
  };
  for (const connection of [...open, at]) connection.close();
  say(
    `\n${watchers} watchers: ${found.createsPerSecond} creates/s at 16, ${found.eventsPerSecond} events/s, ${found.megabytesPerSecond} MB/s; ` +
      `POST to last watcher p50 ${found.lastWatcherP50Ms} ms, p99 ${found.lastWatcherP99Ms} ms`,
  );
  return found;
}

/** Start and memory with so many objects, taken from fresh processes on one store. */
async function sizes(data: string, cache: string, filled: number[]): Promise<Record<string, unknown>[]> {
  const results: Record<string, unknown>[] = [];
  say('\nobjects    start ms, p50 (min)   RSS MB as written   RSS MB after restart');
  let stored = 0;
  for (const objects of filled) {
    let written: number | undefined;
    if (objects > stored) {
      const api = await startApi(data, cache);
      await fill(api, objects - stored);
      stored = objects;
      written = await api.memory();
      await api.stop();
    }
    const starts: number[] = [];
    let restarted = 0;
    for (let i = 0; i < (objects > 50_000 ? 3 : 7); i++) {
      // An empty store is one that has to be made.
      const directory = objects === 0 ? mkdtempSync(join(data, 'empty-')) : data;
      const api = await startApi(directory, cache);
      starts.push(api.startMs);
      restarted = await api.memory();
      await api.stop();
    }
    const [p50, min] = [median(starts), Math.min(...starts)];
    results.push({
      objects,
      startP50Ms: round(p50, 0),
      startMinMs: round(min, 0),
      ...(written === undefined ? {} : { writtenMb: megabytes(written) }),
      restartedMb: megabytes(restarted),
    });
    say(
      `${String(objects).padStart(7)} ${`${p50.toFixed(0)} (${min.toFixed(0)})`.padStart(21)} ${(written === undefined ? '' : String(megabytes(written))).padStart(18)} ${String(megabytes(restarted)).padStart(22)}`,
    );
  }
  return results;
}

const work = mkdtempSync(join(tmpdir(), 'knapsack-bench-api-'));
const cache = join(work, 'cache');
const echoScript = fileURLToPath(new URL('lib/echo-child.ts', import.meta.url));
try {
  const data = join(work, 'rates');
  // Two starts that end in order fill the cache of compiled modules.
  for (let i = 0; i < 2; i++) await (await startApi(data, cache)).stop();
  const start = await sizes(join(work, 'rates'), cache, [0]);
  const pki = join(data, 'pki');
  const echo = spawn(process.execPath, [echoScript, join(pki, 'server.crt'), join(pki, 'server.key')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(createInterface(echo.stdout), 'line')) as [string];
  const ports = JSON.parse(line) as { plain: number; tls: number };
  let api = await startApi(data, cache);
  const peers = { plain: { port: ports.plain }, tls: { port: ports.tls, tls: { ...api.target.tls } } };
  const perSecond = await rates(api, peers);
  await api.stop();
  echo.kill();

  const many = join(work, 'many');
  api = await startApi(many, cache);
  await fill(api, 10_000);
  const listed = await lists(api);
  const watched = await fanOut(api);
  await api.stop();
  const bySize = await sizes(join(work, 'sizes'), cache, options.quick ? [10_000] : [10_000, 100_000]);
  if (options.output === 'json') {
    console.log(
      JSON.stringify(
        { rates: perSecond, lists: listed, fanOut: watched, sizes: [...start, ...bySize] },
        null,
        2,
      ),
    );
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
