/** A disk that is really full: producers get 503, nothing crashes, and it goes on when there is room. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { LogBus } from '../../src/eventing/buses/log-bus.ts';
import { startIngress } from '../../src/eventing/ingress/server.ts';
import { waitFor } from '../support/wait.ts';
import { temporaryDirectory } from './support.ts';

/** Mounts a small file system on the directory; false where this process may not. */
function mountSmall(path: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', path], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

test('a full disk', async (t) => {
  await using directory = await temporaryDirectory();
  if (!mountSmall(directory.path)) {
    t.skip('needs the right to mount a tmpfs');
    return;
  }
  try {
    const bus = await LogBus.open({ directory: directory.path, clock: systemClock, log: silentLogger });
    const topic = await bus.open('t');
    await topic.createGroup('g');
    const delivered: string[] = [];
    topic.subscribe('g', {
      maxInFlight: () => 10,
      handle: async ({ event }) => void delivered.push(event.attributes.id),
    });
    const ingress = await startIngress({
      lookup: () => ({ append: (message) => topic.append(message) }),
      clock: systemClock,
      log: silentLogger,
    });
    const send = async (id: string): Promise<number> => {
      const answer = await fetch(`http://${ingress.address.host}:${ingress.address.port}/default/main`, {
        method: 'POST',
        headers: { 'ce-specversion': '1.0', 'ce-id': id, 'ce-source': '/s', 'ce-type': 't' },
        body: 'x'.repeat(2000),
      });
      await answer.arrayBuffer();
      return answer.status;
    };
    const ballast = join(directory.path, 'ballast');
    writeFileSync(ballast, Buffer.alloc(128 * 1024));
    const accepted: string[] = [];
    let status = 202;
    for (let i = 0; status === 202; i++) {
      status = await send(`e${i}`);
      if (status === 202) accepted.push(`e${i}`);
    }
    assert.equal(status, 503);
    assert.ok(accepted.length > 10);
    assert.equal(await send('still full'), 503);
    rmSync(ballast);
    assert.equal(await send('room again'), 202);
    accepted.push('room again');
    await waitFor('all accepted events', () => delivered.length === accepted.length);
    assert.deepEqual(delivered, accepted);
    await ingress.close();
    await bus.close(0);
  } finally {
    execFileSync('umount', ['-l', directory.path]);
  }
});
