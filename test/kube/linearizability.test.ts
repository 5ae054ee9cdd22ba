/**
 * Concurrent writers, readers and watchers over HTTPS against the API server on SQLite, which is killed with SIGKILL again and
 * again and started on the same port. Afterwards everything that anyone saw must fit into one history.
 * KNAPSACK_SOAK_SECONDS makes it go on for that long.
 */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { configMaps } from '../../src/api/kubernetes/core.ts';
import type { KubeObject } from '../../src/api/object.ts';
import { ApiError, hasReason } from '../../src/kube/api-error.ts';
import type { HttpClient } from '../../src/kube/client/http.ts';
import { kubeClient } from '../support/kube-client.ts';
import { waitFor } from '../support/wait.ts';
import {
  violations,
  type Acknowledged,
  type ReadOne,
  type Seen,
  type Segment,
} from './linearizability-history.ts';

const soakMs = Number(process.env['KNAPSACK_SOAK_SECONDS'] ?? 0) * 1000;
const rounds = 5;
const roundMs = 1800;
const namespace = 'default';

type ConfigMap = KubeObject & { data?: { value?: string } };

const script = fileURLToPath(new URL('../support/api-child.ts', import.meta.url));

interface Server {
  readonly child: ChildProcess;
  readonly port: number;
  readonly kubeconfig: string;
}

async function start(data: string, port: number): Promise<Server> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', script, data, String(port)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  return { child, ...(JSON.parse(line) as { port: number; kubeconfig: string }) };
}

async function kill({ child }: Server): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

function seen(object: ConfigMap, removed = false): Seen {
  const { name, resourceVersion } = object.metadata;
  return { version: Number(resourceVersion), key: name, value: removed ? null : (object.data?.value ?? '') };
}

/** The server was not there, or went away in the middle: nobody knows what became of the request. */
const isInterrupted = (error: unknown): boolean => hasReason(error, 'ServiceUnavailable', 'InternalError');

test('one history fits all that writers, readers and watchers saw across kills', async (t) => {
  const data = mkdtempSync(join(tmpdir(), 'knapsack-linear-'));
  let server = await start(data, 0);
  const { port } = server;
  const client = kubeClient(server.kubeconfig) as HttpClient;
  const stop = new AbortController();
  t.after(async () => {
    stop.abort();
    client.close();
    await kill(server);
    rmSync(data, { recursive: true, force: true });
  });

  const acknowledged: Acknowledged[] = [];
  const reads: ReadOne[] = [];
  const segments: Segment[] = [];
  const outcomes = { conflicts: 0, interrupted: 0, resumed: 0, expired: 0 };

  /** Repeats `step` until the end; what the kills interrupt is tried again soon. */
  async function forever(step: (i: number) => Promise<void>): Promise<void> {
    for (let i = 0; !stop.signal.aborted; i++) {
      try {
        await step(i);
      } catch (error) {
        if (hasReason(error, 'Conflict', 'NotFound', 'AlreadyExists')) outcomes.conflicts++;
        else if (isInterrupted(error)) {
          outcomes.interrupted++;
          await delay(10);
        } else throw error;
      }
    }
  }
  async function timed(write: () => Promise<Seen>): Promise<void> {
    const began = performance.now();
    const result = await write();
    acknowledged.push({ ...result, began, ended: performance.now() });
  }
  const made = (name: string, value: string): ConfigMap => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace },
    data: { value },
  });

  const counters = ['counter-a', 'counter-b', 'counter-c'];
  for (const name of counters)
    await timed(async () => seen(await client.create(configMaps, made(name, '0'))));

  /** Raises a counter by compare-and-set, in competition with the others. */
  const raise =
    (id: number) =>
    async (i: number): Promise<void> => {
      const name = counters[(id + i) % counters.length] ?? '';
      const began = performance.now();
      const current: ConfigMap = await client.get(configMaps, { namespace, name });
      reads.push({
        key: name,
        version: Number(current.metadata.resourceVersion),
        began,
        ended: performance.now(),
      });
      const value = String(Number(current.data?.value) + 1);
      await timed(async () => seen(await client.update(configMaps, { ...current, data: { value } })));
    };
  /** Writes and removes objects of its own. */
  const churn =
    (id: number) =>
    async (i: number): Promise<void> => {
      const name = `object-${id}-${i % 5}`;
      const value = `${id}.${i}`;
      if (i % 3 === 0) await timed(async () => seen(await client.create(configMaps, made(name, value))));
      else if (i % 3 === 1) {
        const patch = { type: 'merge', body: { data: { value } } } as const;
        await timed(async () =>
          seen(await client.patch(configMaps, { namespace, name: `object-${id}-${(i - 1) % 5}` }, patch)),
        );
      } else await client.delete(configMaps, { namespace, name: `object-${id}-${(i - 2) % 5}` });
    };

  /** Lists, then watches, and resumes at the last version seen for as long as the server lets it. */
  async function watcher(name: string): Promise<void> {
    await forever(async () => {
      const list = await client.list(configMaps, { namespace });
      const events: Seen[] = [];
      const listed = { version: Number(list.resourceVersion), objects: list.items.map((item) => seen(item)) };
      segments.push({ watcher: name, listed, events });
      let resourceVersion = list.resourceVersion;
      while (!stop.signal.aborted) {
        try {
          // Cut often, so that most resumptions meet a server that is there and writes that go on.
          const cut = AbortSignal.timeout(50 + ((outcomes.resumed * 37) % 400));
          const signal = AbortSignal.any([stop.signal, cut]);
          const options = { namespace, resourceVersion, allowBookmarks: true, signal };
          for await (const event of client.watch(configMaps, options)) {
            resourceVersion = event.object.metadata.resourceVersion ?? '';
            if (event.type !== 'BOOKMARK') events.push(seen(event.object, event.type === 'DELETED'));
          }
          outcomes.resumed++;
        } catch (error) {
          if (error instanceof ApiError && error.code === 410) {
            outcomes.expired++;
            return;
          }
          if (!isInterrupted(error)) throw error;
          outcomes.resumed++;
          await delay(10);
        }
      }
    });
  }

  const running = Promise.all([
    ...[0, 1, 2, 3].map((id) => forever(raise(id))),
    ...[0, 1, 2].map((id) => forever(churn(id))),
    ...['w1', 'w2', 'w3', 'w4'].map((name) => watcher(name)),
  ]);
  running.catch(() => stop.abort());
  const until = performance.now() + soakMs;
  for (let round = 0; (round < rounds || performance.now() < until) && !stop.signal.aborted; round++) {
    const before = acknowledged.length;
    // A different time each round: the kill falls at another point of a commit, a checkpoint, an event on its way.
    await delay(roundMs + ((round * 211) % 500));
    await waitFor('some load', () => acknowledged.length - before > 40 || stop.signal.aborted, 30_000);
    await kill(server);
    server = await start(data, port);
  }
  await delay(roundMs);
  stop.abort();
  await running;

  const list = await client.list(configMaps, { namespace });
  const final = { version: Number(list.resourceVersion), objects: list.items.map((item) => seen(item)) };
  const found = violations({ acknowledged, reads, segments, final });
  assert.deepEqual(found.slice(0, 20), [], `${found.length} violations`);
  const { length: events } = segments.flatMap((segment) => segment.events);
  const summary = `${acknowledged.length} writes, ${reads.length} reads, ${events} events, ${JSON.stringify(outcomes)}`;
  t.diagnostic(summary);
  assert.ok(
    acknowledged.length > 200 && events > 500 && outcomes.conflicts > 0 && outcomes.interrupted > 0,
    summary,
  );
});
