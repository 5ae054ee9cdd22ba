/** A disk that is really full, as clients of the API meet it. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { configMaps } from '../../../src/api/kubernetes/core.ts';
import { ApiError } from '../../../src/kube/api-error.ts';
import type { HttpClient } from '../../../src/kube/client/http.ts';
import { kubeClient } from '../../support/kube-client.ts';

const script = fileURLToPath(new URL('../../support/api-child.ts', import.meta.url));

function mountSmall(path: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', path], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Fails when the program ends without one. */
async function firstLine(child: ChildProcessByStdio<null, Readable, null>): Promise<string> {
  for await (const line of createInterface(child.stdout)) return line;
  throw new Error('the API server did not start');
}

test('writes get 503 and say why, reads and watches go on, and freed space is used without a restart', async (t) => {
  const data = mkdtempSync(join(tmpdir(), 'knapsack-full-'));
  const disk = join(data, 'store');
  mkdirSync(disk, { mode: 0o700 });
  if (!mountSmall(disk)) {
    rmSync(data, { recursive: true });
    t.skip('needs the right to mount a small disk');
    return;
  }
  t.after(() => {
    execFileSync('umount', ['-l', disk]);
    rmSync(data, { recursive: true });
  });
  const ballast = join(disk, 'ballast');
  writeFileSync(ballast, Buffer.alloc(1_000_000));
  const start = async (): Promise<{ stop: () => Promise<void>; client: HttpClient }> => {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, data, '0'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const line = await firstLine(child);
    const client = kubeClient((JSON.parse(line) as { kubeconfig: string }).kubeconfig) as HttpClient;
    const stop = async (): Promise<void> => {
      client.close();
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    };
    return { client, stop };
  };
  let { client, stop } = await start();
  try {
    const write = (name: string): Promise<unknown> =>
      client.create(configMaps, {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name, namespace: 'default' },
        data: { payload: 'x'.repeat(30_000) },
      });
    const acknowledged: string[] = [];
    const fill = async (): Promise<never> => {
      for (;;) {
        const name = `c${acknowledged.length}`;
        await write(name);
        acknowledged.push(name);
      }
    };
    await assert.rejects(fill(), (refusal) => {
      assert.ok(refusal instanceof ApiError && refusal.code === 503);
      assert.match(refusal.message, /The disk of .*store\.db is full\. Free space .* \(STORE_FULL\)/);
      return true;
    });
    assert.ok(acknowledged.length > 3);

    const names = async (): Promise<string[]> =>
      (await client.list(configMaps, { namespace: 'default' })).items
        .map(({ metadata }) => metadata.name)
        .sort();
    assert.deepEqual(await names(), [...acknowledged].sort(), 'what was refused is not shown');
    const watch = client.watch(configMaps, { namespace: 'default', sendInitialEvents: true });
    let seen = 0;
    for await (const { type } of watch) {
      if (type === 'BOOKMARK') break;
      seen++;
    }
    assert.equal(seen, acknowledged.length);

    // A start on a full disk, with what a kill left behind.
    await stop();
    ({ client, stop } = await start());
    assert.deepEqual(await names(), [...acknowledged].sort(), 'nothing acknowledged is lost');

    rmSync(ballast);
    await write('after');
    assert.deepEqual(await names(), ['after', ...acknowledged].sort());
  } finally {
    await stop();
  }
});
