/** Scaling to zero and back, and a change of revision, under requests that never stop: each of them is answered. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { kubectlSkipReason, ociSkipReason } from '../support/drivers.ts';
import { knapsack, TestPlatform } from '../support/platform.ts';
import { waitFor } from '../support/wait.ts';

const example = fileURLToPath(new URL('../../examples/helloworld-nodejs', import.meta.url));
const image = 'registry.knapsack.local/hello';
/** The stable window is 6 s at least: pauses around it meet a pod at every stage of going away. */
const windowMs = 6000;
const services = 8;
const durationMs = 24_000;

function manifest(name: string, target: string): string {
  const yaml = readFileSync(`${example}/service.yaml`, 'utf8');
  return yaml
    .replace('name: helloworld-nodejs', `name: ${name}`)
    .replace(/image: .*/, `image: ${image}`)
    .replace('Node.js Sample Native v1', target);
}

for (const driver of ['process', 'oci'] as const) {
  const skip = kubectlSkipReason() ?? (driver === 'oci' ? ociSkipReason() : undefined);
  describe(`no request is lost on the ${driver} driver`, { skip, timeout: 300_000 }, () => {
    const platform = new TestPlatform(driver);

    before(async () => {
      await platform.up();
      await platform.configure('config-autoscaler', { 'stable-window': `${windowMs / 1000}s` });
      const built = await knapsack(['image', 'build', example, '-t', image, '--data', platform.data]);
      assert.equal(built.code, 0, built.stderr);
      const names = Array.from({ length: services }, (_, i) => `app-${i}`);
      await platform.apply(names.map((name) => manifest(name, name)).join('\n---\n'));
      await platform.kubectl(['wait', 'ksvc', '--all', '--for=condition=Ready', '--timeout=120s']);
    });
    after(() => platform.dispose());

    it('when services go to zero and requests come back around that moment', async () => {
      const end = Date.now() + durationMs;
      let sawZero = 0;
      const watchZero = async (): Promise<void> => {
        while (Date.now() < end) {
          const revisions = await platform.kubectl([
            'get',
            'revisions',
            '-o',
            'jsonpath={range .items[*]}{.status.actualReplicas}{"\\n"}{end}',
          ]);
          if (revisions.split('\n').some((line) => line === '0' || line === '')) sawZero++;
          await delay(500);
        }
      };
      let requests = 0;
      const user = async (name: string, index: number): Promise<void> => {
        while (Date.now() < end) {
          const { status, body } = await platform.curl(`${name}.default.example.com`);
          requests++;
          assert.deepEqual({ status, body }, { status: 200, body: `Hello ${name}!` });
          // Spread over the second in which the pod goes: window + the two-second tick.
          await delay(windowMs + 200 + ((requests * 370 + index * 230) % 2600));
        }
      };
      await Promise.all([watchZero(), ...Array.from({ length: services }, (_, i) => user(`app-${i}`, i))]);
      assert.ok(sawZero > 0, 'no service was ever at zero: the test met nothing');
      assert.ok(requests >= services * 2, `${requests} requests`);
    });

    it('when a new revision takes over under load', async () => {
      const stop = new AbortController();
      const answers = new Set<string>();
      const client = async (): Promise<void> => {
        while (!stop.signal.aborted) {
          const { status, body } = await platform.curl('app-0.default.example.com');
          assert.equal(status, 200, body);
          answers.add(body);
        }
      };
      const clients = Promise.all(Array.from({ length: 4 }, client));
      try {
        await waitFor('the first revision', () => answers.has('Hello app-0!'));
        await platform.apply(manifest('app-0', 'changed'));
        await waitFor('the second revision', () => answers.has('Hello changed!'), 60_000);
      } finally {
        stop.abort();
        await clients;
      }
      assert.deepEqual([...answers].sort(), ['Hello app-0!', 'Hello changed!']);
    });
  });
}
