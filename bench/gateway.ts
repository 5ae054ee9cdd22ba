/**
 * A warm request through the gateway against the same request sent to the app directly, and against peers that proxy
 * it in the same run: `node:http` with a keep-alive Agent, and nginx where it is installed. Everything is on loopback,
 * each part in its own process; rounds alternate between the candidates and the medians of the rounds are shown.
 *
 *   node bench/gateway.ts [--connections 16] [--rounds 5] [--seconds 1]
 */
import { execFileSync, fork, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, createServer, request as httpRequest } from 'node:http';
import { connect, createServer as createNetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { silentLogger } from '../src/base/log.ts';
import { startGateway } from '../src/gateway/gateway.ts';

const HOST = 'app.default.example.com';
const BODY_BYTES = 1024;

/** A candidate: where to send requests, and how much CPU it has used, µs. */
interface Candidate {
  readonly name: string;
  readonly port: number;
  cpu(): number;
  rss(): number;
  stop(): void;
}

interface Round {
  requests: number;
  p50: number;
  p99: number;
  cpuPerRequest: number;
}

/** Child process: does one part and tells its port. */
async function part(role: string, appPort: number): Promise<void> {
  const tell = (port: number): void => void process.send?.({ port });
  if (role === 'app') {
    const answer = Buffer.from(
      `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${BODY_BYTES}\r\n\r\n${'x'.repeat(BODY_BYTES)}`,
    );
    const server = createNetServer({ noDelay: true }, (socket) => {
      socket.on('error', () => socket.destroy());
      socket.on('data', () => socket.write(answer));
    });
    server.listen(0, '127.0.0.1', () => tell((server.address() as { port: number }).port));
  } else if (role === 'node-http') {
    const agent = new Agent({ keepAlive: true });
    const server = createServer((incoming, response) => {
      const outgoing = httpRequest(
        {
          host: '127.0.0.1',
          port: appPort,
          agent,
          method: incoming.method,
          path: incoming.url,
          headers: incoming.headers,
        },
        (answer) => {
          response.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(response);
        },
      );
      outgoing.on('error', () => response.destroy());
      incoming.pipe(outgoing);
    });
    server.listen(0, '127.0.0.1', () => tell((server.address() as { port: number }).port));
  } else {
    const gateway = await startGateway({
      public: { host: '127.0.0.1', port: 0 },
      log: silentLogger,
      transport: role === 'gateway-net' ? 'net' : 'handles',
    });
    const key = 'default/app-00001';
    await gateway.apply({
      hosts: {
        [HOST]: { visibility: 'public', paths: [{ prefix: '/', splits: [{ backend: key, percent: 100 }] }] },
      },
      backends: {
        [key]: {
          key,
          endpoints: [{ id: 'pod', host: '127.0.0.1', port: appPort }],
          containerConcurrency: 100,
          wakes: true,
          timeoutMs: 300_000,
          responseStartTimeoutMs: 300_000,
          idleTimeoutMs: 0,
          protocol: 'http1',
        },
      },
    });
    tell(gateway.publicAddress.port);
  }
}

/** CPU time of a process with all its threads, µs, from Linux' scheduler; 0 elsewhere. */
function cpuOf(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) * 10_000;
  } catch {
    return 0;
  }
}

