/** Kills the whole process in a loop, under load: an event that got its 202 is delivered after the restart. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { waitFor } from '../support/wait.ts';
import { startSubscriber, temporaryDirectory, type Subscriber } from './support.ts';

const child = fileURLToPath(new URL('./crash-child.ts', import.meta.url));
const rounds = 6;
const senders = 12;

interface Running {
  readonly ingress: string;
  kill(): Promise<void>;
}

async function startChild(dataDir: string, subscriber: Subscriber): Promise<Running> {
  const process_ = spawn(process.execPath, [child, dataDir], {
    env: { ...process.env, SUBSCRIBER: subscriber.url },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const kill = async (): Promise<void> => {
    if (process_.exitCode !== null || process_.signalCode !== null) return;
    process_.kill('SIGKILL');
    await once(process_, 'exit');
  };
  const exited = once(process_, 'exit').then(() => {
    throw new Error('the child ended before it was ready');
  });
  const [line] = (await Promise.race([once(process_.stdout, 'data'), exited])) as [Buffer];
  exited.catch(() => undefined);
  return { ingress: line.toString().trim(), kill };
}

/** Sends events one after the other until the ingress is gone; adds the ids of those that got their 202. */
async function sendUntilGone(ingress: string, prefix: string, accepted: Set<string>): Promise<void> {
  for (let i = 0; ; i++) {
    const id = `${prefix}-${i}`;
    try {
      const answer = await fetch(`${ingress}/default/main`, {
        method: 'POST',
        headers: { 'ce-specversion': '1.0', 'ce-id': id, 'ce-source': '/crash', 'ce-type': 'crash' },
        body: 'x'.repeat((i % 7) * 100),
      });
      await answer.arrayBuffer();
      if (answer.status === 202) accepted.add(id);
    } catch {
      return;
    }
  }
}

test('no event that got its 202 is lost by SIGKILL', { timeout: 180_000 }, async () => {
  await using directory = await temporaryDirectory();
  let round = 0;
  const delivered = new Set<string>();
  // Refuses one event in five for as long as the process lives that took it: later ones are done before it is.
  await using subscriber = await startSubscriber((request, response) => {
    const id = String(request.headers['ce-id']);
    const [sentIn, , number] = id.split('-').map(Number);
    const refused = sentIn === round && (number ?? 0) % 5 === 0;
    if (!refused) delivered.add(id);
    response.writeHead(refused ? 503 : 200).end();
  });
  const accepted = new Set<string>();
  for (; round < rounds; round++) {
    const running = await startChild(directory.path, subscriber);
    const before = accepted.size;
    const sending = Array.from({ length: senders }, (_, i) =>
      sendUntilGone(running.ingress, `${round}-${i}`, accepted),
    );
    // Die in the middle of the traffic, a little later each time, and not before offsets have been written.
    const began = performance.now();
    await waitFor(
      'some events',
      () => accepted.size >= before + 40 && performance.now() - began > 250 + round * 40,
    );
    await running.kill();
    await Promise.all(sending);
  }
  const last = await startChild(directory.path, subscriber);
  try {
    await waitFor('every accepted event', () => [...accepted].every((id) => delivered.has(id)), 60_000);
  } finally {
    await last.kill();
  }
  assert.ok(accepted.size > rounds * 40);
});
