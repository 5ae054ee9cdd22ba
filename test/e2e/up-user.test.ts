/** Starting as users do it: with npm, and without being root. */
import assert from 'node:assert/strict';
import { chownSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { PlatformInfo } from '../../src/cli/data-dir.ts';
import { hasProgram } from '../support/drivers.ts';
import { leftoversOf } from '../support/leftovers.ts';
import { knapsack, launcher, Session } from '../support/platform.ts';
import { freePorts, temporaryData } from './cli-support.ts';

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
