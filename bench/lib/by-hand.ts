/** Starting the hello app without Knapsack: what its cold start is held against. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findRuntime, namespaceSetup } from '../../src/node/drivers/oci/detect.ts';

const app = fileURLToPath(new URL('../../examples/helloworld-nodejs/index.js', import.meta.url));

/** Milliseconds until the first byte of an HTTP answer, connecting every millisecond. */
function firstByte(host: string, port: number, timeoutMs = 20_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  return new Promise((resolve, reject) => {
    const attempt = (): void => {
      const socket = connect({ host, port, noDelay: true });
      let answered = false;
      socket.on('connect', () => socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'));
      socket.once('data', () => {
        answered = true;
        socket.destroy();
        resolve();
      });
      socket.on('error', () => {});
      socket.on('close', () => {
        if (answered) return;
        if (Date.now() > deadline) reject(new Error(`no answer on ${host}:${port}`));
        else setTimeout(attempt, 1);
      });
    };
    attempt();
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** Starts the app as a plain process and times its first byte, ms. */
async function startProcess(): Promise<number> {
  const port = await freePort();
  const began = performance.now();
  const child = spawn(process.execPath, [app], {
    env: { ...process.env, PORT: String(port) },
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  try {
    await firstByte('127.0.0.1', port);
    return performance.now() - began;
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}

const bridge = 'knbench0';
const gateway = '10.199.0.1';
const address = '10.199.0.2';

/** The unpacked root directory that holds the hello app. */
function helloRoot(data: string): string {
  const roots = join(data, 'images', 'roots');
  const found = readdirSync(roots).map((chain) => join(roots, chain, 'rootfs'));
  const root = found.find((directory) => existsSync(join(directory, 'app', 'index.js')));
  if (!root) throw new Error(`no unpacked hello image below ${roots}`);
  return root;
}

/**
 * Starts the app in a container as a person with a script would: a network namespace on a bridge, an overlay over the
 * image, then the runtime. Times its first byte, ms.
 */
async function startContainer(data: string): Promise<number> {
  const work = mkdtempSync(join(tmpdir(), 'knapsack-by-hand-'));
  const runtime = await findRuntime(process.env['PATH'] ?? '', work);
  if ('missing' in runtime) throw new Error(runtime.missing);
  for (const name of ['upper', 'work', 'rootfs']) mkdirSync(join(work, name));
  const namespaces = ['pid', 'ipc', 'uts', 'mount'].map((type) => ({
    type,
    path: undefined as string | undefined,
  }));
  namespaces.push({ type: 'network', path: '/run/netns/knbench' });
  const config = {
    ociVersion: '1.0.2',
    process: {
      user: { uid: 1000, gid: 1000 },
      args: ['node', 'index.js'],
      env: ['PATH=/usr/local/bin:/usr/bin:/bin', 'PORT=8080'],
      cwd: '/app',
      noNewPrivileges: true,
    },
    root: { path: join(work, 'rootfs') },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs' },
    ],
    linux: { namespaces },
  };
  const network = [
    `ip link add ${bridge} type bridge`,
    `ip addr add ${gateway}/24 dev ${bridge}`,
    `ip link set ${bridge} up`,
  ].join(' && ');
  const start = [
    'ip netns add knbench',
    `ip link add knbench1 type veth peer name eth0 netns knbench`,
    `ip link set knbench1 master ${bridge} up`,
    `ip -n knbench addr add ${address}/24 dev eth0`,
    'ip -n knbench link set lo up',
    'ip -n knbench link set eth0 up',
  ].join(' && ');
  const overlay = `lowerdir=${helloRoot(data)},upperdir=${work}/upper,workdir=${work}/work`;
  const manager = runtime.name === 'crun' ? '--cgroup-manager=disabled' : '';
  const run = [
    namespaceSetup(),
    `mount -t overlay overlay -o ${overlay} ${work}/rootfs`,
    `exec ${runtime.path} --root ${work}/state ${manager} run --bundle ${work} --pid-file ${work}/pid knbench`,
  ].join('; ');
  writeFileSync(join(work, 'config.json'), JSON.stringify(config));
  execFileSync('sh', ['-c', network], { stdio: 'ignore' });
  const began = performance.now();
  // First the network, as any script would: a connection tried before the link is up hangs for a second.
  execFileSync('sh', ['-c', start], { stdio: 'ignore' });
  const child = spawn('unshare', ['-m', 'sh', '-c', run], { stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  try {
    await firstByte(address, 8080);
    return performance.now() - began;
  } finally {
    execFileSync('sh', ['-c', `kill -9 $(cat ${work}/pid)`], { stdio: 'ignore' });
    await ended;
    execFileSync('sh', ['-c', `ip netns del knbench; ip link del ${bridge}`], { stdio: 'ignore' });
    rmSync(work, { recursive: true, force: true });
  }
}

/** Milliseconds from the decision to start until the first byte of the answer. `data` holds the unpacked image. */
export function startByHand(driver: 'oci' | 'process', data: string): Promise<number> {
  return driver === 'oci' ? startContainer(data) : startProcess();
}
