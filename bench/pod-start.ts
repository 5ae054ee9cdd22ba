/**
 * What Knapsack adds to the start of an app: pod created through the API until its Ready condition is seen by a watcher,
 * against the same app started by hand (spawned, or in the same container runtime) until its port accepts. Interleaved,
 * so that a noisy machine is noisy for both. Usage: node bench/pod-start.ts [process|oci] [rounds]
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../src/base/clock.ts';
import { silentLogger } from '../src/base/log.ts';
import { pods } from '../src/api/kubernetes/pods.ts';
import { isPodReady } from '../src/api/pods.ts';
import { SharedInformers } from '../src/kube/client/shared-informers.ts';
import { findRuntime, namespaceSetup } from '../src/node/drivers/oci/detect.ts';
import { PortAllocator } from '../src/node/drivers/ports.ts';
import { helloApp, startTestNode, type DriverName } from '../test/node/support.ts';

const driver = (process.argv[2] ?? 'process') as DriverName;
const rounds = Number(process.argv[3] ?? 30);

/** Resolves when the port accepts a connection, trying each millisecond. */
function accepts(host: string, port: number): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      const socket = connect({ host, port, noDelay: true });
      socket.once('connect', () => {
        socket.destroy();
        resolve();
      });
      socket.once('error', () => setTimeout(go, 1));
    };
    go();
  });
}

const node = await startTestNode(driver);
const informers = new SharedInformers({ client: node.api.client, clock: systemClock, log: silentLogger });
await informers.for(pods).synced();
const work = mkdtempSync(join(tmpdir(), 'knapsack-bench-'));
const ports = new PortAllocator();

async function viaPod(name: string): Promise<number> {
  const ready = Promise.withResolvers<number>();
  const stop = informers.for(pods).onChange(({ object }) => {
    if (object.metadata.name === name && isPodReady(object)) ready.resolve(performance.now());
  });
  const begun = performance.now();
  const containers = [
    {
      name: 'app',
      image: 'hello',
      ports: [{ containerPort: 8080 }],
      readinessProbe: { tcpSocket: { port: 8080 } },
    },
  ];
  await node.run(name, { containers });
  const took = (await ready.promise) - begun;
  stop();
  await node.api.client.delete(pods, { namespace: 'default', name }, { gracePeriodSeconds: 1 });
  await node.gone(name);
  return took;
}

async function byHand(): Promise<number> {
  const port = await ports.allocate();
  const file = join(work, 'server.cjs');
  writeFileSync(file, helloApp);
  const begun = performance.now();
  const child = spawn(process.execPath, [file], { env: { PORT: String(port) }, stdio: 'ignore' });
  await accepts('127.0.0.1', port);
  const took = performance.now() - begun;
  await ended(child);
  ports.release(port);
  return took;
}

/** The same image directory, read-only, in a container with the host's network: what the runtime itself costs. */
async function byRuntime(): Promise<number> {
  const runtime = await findRuntime(process.env['PATH'] ?? '', work);
  if ('missing' in runtime) throw new Error(runtime.missing);
  const port = await ports.allocate();
  const bundle = join(work, `b${port}`);
  mkdirSync(bundle);
  const { rootfs } = await node.images.ensure('hello');
  const config = {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: ['node', '/app/server.cjs'],
      env: ['PATH=/usr/local/bin:/usr/bin:/bin', `PORT=${port}`],
      cwd: '/app',
    },
    root: { path: rootfs, readonly: true },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs' },
    ],
    linux: { namespaces: ['pid', 'ipc', 'uts', 'mount'].map((type) => ({ type })) },
  };
  const begun = performance.now();
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(config));
  const manager = runtime.name === 'crun' ? '--cgroup-manager=disabled' : '';
  const run = `${namespaceSetup()}; exec ${runtime.path} --root ${work}/state ${manager} run --pid-file ${bundle}/pid --bundle ${bundle} b${port}`;
  const child = spawn('unshare', ['-m', 'sh', '-c', run], { stdio: 'ignore' });
  await accepts('127.0.0.1', port);
  const took = performance.now() - begun;
  await ended(child, Number(readFileSync(join(bundle, 'pid'), 'latin1')));
  ports.release(port);
  return took;
}

/** Kills the app, and waits for the process that we started: the app, or the runtime around it. */
function ended(child: ReturnType<typeof spawn>, pid = child.pid ?? 0): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    process.kill(pid, 'SIGKILL');
  });
}

function percentile(values: readonly number[], p: number): number {
  return [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(p * values.length))] ?? 0;
}

function report(name: string, values: readonly number[]): void {
  const [p50, p90, max] = [0.5, 0.9, 1].map((p) => percentile(values, p).toFixed(1));
  console.log(`${name.padEnd(24)} n=${values.length} p50=${p50} p90=${p90} max=${max} ms`);
}

const pod: number[] = [];
const hand: number[] = [];
const runtime: number[] = [];
for (let i = -2; i < rounds; i++) {
  const a = await viaPod(`hello-${i + 2}`);
  const b = await byHand();
  const c = driver === 'oci' ? await byRuntime() : 0;
  if (i < 0) continue;
  pod.push(a);
  hand.push(b);
  runtime.push(c);
}
report(`pod Ready, ${driver}`, pod);
report('spawned by hand', hand);
if (driver === 'oci') report('runtime by hand', runtime);
const peer = driver === 'oci' ? runtime : hand;
const ratios = pod.map((value, i) => value / (peer[i] ?? 1));
console.log(`ratio to the same driver by hand: p50=${percentile(ratios, 0.5).toFixed(2)}`);
informers.close();
await node.close();
rmSync(work, { recursive: true, force: true });
