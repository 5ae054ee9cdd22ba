import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { identifyProcess, isSameProcess } from '../../src/base/process.ts';

describe('process identity', () => {
  it('knows a live process again', () => {
    const self = identifyProcess(process.pid);
    assert.ok(self && isSameProcess(self));
  });

  it('takes neither an ended process nor another one under its pid for it', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    await once(child, 'spawn');
    const identity = identifyProcess(child.pid ?? 0);
    assert.ok(identity && isSameProcess(identity));
    assert.equal(isSameProcess({ ...identity, started: `${identity.started}1` }), false);
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.equal(isSameProcess(identity), false);
  });

  it(
    'counts a zombie as ended',
    { skip: process.platform === 'linux' ? undefined : 'needs /proc' },
    async () => {
      // The shell has become sleep when its child ends, and sleep collects nobody.
      const shell = spawn('sh', ['-c', 'sleep 0.1 & echo $!; exec sleep 60'], {
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      try {
        const [line] = (await once(shell.stdout, 'data')) as [Buffer];
        const pid = Number(line.toString());
        while (identifyProcess(pid)) await new Promise((resolve) => setImmediate(resolve));
        process.kill(pid, 0);
      } finally {
        shell.kill('SIGKILL');
      }
    },
  );
});