function rssOf(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

function candidate(name: string, port: number, child: ChildProcess, pids: () => number[]): Candidate {
  const sum = (of: (pid: number) => number): number => pids().reduce((total, pid) => total + of(pid), 0);
  return { name, port, cpu: () => sum(cpuOf), rss: () => sum(rssOf), stop: () => void child.kill('SIGTERM') };
}

async function start(role: string, appPort = 0): Promise<Candidate> {
  const child = fork(import.meta.filename, ['--part', role, '--app', String(appPort)]);
  const port = await new Promise<number>((resolve, reject) => {
    child.once('message', (message) => resolve((message as { port: number }).port));
    child.once('exit', () => reject(new Error(`${role} ended`)));
  });
  return candidate(role, port, child, () => [child.pid ?? 0]);
}

/** nginx with one worker and kept upstream connections, or undefined when it is not installed. */
async function startNginx(appPort: number): Promise<Candidate | undefined> {
  try {
    execFileSync('nginx', ['-v'], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  const dir = mkdtempSync(join(tmpdir(), 'knapsack-bench-'));
  const probe = createNetServer();
  const port = await new Promise<number>((resolve) => {
    probe.listen(0, '127.0.0.1', () => resolve((probe.address() as { port: number }).port));
  });
  await new Promise((resolve) => probe.close(resolve));
  writeFileSync(
    join(dir, 'nginx.conf'),
    `daemon off; worker_processes 1; pid ${dir}/pid; error_log stderr crit;
     events { worker_connections 4096; }
     http { access_log off; keepalive_requests 1000000000;
       upstream app { server 127.0.0.1:${appPort}; keepalive 256; keepalive_requests 1000000000; }
       server { listen 127.0.0.1:${port}; location / { proxy_pass http://app; proxy_http_version 1.1;
         proxy_set_header Connection ""; proxy_set_header Host $host;
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; } } }`,
  );
  const child = spawn('nginx', ['-p', dir, '-c', join(dir, 'nginx.conf')], { stdio: 'inherit' });
  child.once('exit', () => rmSync(dir, { recursive: true, force: true }));
  for (let i = 0; i < 100; i++) {
    if (await reachable(port)) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const children = (): number[] => {
    const list = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
    return [child.pid ?? 0, ...list.trim().split(' ').map(Number)];
  };
  return candidate('nginx', port, child, children);
}

function reachable(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Closed loop: each connection sends the next request when the answer is complete. */
async function load(to: Candidate, connections: number, seconds: number): Promise<Round> {
  const request = Buffer.from(
    `GET /hello HTTP/1.1\r\nHost: ${HOST}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n`,
  );
  const latencies: number[] = [];
  const before = to.cpu();
  const end = performance.now() + seconds * 1000;
  await Promise.all(
    Array.from(
      { length: connections },
      () =>
        new Promise<void>((resolve, reject) => {
          const socket = connect({ port: to.port, host: '127.0.0.1', noDelay: true });
          let sent = 0;
          let left = -1;
          const send = (): void => {
            sent = performance.now();
            left = -1;
            socket.write(request);
          };
          socket.once('connect', send);
          socket.once('error', reject);
          socket.on('data', (bytes: Buffer) => {
            if (left < 0) {
              if (bytes.toString('latin1', 9, 12) !== '200')
                return reject(new Error(bytes.toString('latin1', 0, 300)));
              const head = bytes.indexOf('\r\n\r\n');
              left = head + 4 + BODY_BYTES;
            }
            left -= bytes.length;
            if (left > 0) return;
            const now = performance.now();
            latencies.push(now - sent);
            if (now < end) return send();
            socket.destroy();
            resolve();
          });
        }),
    ),
  );
  const cpuPerRequest = (to.cpu() - before) / latencies.length;
  latencies.sort((a, b) => a - b);
  const at = (quantile: number): number => latencies[Math.floor(quantile * (latencies.length - 1))] ?? NaN;
  return { requests: latencies.length / seconds, p50: at(0.5), p99: at(0.99), cpuPerRequest };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

async function main(connections: number, rounds: number, seconds: number): Promise<void> {
  const app = await start('app');
  const candidates = [
    { ...app, name: 'direct' },
    await start('gateway-handles', app.port),
    await start('gateway-net', app.port),
    await start('node-http', app.port),
  ];
  const nginx = await startNginx(app.port);
  if (nginx) candidates.push(nginx);
  try {
    const results = new Map<string, Round[]>(candidates.map(({ name }) => [name, []]));
    for (const one of candidates) await load(one, connections, Math.min(1, seconds));
    for (let round = 0; round < rounds; round++) {
      for (const one of candidates) results.get(one.name)?.push(await load(one, connections, seconds));
    }
    const middle = (name: string, of: (round: Round) => number): number =>
      median(results.get(name)?.map(of) ?? []);
    console.log(
      `GET ${BODY_BYTES} bytes, ${connections} kept connections, medians of ${rounds} rounds of ${seconds} s`,
    );
    for (const one of candidates) {
      const { name } = one;
      const ratio = (of: (round: Round) => number, base: string): string =>
        (middle(name, of) / middle(base, of)).toFixed(2);
      console.log(
        `${name.padEnd(16)} ${middle(name, (r) => r.requests)
          .toFixed(0)
          .padStart(7)} req/s` +
          `  p50 ${middle(name, (r) => r.p50).toFixed(3)} ms (${ratio((r) => r.p50, 'direct')}× direct)` +
          `  p99 ${middle(name, (r) => r.p99).toFixed(3)} ms (${ratio((r) => r.p99, 'direct')}×)` +
          (name === 'direct'
            ? ''
            : `  CPU ${middle(name, (r) => r.cpuPerRequest).toFixed(1)} µs/req (${ratio((r) => r.cpuPerRequest, 'node-http')}× node:http)` +
              `  RSS ${(one.rss() / 1e6).toFixed(0)} MB`),
      );
    }
  } finally {
    for (const one of candidates) one.stop();
  }
}

const { values } = parseArgs({
  options: {
    part: { type: 'string' },
    app: { type: 'string', default: '0' },
    connections: { type: 'string', default: '16' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '1' },
  },
});
if (values.part) await part(values.part, Number(values.app));
else await main(Number(values.connections), Number(values.rounds), Number(values.seconds));
