import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WriteTurns } from '../../../src/kube/server/write-turns.ts';

test('streams that are woken together write a few hundred a turn of the loop, in order, and none is forgotten', async () => {
  const turns = new WriteTurns();
  const written: number[] = [];
  let sinceTurn = 0;
  let most = 0;
  let running = true;
  const turn = (): void => {
    most = Math.max(most, sinceTurn);
    sinceTurn = 0;
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  await Promise.all(
    Array.from({ length: 10_000 }, async (_, i) => {
      const wait = turns.take();
      if (wait) await wait;
      written.push(i);
      sinceTurn++;
    }),
  );
  running = false;
  assert.deepEqual(
    written,
    Array.from({ length: 10_000 }, (_, i) => i),
  );
  assert.ok(most > 0 && most <= 500, String(most));
});

test('a few streams never wait', async () => {
  const turns = new WriteTurns();
  for (let turn = 0; turn < 5; turn++) {
    for (let i = 0; i < 100; i++) assert.equal(turns.take(), undefined);
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
  }
});
