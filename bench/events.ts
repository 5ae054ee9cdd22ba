/**
 * What an acknowledged event costs: `node bench/events.ts [seconds]`.
 *
 * 1. Rate and latency of POST → 202 (on disk, group-committed) against a bare node:http server that reads the body and
 *    answers 202, same client, same run, rounds taken in turn, best of three.
 * 2. Latency from the POST of an event to its arrival at a subscriber, against the POST of a request straight to the
 *    same kind of server.
 *
 * Servers run in a process of their own. Loopback only.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../src/base/clock.ts';
import { createLogger } from '../src/base/log.ts';
import { LogBus } from '../src/eventing/buses/log-bus.ts';
import { Dispatcher } from '../src/eventing/dispatcher/dispatcher.ts';
import { Sender } from '../src/eventing/dispatcher/sender.ts';
import { makeFilter } from '../src/eventing/filter/filter.ts';
import { startIngress } from '../src/eventing/ingress/server.ts';
import { TriggerSubscriptions } from '../src/eventing/trigger/subscriptions.ts';

interface Ports {
  readonly echo: number;
  readonly silent: number;
  readonly delivering: number;
}

/** The servers: the bare peer, a broker without triggers, and a broker with one trigger. */
async function serve(directory: string, subscriber: string): Promise<void> {
  const echo = createServer((incoming, response) => {
    incoming.resume().on('end', () => response.writeHead(202).end());
  });
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
  const log = createLogger({ level: 'error' });
  const bus = await LogBus.open({ directory, clock: systemClock, log });
  const silent = await bus.open('silent');
  const delivering = await bus.open('delivering');
  await delivering.createGroup('trigger');
  const dispatcher = new Dispatcher({ sender: new Sender(() => undefined), clock: systemClock, log });
  await new TriggerSubscriptions(dispatcher).activate('default/t', 'trigger', delivering, {
    filter: makeFilter({ filter: { attributes: { type: 'bench' } } }),
    plan: { name: 'bench', namespace: 'default', subscriber: { url: subscriber }, policy: { retry: 10 } },
    ordered: false,
  });
  const start = (topic: typeof silent): ReturnType<typeof startIngress> =>
    startIngress({ lookup: () => ({ append: (message) => topic.append(message) }), clock: systemClock, log });
  const ports: Ports = {
    echo: (echo.address() as AddressInfo).port,
    silent: (await start(silent)).address.port,
    delivering: (await start(delivering)).address.port,
  };
  process.stdout.write(`${JSON.stringify(ports)}\n`);
  process.once('disconnect', () => process.exit());
}

const body = Buffer.from(JSON.stringify({ hello: 'x'.repeat(400) }));
const agent = new Agent({ keepAlive: true, maxSockets: 256 });

function post(port: number, headers: Record<string, string>): Promise<void> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        port,
        host: '127.0.0.1',
        agent,
        method: 'POST',
        path: '/default/main',
        headers: {
          'ce-specversion': '1.0',
          'ce-id': '1',
          'ce-source': '/bench',
          'ce-type': 'bench',
          'content-type': 'application/json',
          'content-length': body.length,
          ...headers,
        },
      },
      (response) => {
        response.resume().on('end', () => {
          if (response.statusCode === 202) resolve();
          else reject(new Error(`status ${response.statusCode}`));
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

interface Result {
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
}

function summarize(latencies: number[], seconds: number): Result {
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
  return { rate: sorted.length / seconds, p50: at(0.5), p99: at(0.99) };
}

async function load(port: number, concurrency: number, seconds: number): Promise<Result> {
  const latencies: number[] = [];
  const end = performance.now() + seconds * 1000;
  const worker = async (): Promise<void> => {
    for (let now = performance.now(); now < end;) {
      await post(port, {});
      const after = performance.now();
      latencies.push(after - now);
      now = after;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return summarize(latencies, seconds);
}

function print(what: string, { rate, p50, p99 }: Result): void {
  console.log(
    `${what.padEnd(44)} ${rate.toFixed(0).padStart(7)}/s   p50 ${p50.toFixed(2)} ms   p99 ${p99.toFixed(2)} ms`,
  );
}

async function main(seconds: number): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'knapsack-bench-'));
  const arrivals = new Map<string, (at: number) => void>();
  const sink = createServer((incoming, response) => {
    arrivals.get(String(incoming.headers['ce-id']))?.(performance.now());
    incoming.resume().on('end', () => response.writeHead(202).end());
  });
  await new Promise<void>((resolve) => sink.listen(0, '127.0.0.1', resolve));
  const subscriber = `http://127.0.0.1:${(sink.address() as AddressInfo).port}`;
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), '--serve', directory, subscriber], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  try {
    const [line] = (await once(child.stdout ?? child, 'data')) as [Buffer];
    const ports = JSON.parse(line.toString()) as Ports;
    await load(ports.echo, 16, 0.5);
    await load(ports.silent, 16, 0.5);
    for (const concurrency of [1, 16, 64]) {
      const best: Record<'echo' | 'silent', Result[]> = { echo: [], silent: [] };
      for (let round = 0; round < 3; round++) {
        for (const peer of ['echo', 'silent'] as const)
          best[peer].push(await load(ports[peer], concurrency, seconds));
      }
      const pick = (results: Result[]): Result => results.reduce((a, b) => (b.rate > a.rate ? b : a));
      print(`bare node:http, ${concurrency} at once`, pick(best.echo));
      print(`event stored (202 after fsync), ${concurrency} at once`, pick(best.silent));
    }
    const direct: number[] = [];
    const through: number[] = [];
    const sinkPort = Number(new URL(subscriber).port);
    for (let i = 0; i < 600 * seconds; i++) {
      const events = [direct, through] as const;
      for (const [index, port] of [sinkPort, ports.delivering].entries()) {
        const id = `${i}-${index}`;
        const started = performance.now();
        const arrived = new Promise<number>((resolve) => arrivals.set(id, resolve));
        await post(port, { 'ce-id': id });
        events[index as 0 | 1].push((await arrived) - started);
        arrivals.delete(id);
      }
    }
    print('arrival of a request sent directly', summarize(direct, seconds));
    print('arrival of an event sent through the broker', summarize(through, seconds));
  } finally {
    child.kill('SIGKILL');
    sink.close();
    agent.destroy();
    rmSync(directory, { recursive: true, force: true });
  }
}

const [mode, directory = '', subscriber = ''] = process.argv.slice(2);
if (mode === '--serve') await serve(directory, subscriber);
else await main(Number(mode ?? 2));
