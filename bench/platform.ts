/**
 * The promises of the whole platform, each against a peer in the same run:
 *   idle memory            one idle Knapsack against one idle `node:http` server
 *   apply → Ready          creating a service until READY True, beyond starting the same app by hand
 *   first byte from zero   a request that wakes a service, against starting the same app by hand on the same driver
 *   warm request           through the gateway, against the pod directly
 * Run: `node bench/platform.ts [process|oci] [samples]`. Samples of both sides alternate.
 */
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { spawn } from 'node:child_process';
import { knapsack, TestPlatform } from '../test/support/platform.ts';
import { kubeClient } from '../test/support/kube-client.ts';
import { waitFor } from '../test/support/wait.ts';
import { knativeServices } from '../src/api/serving/index.ts';
import { pods as podResource } from '../src/api/kubernetes/index.ts';
import { podAddress } from '../src/api/pods.ts';
import { startByHand } from './lib/by-hand.ts';
import { describeSample, median, pairedDifference, pairedRatio } from './lib/stats.ts';

const driver = process.argv[2] === 'oci' ? 'oci' : 'process';
const samples = Number(process.argv[3] ?? 15);
const image = 'registry.knapsack.local/bench/hello';
const agent = new Agent({ keepAlive: true, maxSockets: 1 });

function get(url: string, host: string, keepAlive: boolean): Promise<number> {
  const began = performance.now();
  return new Promise((resolve, reject) => {
    const call = request(url, { headers: { host }, agent: keepAlive ? agent : false }, (response) => {
      const ms = performance.now() - began;
      response.resume();
      response.on('end', () =>
        response.statusCode === 200 ? resolve(ms) : reject(new Error(`status ${response.statusCode}`)),
      );
    });
    call.on('error', reject);
    call.end();
  });
}

function residentMb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN) / 1024;
}

function makeService(name: string, initialScale: number) {
  return {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec: {
      template: {
        metadata: { annotations: { 'autoscaling.knative.dev/initial-scale': String(initialScale) } },
        spec: { containers: [{ name: 'user-container', image }] },
      },
    },
  };
}

const platform = new TestPlatform(driver);
try {
  const info = await platform.up();
  const built = await knapsack([
    'image',
    'build',
    'examples/helloworld-nodejs',
    '-t',
    image,
    '--data',
    platform.data,
  ]);
  if (built.code !== 0) throw new Error(built.stderr);
  const client = kubeClient(info.kubeconfig);

  const createAndWait = async (name: string, initialScale: number): Promise<number> => {
    const began = performance.now();
    const signal = AbortSignal.timeout(60_000);
    await client.create(knativeServices, makeService(name, initialScale));
    const watch = client.watch(knativeServices, {
      namespace: 'default',
      fieldSelector: `metadata.name=${name}`,
      signal,
    });
    for await (const event of watch) {
      if (event.type === 'BOOKMARK') continue;
      const ready = event.object.status?.conditions?.find((c) => c.type === 'Ready');
      if (ready?.status === 'True') return performance.now() - began;
    }
    throw new Error(`${name} did not become ready`);
  };

  const idlePeer = spawn(process.execPath, ['-e', "require('http').createServer().listen(0)"], {
    stdio: 'ignore',
  });
  await waitFor('a settled peer', () => residentMb(idlePeer.pid ?? 0) > 30);
  const idle = residentMb(info.pid);
  const idleNode = residentMb(idlePeer.pid ?? 0);
  idlePeer.kill();

  const hand: number[] = [];
  const cold: number[] = [];
  const ready: number[] = [];
  // One uncounted round warms caches on both sides.
  for (let i = 0; i <= samples; i++) {
    await createAndWait(`zero-${i}`, 0);
    const fromZero = await get(info.gateway, `zero-${i}.default.example.com`, false);
    const byHand = await startByHand(driver, platform.data);
    const applied = await createAndWait(`one-${i}`, 1);
    for (const name of [`zero-${i}`, `one-${i}`])
      await client.delete(knativeServices, { namespace: 'default', name });
    await waitFor(
      'pods gone',
      async () => (await client.list(podResource, { namespace: 'default' })).items.length === 0,
    );
    if (i === 0) continue;
    hand.push(byHand);
    cold.push(fromZero);
    ready.push(applied);
  }

  await createAndWait('warm', 1);
  const [pod] = (await client.list(podResource, { namespace: 'default' })).items;
  const address = pod ? podAddress(pod, 8080) : undefined;
  if (!address) throw new Error('the pod has no address');
  const direct: number[] = [];
  const through: number[] = [];
  for (let i = 0; i < 2000; i++) {
    direct.push(await get(`http://${address.host}:${address.port}/`, 'warm.default.example.com', true));
    through.push(await get(info.gateway, 'warm.default.example.com', true));
  }

  const rows = [
    [
      'idle resident memory',
      `${idle.toFixed(0)} MB`,
      `idle node:http ${idleNode.toFixed(0)} MB`,
      `${(idle / idleNode).toFixed(2)} ×`,
    ],
    [
      'apply → Ready',
      describeSample(ready),
      `by hand ${describeSample(hand)}`,
      `+${pairedDifference(ready, hand).toFixed(1)} ms`,
    ],
    [
      'first byte from zero',
      describeSample(cold),
      `by hand ${describeSample(hand)}`,
      `${pairedRatio(cold, hand).toFixed(2)} ×`,
    ],
    [
      'warm request',
      `p50 ${(median(through) * 1000).toFixed(0)} µs`,
      `direct ${(median(direct) * 1000).toFixed(0)} µs`,
      `${pairedRatio(through, direct).toFixed(2)} ×`,
    ],
  ];
  console.log(`driver ${driver}, ${samples} samples`);
  for (const row of rows) console.log(`| ${row.join(' | ')} |`);
} finally {
  agent.destroy();
  await platform.dispose();
}
