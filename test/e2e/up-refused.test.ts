/** One Knapsack on a directory, one program on a port: what is refused, and what is left alone. */
import assert from 'node:assert/strict';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { leftoversOf } from '../support/leftovers.ts';
import { knapsack } from '../support/platform.ts';
import { waitFor } from '../support/wait.ts';
import { assertFails, freePorts, temporaryData, up } from './cli-support.ts';

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
