/** The command line as a user meets it: its words, its images, its reset, and every way to get them wrong. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { commands } from '../../src/cli/commands/index.ts';
import { execute, knapsack, launcher } from '../support/platform.ts';
import { assertFails, helloDirectory, up } from './cli-support.ts';

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
