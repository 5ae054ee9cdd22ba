/** What the founding documents show, done by hand as they show it: real kubectl, real HTTP, on both drivers. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { hasProgram, kubectlSkipReason, ociSkipReason } from '../support/drivers.ts';
import { execute, knapsack, TestPlatform } from '../support/platform.ts';
import { waitFor } from '../support/wait.ts';

const example = (path: string): string => fileURLToPath(new URL(`../../examples/${path}`, import.meta.url));
const host = 'helloworld-nodejs.default.example.com';
const serviceYaml = readFileSync(example('helloworld-nodejs/service.yaml'), 'utf8');

for (const driver of ['process', 'oci'] as const) {
  const skip = kubectlSkipReason() ?? (driver === 'oci' ? ociSkipReason() : undefined);
  describe(`the founding documents' tour on the ${driver} driver`, { skip, timeout: 600_000 }, () => {
    const platform = new TestPlatform(driver);

    before(async () => {
      await platform.up();
      await platform.configure('config-autoscaler', { 'stable-window': '6s' });
    });
    after(() => platform.dispose());

    it('builds the image under the name that the documents use', async () => {
      const { code, stderr } = await knapsack([
        'image',
        'build',
        example('helloworld-nodejs'),
        '--data',
        platform.data,
        '-t',
        'docker.io/bianlian/helloworld-nodejs',
      ]);
      assert.equal(code, 0, stderr);
    });

    it('serves it: URL, READY True, and the answer at the gateway', async () => {
      assert.match(
        await platform.apply(serviceYaml),
        /service.serving.knative.dev\/helloworld-nodejs created/,
      );
      await platform.kubectl(['wait', 'ksvc/helloworld-nodejs', '--for=condition=Ready', '--timeout=60s']);
      const row = (await platform.kubectl(['get', 'ksvc'])).split('\n')[1] ?? '';
      assert.match(
        row,
        /^helloworld-nodejs +http:\/\/helloworld-nodejs\.default\.example\.com +\S+-00001 +\S+-00001 +True/,
      );
      const { status, body } = await platform.curl(host);
      assert.deepEqual({ status, body }, { status: 200, body: 'Hello Node.js Sample Native v1!' });
    });

    it('scales to zero when idle and wakes for the next request', async () => {
      await waitFor(
        'no pods',
        async () => (await platform.kubectl(['get', 'pods', '-o', 'name'])) === '',
        60_000,
      );
      const { status, body } = await platform.curl(host);
      assert.deepEqual({ status, body }, { status: 200, body: 'Hello Node.js Sample Native v1!' });
    });

    it('makes a second revision of a changed TARGET and splits traffic 50/50', async () => {
      const second = serviceYaml.replace('Native v1', 'Native v2');
      await platform.apply(second);
      await platform.kubectl(['wait', 'ksvc/helloworld-nodejs', '--for=condition=Ready', '--timeout=60s']);
      await waitFor(
        'the second revision',
        async () => (await platform.curl(host)).body === 'Hello Node.js Sample Native v2!',
      );
      const traffic = [
        '  traffic:',
        '  - revisionName: helloworld-nodejs-00001',
        '    percent: 50',
        '  - revisionName: helloworld-nodejs-00002',
        '    percent: 50',
      ];
      await platform.apply(`${second}\n${traffic.join('\n')}\n`);
      await waitFor('the split', async () => {
        const route = await platform.kubectl(['get', 'route', 'helloworld-nodejs', '-o', 'json']);
        return (JSON.parse(route) as { status: { traffic: unknown[] } }).status.traffic.length === 2;
      });
      const answers = new Map<string, number>();
      for (let i = 0; i < 100; i++) {
        const { status, body } = await platform.curl(host);
        assert.equal(status, 200, body);
        answers.set(body, (answers.get(body) ?? 0) + 1);
      }
      const first = answers.get('Hello Node.js Sample Native v1!') ?? 0;
      // 100 fair draws stay between 25 and 75 but once in millions of runs.
      assert.ok(first >= 25 && first <= 75, `${first} of 100 went to the first revision`);
      assert.equal(answers.size, 2, [...answers.keys()].join(' | '));
    });

    it(
      'builds from a git repository and serves the image',
      { skip: hasProgram('git') ? undefined : 'git is not installed' },
      async () => {
        const repository = await mkdtemp(join(tmpdir(), 'knapsack-repo-'));
        try {
          await cp(example('helloworld-nodejs'), repository, { recursive: true });
          const git = (...args: string[]) =>
            execute('git', [
              '-C',
              repository,
              '-c',
              'user.name=t',
              '-c',
              'user.email=t@example.com',
              ...args,
            ]);
          for (const args of [
            ['init', '-q', '-b', 'main'],
            ['add', '.'],
            ['commit', '-q', '-m', 'hello'],
          ]) {
            const { code, stderr } = await git(...args);
            assert.equal(code, 0, stderr);
          }
          const build = readFileSync(example('build-from-git/build.yaml'), 'utf8');
          await platform.apply(build.replace(/url: .*/, `url: ${repository}`));
          await platform.kubectl([
            'wait',
            'build/hello-from-git',
            '--for=condition=Succeeded',
            '--timeout=120s',
          ]);
          const columns = await platform.kubectl(['get', 'build', 'hello-from-git', '--no-headers']);
          assert.match(columns, /^hello-from-git +True/);
          await platform.apply(readFileSync(example('build-from-git/service.yaml'), 'utf8'));
          await platform.kubectl(['wait', 'ksvc/hello-from-git', '--for=condition=Ready', '--timeout=60s']);
          assert.equal((await platform.curl('hello-from-git.default.example.com')).body, 'Hello from git!');
        } finally {
          await rm(repository, { recursive: true, force: true });
        }
      },
    );

    it('brings a ping and a posted CloudEvent to a function through broker and trigger', async () => {
      const { code, stderr } = await knapsack([
        'image',
        'build',
        example('events/display'),
        '--data',
        platform.data,
        '-t',
        'registry.knapsack.local/examples/event-display',
      ]);
      assert.equal(code, 0, stderr);
      const manifests = readFileSync(example('events/manifests.yaml'), 'utf8');
      await platform.apply(manifests.replace('schedule: "* * * * *"', 'schedule: "*/2 * * * * *"'));
      for (const kind of [
        'broker/default',
        'trigger/greetings',
        'trigger/pings',
        'pingsource/every-minute',
      ]) {
        await platform.kubectl(['wait', kind, '--for=condition=Ready', '--timeout=60s']);
      }
      assert.equal((await postGreeting(platform, 'first')).status, 202);
      await waitFor('both events in the log of the function', async () => {
        const log = await functionLog(platform);
        return log.includes('"type":"dev.knative.sources.ping"') && log.includes('"id":"first"');
      });
      await platform.kubectl(['delete', 'pingsource', 'every-minute']);
    });

    it('delivers an event that got its 202 although Knapsack was killed in between', async () => {
      await waitFor('the function at zero', async () => (await functionPods(platform)) === '', 60_000);
      assert.equal((await postGreeting(platform, 'before-the-kill')).status, 202);
      platform.kill();
      await platform.up();
      await waitFor(
        'the event',
        async () => (await functionLog(platform)).includes('"id":"before-the-kill"'),
        60_000,
      );
    });

    it('answers after the restart, and leaves nothing behind when it stops', async () => {
      assert.equal((await platform.curl(host)).status, 200);
      const { code, stderr } = await platform.down();
      assert.equal(code, 0, stderr);
      const { stdout } = await execute('ps', ['-eo', 'pid,args']);
      assert.deepEqual(
        stdout.split('\n').filter((line) => line.includes(platform.data)),
        [],
      );
      if (driver === 'oci') {
        const { stdout: mounts } = await execute('mount', []);
        assert.ok(!mounts.includes(platform.data), mounts);
      }
    });
  });
}

function postGreeting(platform: TestPlatform, id: string) {
  return platform.curl('broker-ingress.knative-eventing.svc.cluster.local', {
    local: true,
    path: '/default/default',
    method: 'POST',
    headers: {
      'ce-specversion': '1.0',
      'ce-id': id,
      'ce-type': 'com.example.greeting',
      'ce-source': '/curl',
      'content-type': 'application/json',
    },
    body: '{"hello":"world"}',
  });
}

const displaySelector = ['-l', 'serving.knative.dev/service=event-display'];

function functionLog(platform: TestPlatform): Promise<string> {
  return platform.kubectl(['logs', ...displaySelector, '-c', 'user-container', '--tail=-1']);
}

function functionPods(platform: TestPlatform): Promise<string> {
  return platform.kubectl(['get', 'pods', ...displaySelector, '-o', 'name']);
}
