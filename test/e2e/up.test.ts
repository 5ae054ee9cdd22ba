/** Starting, looking, stopping and starting over, on both drivers. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { kubectlSkipReason, ociSkipReason } from '../support/drivers.ts';
import { leftoversOf, tagIn } from '../support/leftovers.ts';
import { knapsack, send, TestPlatform } from '../support/platform.ts';
import { waitFor } from '../support/wait.ts';
import { assertFails, freePorts, temporaryData, up } from './cli-support.ts';

for (const driver of ['process', 'oci'] as const) {
  const skip = driver === 'oci' ? ociSkipReason() : undefined;
  describe(`up in the foreground on the ${driver} driver`, { skip, timeout: 180_000 }, () => {
    const data = temporaryData();
    const options = ['--driver', driver];

    it('shows where everything is and the hello example, and Ctrl-C leaves nothing', async () => {
      const session = up(data, ...options);
      await session.until(/✓ and the next request, now warm, took {2}\d+ ms/);
      const { stdout, stderr } = session;
      assert.match(stdout, /^ {2}API {9}https:\/\/127\.0\.0\.1:\d+$/m);
      assert.ok(stdout.includes(`  kubeconfig  ${join(data, 'kubeconfig')}\n`), stdout);
      assert.match(stdout, /^ {2}gateway {5}http:\/\/127\.0\.0\.1:\d+$/m);
      assert.match(
        stdout,
        /Try:\n {4}export KUBECONFIG=\S+\n {4}kubectl get ksvc,pods\n {4}curl -H "Host: hello\.default\.example\.com" http:\S+\n/,
      );
      for (const step of [
        'store opened',
        'Kubernetes API serving',
        `ready \\(pods run by the ${driver} driver`,
      ])
        assert.match(stderr, new RegExp(`✓ ${step}.*  \\d+(\\.\\d)? m?s$`, 'm'));
      assert.match(
        stderr,
        /✓ service hello is ready at http:\/\/hello\.default\.example\.com, with no pod running/,
      );
      assert.match(stderr, /✓ from zero it answered "Hello Knapsack!" {2}\d+(\.\d)? m?s/);
      assert.notDeepEqual(leftoversOf(data), [], 'it runs');
      session.kill('SIGINT');
      assert.equal(await session.ended, 0, session.stderr);
      assert.match(session.stderr, /stopping…\n✓ stopped\n$/);
      assert.deepEqual(leftoversOf(data), []);
      assert.ok(!existsSync(join(data, 'run.json')));
    });

    it('starts again with what it had, without the example, and SIGTERM leaves nothing', async () => {
      const session = up(data, ...options);
      const [, gateway = ''] = await session.until(/gateway +(http:\S+)/);
      assert.equal(await get(gateway, 'hello.default.example.com'), 'Hello Knapsack!');
      assert.doesNotMatch(session.stderr, /example/);
      session.kill('SIGTERM');
      assert.equal(await session.ended, 0, session.stderr);
      assert.deepEqual(leftoversOf(data), []);
    });

    it('takes the second signal of one Ctrl-C, as npm sends it, for the same', async () => {
      const session = up(data, ...options);
      const [, gateway = ''] = await session.until(/gateway +(http:\S+)/);
      await get(gateway, 'hello.default.example.com');
      session.kill('SIGINT');
      await session.until(/stopping…/);
      session.kill('SIGINT');
      assert.equal(await session.ended, 0, session.stderr);
      assert.deepEqual(leftoversOf(data), []);
    });

    it('stops as cleanly while it starts and while it shows the example', async () => {
      const fresh = temporaryData();
      for (const moment of [
        /store opened/,
        /node registered/,
        /controllers running/,
        /ready \(/,
        /service hello is ready/,
      ]) {
        const session = up(fresh, ...options);
        await session.until(moment);
        session.kill('SIGINT');
        assert.equal(await session.ended, 0, `${String(moment)}: ${session.stderr}`);
        assert.deepEqual(leftoversOf(fresh), [], String(moment));
        await knapsack(['reset', '--yes', '--data', fresh]);
      }
    });
  });

  const recoverySkip = skip ?? kubectlSkipReason();
  describe(`up --detach on the ${driver} driver`, { skip: recoverySkip, timeout: 180_000 }, () => {
    const platform = new TestPlatform(driver);
    const { data } = platform;
    after(() => platform.dispose());
    const podsOf = async (): Promise<[string, number, string][]> => {
      const list = await platform.kubectl(['get', 'pods', '-o', 'json']);
      const { items } = JSON.parse(list) as {
        items: {
          metadata: { name: string };
          status: { phase: string; containerStatuses?: { restartCount: number }[] };
        }[];
      };
      return items.map(({ metadata, status }) => [
        metadata.name,
        status.containerStatuses?.[0]?.restartCount ?? -1,
        status.phase,
      ]);
    };

    it('returns when ready and prints what scripts need', async () => {
      const info = await platform.up([]);
      for (const url of [info.api, info.gateway, info.local, info.registry])
        assert.match(url, /^https?:\/\/127\.0\.0\.1:\d+$/);
      assert.match(readFileSync(info.kubeconfig, 'utf8'), /current-context/);
      assert.equal(info.driver, driver);
      assert.equal(await platform.kubectl(['get', '--raw', '/readyz']), 'ok');
      const response = await fetch(`${info.registry}/v2/`);
      assert.equal(response.status, 200);
      await response.body?.cancel();
    });

    it('status tells people and scripts the same', async () => {
      const text = await knapsack(['status', '--data', data]);
      assert.equal(text.code, 0);
      assert.match(text.stdout, new RegExp(`^running +pid ${platform.info.pid} since`));
      const json = await knapsack(['status', '--data', data, '-o', 'json']);
      assert.deepEqual(JSON.parse(json.stdout), { running: true, ...platform.info });
      const yaml = await knapsack(['status', '--data', data, '-o', 'yaml']);
      assert.match(yaml.stdout, new RegExp(`^running: true$[^]*^api: ${platform.info.api}$`, 'm'));
    });

    it('refuses a second one on the same directory, and a reset of it', async () => {
      const taken = new RegExp(
        `^error STORE_IN_USE: Knapsack \\S+ already runs on ${data} \\(pid ${platform.info.pid}, API ${platform.info.api}\\)`,
      );
      for (const more of [[], ['--detach']])
        assertFails(await knapsack(['up', '--data', data, ...freePorts, ...more]), 1, taken);
      assertFails(await knapsack(['reset', '--yes', '--data', data]), 1, /stop it first, or add --force/);
      assert.equal(await platform.kubectl(['get', '--raw', '/readyz']), 'ok');
    });

    it('after SIGKILL the pods run on, and the next start adopts them', async () => {
      await waitFor(
        'the answer of the example',
        async () => (await platform.curl('hello.default.example.com')).status === 200,
      );
      const before = await podsOf();
      assert.equal(before.length, 1);
      const { pid } = platform.info;
      platform.kill();
      await waitFor('the end', () => !existsSync(`/proc/${pid}/cwd`));
      const status = await knapsack(['status', '--data', data, '-o', 'json']);
      assert.equal(status.code, 3);
      assert.deepEqual(JSON.parse(status.stdout), { running: false, data });
      assert.equal((await knapsack(['down', '--data', data])).code, 3);
      await platform.up([]);
      assert.deepEqual(await podsOf(), before, 'the same pod, not restarted');
      assert.equal((await platform.curl('hello.default.example.com')).body, 'Hello Knapsack!');
      assert.deepEqual(await podsOf(), before);
    });

    it('down stops it and is not surprised to find nothing', async () => {
      const down = await platform.down();
      assert.equal(down.code, 0, down.stderr);
      assert.match(down.stderr, /✓ stopped \(pid \d+\)/);
      assert.deepEqual(leftoversOf(data), []);
      assertFails(await platform.down(), 3, /no Knapsack runs on/);
      const status = await knapsack(['status', '--data', data]);
      assert.deepEqual(
        { code: status.code, stdout: status.stdout },
        { code: 3, stdout: `not running (data directory ${data})\n` },
      );
    });

    it('reset after SIGKILL ends what still ran', async () => {
      await platform.up([]);
      assert.equal((await platform.curl('hello.default.example.com')).status, 200);
      const tag = tagIn(data);
      const { pid } = platform.info;
      platform.kill();
      await waitFor('the end', () => !existsSync(`/proc/${pid}/cwd`));
      assert.notDeepEqual(leftoversOf(data), [], 'the pod runs on');
      const reset = await knapsack(['reset', '--yes', '--data', data]);
      assert.equal(reset.code, 0, reset.stderr);
      assert.ok(!existsSync(data));
      assert.deepEqual(leftoversOf(data, tag), []);
    });
  });
}

async function get(gateway: string, host: string): Promise<string> {
  return (await send(gateway, host)).body;
}
