/** A backup taken while everything runs and is written to brings all of it back elsewhere. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { configMaps } from '../../src/api/kubernetes/core.ts';
import { ApiError } from '../../src/kube/api-error.ts';
import type { HttpClient } from '../../src/kube/client/http.ts';
import { kubeClient } from '../support/kube-client.ts';
import { knapsack, TestPlatform } from '../support/platform.ts';
import { waitFor } from '../support/wait.ts';

const host = 'hello.default.example.com';

describe('backup and restore', { timeout: 180_000 }, () => {
  const first = new TestPlatform('process');
  const second = new TestPlatform('process');
  const work = mkdtempSync(join(tmpdir(), 'knapsack-e2e-backup-'));
  const file = join(work, 'backup.tar.gz');
  /** Names of ConfigMaps that were acknowledged before the backup began, and the newest version seen after it ended. */
  let acknowledged: string[];
  let newest: number;

  before(() => first.up([]));
  after(async () => {
    await Promise.all([first.dispose(), second.dispose()]);
    rmSync(work, { recursive: true, force: true });
  });

  it('is taken under load while a service answers', async () => {
    await waitFor('the example', async () => (await first.curl(host)).status === 200);
    const client = kubeClient(first.info.kubeconfig) as HttpClient;
    const written: string[] = [];
    const stop = new AbortController();
    newest = 0;
    const writer = async (id: number): Promise<void> => {
      for (let i = 0; !stop.signal.aborted; i++) {
        const name = `load-${id}-${i}`;
        const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'default' } };
        const { metadata } = await client.create(configMaps, object);
        written.push(name);
        newest = Math.max(newest, Number(metadata.resourceVersion));
      }
    };
    const writers = Promise.all(Array.from({ length: 8 }, (_, id) => writer(id)));
    await waitFor('some load', () => written.length > 200);
    acknowledged = [...written];
    const { code, stderr } = await knapsack(['backup', file, '--data', first.data]);
    assert.equal(code, 0, stderr);
    assert.equal((await first.curl(host)).status, 200);
    stop.abort();
    await writers;
    client.close();
    assert.ok(written.length > acknowledged.length, 'writes went on meanwhile');
  });

  it('brings the service and every acknowledged write back after the original was lost', async () => {
    first.kill();
    rmSync(second.data, { recursive: true });
    const { code, stderr } = await knapsack(['restore', file, '--data', second.data]);
    assert.equal(code, 0, stderr);
    await second.up([]);
    await waitFor('the example to answer again', async () => {
      const { status, body } = await second.curl(host);
      return status === 200 && body.includes('Hello');
    });
    const client = kubeClient(second.info.kubeconfig) as HttpClient;
    const list = await client.list(configMaps, { namespace: 'default' });
    const names = new Set(list.items.map(({ metadata }) => metadata.name));
    assert.deepEqual(
      acknowledged.filter((name) => !names.has(name)),
      [],
    );
    assert.ok(Number(list.resourceVersion) > newest, 'no version is given out twice');
    const resumed = client.watch(configMaps, { namespace: 'default', resourceVersion: String(newest) });
    await assert.rejects(
      async () => {
        for await (const event of resumed) assert.fail(`a watch from before went on with ${event.type}`);
      },
      (error) => error instanceof ApiError && error.code === 410,
    );
    client.close();
  });

  it('keeps the identities: the kubeconfig of before works, but for the port', async () => {
    const old = await first.tryKubectl(['get', 'namespaces', '--server', second.info.api]);
    assert.equal(old.code, 0, old.stderr);
  });

  it('is refused while a platform runs on the directory', async () => {
    const { code, stderr } = await knapsack(['restore', file, '--force', '--data', second.data]);
    assert.equal(code, 1);
    assert.match(stderr, /STORE_IN_USE/);
    assert.equal((await second.curl(host)).status, 200);
  });
});
