import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { KubeConfig } from '@kubernetes/client-node';
import { ManualClock, type Clock } from '../../src/base/clock.ts';
import type { Pod } from '../../src/api/pods.ts';
import { makeApiEnvironment, makePodKubeconfig } from '../../src/node/api-environment.ts';
import { memoryTagOf } from '../../src/node/drivers/choose.ts';
import { PodTokens } from '../../src/node/pod-tokens.ts';
import type { TokenSource } from '../../src/node/volume-files.ts';
import { waitFor } from '../support/wait.ts';
import { startTestNode } from './support.ts';

const request = (uid: string, expirationSeconds = 1000, audience?: string) => ({
  namespace: 'default',
  serviceAccount: 'default',
  audience,
  expirationSeconds,
  pod: { name: 'p', uid },
});

describe('tokens of pods', () => {
  it('are kept until four fifths of their time are over', async () => {
    const clock = new ManualClock(1_000_000);
    let made = 0;
    const tokens = new PodTokens(() => Promise.resolve(`t${++made}`), clock);
    const live = new Set(['a', 'b']);
    assert.equal(await tokens.get(request('a')), 't1');
    assert.equal(await tokens.get(request('b')), 't2', 'another pod');
    assert.equal(await tokens.get(request('a', 1000, 'vault')), 't3', 'another audience');
    clock.advance(799_000);
    assert.equal(await tokens.get(request('a')), 't1');
    assert.deepEqual(tokens.stale(live), new Set());
    clock.advance(1000);
    assert.deepEqual(tokens.stale(live), new Set(['a', 'b']));
    assert.equal(await tokens.get(request('a')), 't4');
    assert.equal(await tokens.get(request('a', 1000, 'vault')), 't5');
    assert.deepEqual(tokens.stale(live), new Set(['b']));
    assert.deepEqual(tokens.stale(new Set(['a'])), new Set(), 'pods that are gone are forgotten');
  });

  it('that last for years are replaced each day', async () => {
    const clock = new ManualClock(0);
    const tokens = new PodTokens(() => Promise.resolve('t'), clock);
    await tokens.get(request('a', 2 ** 31));
    clock.advance(24 * 3600_000);
    assert.deepEqual(tokens.stale(new Set(['a'])), new Set(['a']));
  });

  it('are asked for again after a failure, and once by those who ask together', async () => {
    const answers = [Promise.reject(new Error('not yet')), Promise.resolve('t')];
    let asked = 0;
    const source: TokenSource = () => answers[asked++] ?? Promise.reject(new Error('too often'));
    const tokens = new PodTokens(source, new ManualClock(0));
    const both = await Promise.allSettled([tokens.get(request('a')), tokens.get(request('a'))]);
    assert.deepEqual(
      both.map(({ status }) => status),
      ['rejected', 'rejected'],
    );
    assert.equal(await tokens.get(request('a')), 't');
    assert.equal(asked, 2);
  });
});

/** Real time, of which parts can be left out. */
class SkippingClock implements Clock {
  #skipped = 0;
  readonly #timers = new Set<{ at: number; fn: () => void }>();

  now(): number {
    return Date.now() + this.#skipped;
  }

  after(ms: number, fn: () => void): () => void {
    const timer = { at: this.now() + ms, fn };
    this.#timers.add(timer);
    const real = setTimeout(() => this.#run(timer), ms);
    real.unref();
    return () => {
      clearTimeout(real);
      this.#timers.delete(timer);
    };
  }

  skip(ms: number): void {
    this.#skipped += ms;
    const due = [...this.#timers].filter(({ at }) => at <= this.now());
    for (const timer of due) this.#run(timer);
  }

  #run(timer: { at: number; fn: () => void }): void {
    if (this.#timers.delete(timer)) timer.fn();
  }
}

describe('the files of a pod that runs', () => {
  it('get new tokens before the old ones end', async () => {
    const clock = new SkippingClock();
    let made = 0;
    const node = await startTestNode('process', { clock, token: () => Promise.resolve(`t${++made}`) });
    try {
      const token = { path: 'token', expirationSeconds: 600 };
      const { metadata } = await node.run('keeps', {
        containers: [{ name: 'a', image: 'script', args: ['setInterval(() => {}, 1000)'] }],
        volumes: [{ name: 'v', projected: { sources: [{ serviceAccountToken: token }] } }],
      });
      await node.until('keeps', 'it runs', (pod) => pod.status?.phase === 'Running');
      const { uid = '' } = metadata;
      const inMemory = join('/dev/shm', memoryTagOf(join(node.dataDir, 'node')), uid, 'v/token');
      const onDisk = join(node.dataDir, 'node/pods', uid, 'volumes/v/token');
      const path = existsSync(inMemory) ? inMemory : onDisk;
      assert.equal(readFileSync(path, 'utf8'), 't1');
      clock.skip(470_000);
      clock.skip(30_000);
      await waitFor('a new token', () => readFileSync(path, 'utf8') === 't2');
      clock.skip(30_000);
      assert.equal(made, 2);
    } finally {
      await node.close();
    }
  });
});

describe('where pods find the API', () => {
  const address = { host: '10.1.0.1', port: 6443 };
  const pod = (mountPath: string) =>
    ({ spec: { containers: [{ name: 'a', volumeMounts: [{ name: 'v', mountPath }] }] } }) as unknown as Pod;
  const tokenPath = '/var/run/secrets/kubernetes.io/serviceaccount';

  it('their environment says', () => {
    const env = makeApiEnvironment(address, pod(tokenPath), false);
    assert.deepEqual(Object.fromEntries(env), {
      KUBERNETES_SERVICE_HOST: '10.1.0.1',
      KUBERNETES_SERVICE_PORT: '6443',
      KUBERNETES_SERVICE_PORT_HTTPS: '6443',
    });
    assert.equal(
      makeApiEnvironment(address, pod(tokenPath), true).get('KUBECONFIG'),
      `${tokenPath}/kubeconfig`,
    );
    assert.equal(makeApiEnvironment(address, pod('/data'), true).get('KUBECONFIG'), undefined);
  });

  it("a kubeconfig says, which Kubernetes' client for Node.js understands", () => {
    const dir = mkdtempSync(join(tmpdir(), 'knapsack-kubeconfig-'));
    try {
      writeFileSync(join(dir, 'token'), 'the-token');
      const config = new KubeConfig();
      config.loadFromString(makePodKubeconfig({ host: '::1', port: 1 }, dir));
      assert.equal(config.getCurrentCluster()?.server, 'https://[::1]:1');
      assert.equal(config.getCurrentCluster()?.caFile, join(dir, 'ca.crt'));
      assert.equal(config.getCurrentUser()?.token, 'the-token');
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
