/** The command line as a user meets it: starting, looking, stopping, starting over, and every way to get it wrong. */
import assert from 'node:assert/strict';
import { chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { commands } from '../../src/cli/commands/index.ts';
import type { PlatformInfo } from '../../src/cli/data-dir.ts';
import { hasProgram, kubectlSkipReason, ociSkipReason } from '../support/drivers.ts';
import { leftoversOf, tagIn } from '../support/leftovers.ts';
import {
  execute,
  knapsack,
  launcher,
  send,
  Session,
  TestPlatform,
  type Output,
} from '../support/platform.ts';
import { waitFor } from '../support/wait.ts';

const freePorts = ['--api-port', '0', '--gateway-port', '0', '--local-port', '0', '--registry-port', '0'];
const helloDirectory = fileURLToPath(new URL('../../examples/helloworld-nodejs', import.meta.url));

const sessions = new Set<Session>();
// What a failed test left running must not keep the test process waiting for its output.
afterEach(() => {
  for (const session of sessions) session.kill('SIGKILL');
  sessions.clear();
});

/** `knapsack up` in the foreground on free ports, until the end of the test at most. */
function up(data: string, ...more: string[]): Session {
  const session = new Session(process.execPath, [launcher, 'up', '--data', data, ...freePorts, ...more]);
  sessions.add(session);
  void session.ended.then(() => sessions.delete(session));
  return session;
}

/** A temporary directory, removed after the group with whatever runs on it. */
function temporaryData(): string {
  const data = mkdtempSync(join(tmpdir(), 'knapsack-cli-'));
  after(async () => {
    await knapsack(['reset', '--yes', '--force', '--data', data]);
    rmSync(data, { recursive: true, force: true });
  });
  return data;
}

function assertFails(output: Output, code: number, message: RegExp): void {
  assert.deepEqual({ code: output.code, stdout: output.stdout }, { code, stdout: '' }, output.stderr);
  assert.match(output.stderr, message);
}

const olderNode = '/usr/bin/node';
const olderNodeSkip =
  (await nodeMajor(olderNode)) < 24 ? undefined : `${olderNode} is not there, or not older than 24`;

async function nodeMajor(program: string): Promise<number> {
  if (!existsSync(program)) return Infinity;
  return Number((await execute(program, ['-p', 'process.versions.node.split(".")[0]'])).stdout);
}

describe('the words of the command line', { timeout: 120_000 }, () => {
  it('explains itself without words', async () => {
    const { code, stdout } = await knapsack([]);
    assert.equal(code, 0);
    for (const { path } of commands) assert.match(stdout, new RegExp(`^  ${path.join(' ')} `, 'm'));
  });

  it('explains every command, with examples that the command understands', async () => {
    for (const { path, examples } of commands) {
      const { code, stdout } = await knapsack([...path, '--help']);
      assert.equal(code, 0);
      assert.match(stdout, new RegExp(`^Usage: knapsack ${path.join(' ')}.*\\[OPTIONS\\]$`, 'm'));
      assert.ok(examples.length > 0);
      for (const example of examples) assert.ok(stdout.includes(`  ${example.command}\n`), stdout);
    }
  });

  const misuse: [string[], RegExp][] = [
    [['dwon'], /^error CLI_USAGE: unknown command `dwon`; see `knapsack --help`$/m],
    [['up', '--wat'], /^error CLI_USAGE: Unknown option '--wat'; see `knapsack up --help`$/m],
    [['up', '--api-port', 'abc'], /--api-port is `abc`, must be a port number from 0 to 65535/],
    [['up', '--detach', '--gateway-port', '65536'], /--gateway-port is `65536`, must be a port number/],
    [['up', '--driver', 'docker'], /--driver is `docker`, must be one of: auto, oci, process/],
    [['status', '-o', 'xml'], /--output is `xml`, must be one of: json, yaml/],
    [['reset', '--data', ''], /--data is empty, must name a directory/],
    [['image', 'build'], /DIR is missing/],
  ];
  for (const [args, message] of misuse) {
    it(`exits 2 and says why: ${args.join(' ').replace(helloDirectory, 'DIR')}`, async () => {
      const data = join(tmpdir(), 'knapsack-cli-is-never-made');
      assertFails(
        await execute(process.execPath, [launcher, ...args], { env: { KNAPSACK_DATA: data } }),
        2,
        message,
      );
      assert.ok(!existsSync(data));
    });
  }

  it('runs with its own Node.js where the one on PATH is older', { skip: olderNodeSkip }, async () => {
    const { code, stdout, stderr } = await execute(olderNode, [launcher, 'version', '-o', 'json']);
    assert.equal(code, 0, stderr);
    assert.match((JSON.parse(stdout) as { node: string }).node, /^2[4-9]\./);
    assertFails(await execute(olderNode, [launcher, 'status', '--wat']), 2, /Unknown option/);
  });
});

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

describe('one Knapsack on a directory, one program on a port', { timeout: 120_000 }, () => {
  const data = temporaryData();

  it('of two started at the same moment exactly one wins, and the other names it', async () => {
    const both = [
      up(data, '--driver', 'process', '--no-hello'),
      up(data, '--driver', 'process', '--no-hello'),
    ];
    const loser = await Promise.race(both.map(async (session) => (await session.ended, session)));
    const winner = both.find((session) => session !== loser);
    assert.ok(winner);
    const [, api = ''] = await winner.until(/API +(https:\S+)/);
    assert.equal(await loser.ended, 1);
    assert.match(
      loser.stderr,
      new RegExp(
        `^error STORE_IN_USE: Knapsack \\S+ already runs on ${data} \\(pid ${winner.child.pid}, API ${api}\\)`,
        'm',
      ),
    );
    assert.equal((await knapsack(['status', '--data', data])).code, 0, 'the loser took nothing away');
    winner.kill('SIGINT');
    assert.equal(await winner.ended, 0);
  });

  for (const name of ['api', 'gateway', 'local', 'registry']) {
    for (const more of [[], ['--detach']]) {
      it(`names a taken ${name} port and leaves nothing running ${more.join('')}`, async () => {
        const holder = createServer();
        const port = await new Promise<number>((resolve, reject) => {
          holder.on('error', reject);
          holder.listen(0, '127.0.0.1', () => resolve((holder.address() as { port: number }).port));
        });
        try {
          const ports = freePorts.map((word, i) =>
            freePorts[i - 1] === `--${name}-port` ? String(port) : word,
          );
          const refused = await knapsack([
            'up',
            '--data',
            data,
            '--driver',
            'process',
            '-q',
            ...ports,
            ...more,
          ]);
          assertFails(
            refused,
            1,
            new RegExp(`^error CLI_PORT_TAKEN: .*127\\.0\\.0\\.1:${port}.*\\n.*--${name}-port`),
          );
          assert.deepEqual(leftoversOf(data), []);
          assert.ok(!existsSync(join(data, 'run.json')));
        } finally {
          holder.close();
        }
      });
    }
  }

  it('says so when the directory cannot be one', async () => {
    const file = join(data, 'a-file');
    writeFileSync(file, '');
    for (const command of [['up'], ['up', '--detach'], ['status'], ['down'], ['reset', '--yes']])
      assertFails(
        await knapsack([...command, '--data', file]),
        1,
        /^error CLI_DATA_UNUSABLE: .*a-file cannot be used/,
      );
    rmSync(file);
  });

  it('starts over a run file that a power cut left torn', async () => {
    writeFileSync(join(data, 'run.json'), '{"process": {"pi');
    assert.equal((await knapsack(['status', '--data', data])).code, 3);
    const session = up(data, '--driver', 'process', '--no-hello');
    await session.until(/✓ ready/);
    session.kill('SIGINT');
    assert.equal(await session.ended, 0, session.stderr);
  });

  it('keeps running when the reader of its output leaves', async () => {
    const session = up(data, '--driver', 'process', '--no-hello');
    await session.until(/store opened/);
    session.child.stdout?.destroy();
    session.child.stderr?.destroy();
    await waitFor('ready', async () => (await knapsack(['status', '--data', data])).code === 0);
    assert.equal((await knapsack(['down', '--data', data])).code, 0);
    assert.deepEqual(leftoversOf(data), []);
  });
});

describe('reset', { timeout: 60_000 }, () => {
  const root = mkdtempSync(join(tmpdir(), 'knapsack-reset-'));
  const data = join(root, 'data');
  after(() => rmSync(root, { recursive: true, force: true }));

  it('asks, and so refuses without --yes where nobody can answer', async () => {
    await knapsack(['image', 'build', helloDirectory, '-t', 'docker.io/me/hello', '--data', data]);
    assertFails(await knapsack(['reset', '--data', data]), 2, /say --yes/);
    assert.ok(existsSync(data));
  });

  it('refuses a directory with anything in it that Knapsack did not make', async () => {
    writeFileSync(join(data, 'thesis.txt'), 'years of work');
    assertFails(
      await knapsack(['reset', '--yes', '--force', '--data', data]),
      1,
      /^error CLI_NOT_A_DATA_DIRECTORY: .*holds thesis\.txt, which Knapsack did not make; nothing was deleted/,
    );
    rmSync(join(data, 'thesis.txt'));
    const website = join(root, 'website');
    mkdirSync(join(website, 'images'), { recursive: true });
    assertFails(await knapsack(['reset', '--yes', '--data', website]), 1, /holds no Knapsack data/);
    assert.ok(existsSync(join(website, 'images')));
  });

  it('deletes what is ours, and is content when nothing is there', async () => {
    for (let i = 0; i < 2; i++) assert.equal((await knapsack(['reset', '--yes', '--data', data])).code, 0);
    assert.ok(!existsSync(data));
  });

  it('stops a running platform with --force', async () => {
    const session = up(data, '--driver', 'process', '--no-hello');
    await session.until(/✓ ready/);
    const reset = await knapsack(['reset', '--yes', '--force', '--data', data]);
    assert.equal(reset.code, 0, reset.stderr);
    assert.equal(await session.ended, 0, session.stderr);
    assert.ok(!existsSync(data));
  });
});

describe('image build and image list', { timeout: 60_000 }, () => {
  const root = mkdtempSync(join(tmpdir(), 'knapsack-images-'));
  const data = join(root, 'data');
  const env = { KNAPSACK_DATA: data };
  const image = (...args: string[]) => knapsack(['image', ...args], { env });
  after(() => rmSync(root, { recursive: true, force: true }));

  it('lists nothing, and makes nothing, where nothing is', async () => {
    const { code, stdout } = await image('list');
    assert.deepEqual(
      { code, stdout },
      { code: 0, stdout: 'no images yet; make one with `knapsack image build DIR`\n' },
    );
    assert.equal((await image('list', '-o', 'json')).stdout, '{\n  "images": []\n}\n');
    assert.ok(!existsSync(data));
  });

  it('says what is wrong with the project or the name', async () => {
    const empty = join(root, 'empty');
    mkdirSync(empty);
    assertFails(
      await image('build', empty, '-t', 'x'),
      1,
      /^  error IMAGE_BUILD_NO_PROJECT: .*neither package\.json|^error IMAGE_BUILD_NO_PROJECT: .*neither package\.json/m,
    );
    assertFails(
      await image('build', join(root, 'nowhere'), '-t', 'x'),
      1,
      /^error IMAGE_BUILD_NO_PROJECT: .*nowhere/m,
    );
    assertFails(
      await image('build', helloDirectory, '-t', 'Not:A:Name'),
      1,
      /^error IMAGE_NAME_INVALID: image name "Not:A:Name"/m,
    );
    writeFileSync(join(empty, 'package.json'), '{ not json');
    assertFails(await image('build', empty, '-t', 'x'), 1, /^error IMAGE_BUILD_NO_PROJECT: .*package\.json/m);
  });

  it('prints only the result with -q, the same digest each time, and lists it', async () => {
    const first = await image('build', helloDirectory, '-t', 'me/hello:v1', '-q');
    assert.equal(first.code, 0, first.stderr);
    assert.equal(first.stderr, '');
    assert.match(first.stdout, /^docker\.io\/me\/hello:v1@sha256:[0-9a-f]{64}\n$/);
    const second = await image('build', helloDirectory, '-t', 'me/hello:v1', '-o', 'json');
    const { digest } = JSON.parse(second.stdout) as { digest: string };
    assert.ok(first.stdout.includes(digest));
    assert.match(second.stderr, /✓ built docker\.io\/me\/hello:v1/);
    assert.ok((await image('list')).stdout.startsWith(`docker.io/me/hello:v1  ${digest}\n`));
  });
});

describe('npm start', { timeout: 60_000 }, () => {
  it(
    'stops cleanly when Ctrl-C reaches npm, the launcher and the platform at once',
    { skip: hasProgram('npm') ? undefined : 'npm is not installed' },
    async () => {
      const data = temporaryData();
      const clone = fileURLToPath(new URL('../..', import.meta.url));
      const words = ['start', '--prefix', clone, '--', '--data', data, '--driver', 'process', ...freePorts];
      // Where the host's Node.js is older than ours, npm runs the launcher with that.
      const session = new Session('npm', words, { ownGroup: true, env: { PATH: hostPath() } });
      try {
        await session.until(/✓ and the next request/);
        session.killGroup('SIGINT');
        await session.ended;
        assert.match(session.stderr, /stopping…\n✓ stopped\n/);
        assert.deepEqual(leftoversOf(data), []);
      } finally {
        session.kill('SIGKILL');
      }
    },
  );
});

/** PATH as a user's shell has it, without what a package manager put before it for this test. */
function hostPath(): string {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return folders.filter((folder) => !folder.includes('node_modules')).join(delimiter);
}

describe('an ordinary user', { timeout: 120_000 }, () => {
  const nobody = 65_534;
  const asRoot = process.getuid?.() === 0;
  const home = mkdtempSync(join(tmpdir(), 'knapsack-home-'));
  if (asRoot) chownSync(home, nobody, nobody);
  const start = (...words: string[]): Session =>
    new Session(process.execPath, [launcher, ...words], {
      env: { HOME: home, KNAPSACK_DATA: '' },
      ...(asRoot ? { uid: nobody } : {}),
    });
  let session: Session;
  before(() => {
    session = start('up', ...freePorts);
  });
  after(async () => {
    session.kill('SIGKILL');
    await session.ended;
    rmSync(home, { recursive: true, force: true });
  });

  it('gets the process driver, is told why, and sees the example answer', async () => {
    await session.until(/✓ and the next request/);
    assert.match(
      session.stderr,
      /✓ ready \(pods run by the process driver: containers cannot run here: [^:]*root/,
    );
    assert.match(session.stderr, /from zero it answered "Hello Knapsack!"/);
    const info = JSON.parse(
      (await knapsack(['status', '-o', 'json'], { env: { HOME: home, KNAPSACK_DATA: '' } })).stdout,
    ) as PlatformInfo;
    assert.equal(info.data, join(home, '.knapsack'));
  });

  it('ends the pods of a killed platform with reset', async () => {
    const data = join(home, '.knapsack');
    session.kill('SIGKILL');
    await session.ended;
    assert.notDeepEqual(leftoversOf(data), [], 'the pod runs on');
    const reset = start('reset', '--yes');
    assert.equal(await reset.ended, 0, reset.stderr);
    assert.deepEqual(leftoversOf(data), []);
    assert.ok(!existsSync(data));
  });

  it('starts over, and stops as cleanly', async () => {
    session = start('up', ...freePorts);
    await session.until(/✓ and the next request/);
    session.kill('SIGINT');
    assert.equal(await session.ended, 0, session.stderr);
    assert.deepEqual(leftoversOf(join(home, '.knapsack')), []);
  });
});

async function get(gateway: string, host: string): Promise<string> {
  return (await send(gateway, host)).body;
}
