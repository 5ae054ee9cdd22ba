/** What the tests of the command line share: platforms in the foreground that never outlive their test. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach } from 'node:test';
import { fileURLToPath } from 'node:url';
import { knapsack, launcher, Session, type Output } from '../support/platform.ts';

export const freePorts = [
  '--api-port',
  '0',
  '--gateway-port',
  '0',
  '--local-port',
  '0',
  '--registry-port',
  '0',
];
export const helloDirectory = fileURLToPath(new URL('../../examples/helloworld-nodejs', import.meta.url));

const sessions = new Set<Session>();
// What a failed test left running must not keep the test process waiting for its output.
afterEach(() => {
  for (const session of sessions) session.kill('SIGKILL');
  sessions.clear();
});

/** `knapsack up` in the foreground on free ports, until the end of the test at most. */
export function up(data: string, ...more: string[]): Session {
  const session = new Session(process.execPath, [launcher, 'up', '--data', data, ...freePorts, ...more]);
  sessions.add(session);
  void session.ended.then(() => sessions.delete(session));
  return session;
}

/** A temporary directory, removed after the group with whatever runs on it. */
export function temporaryData(): string {
  const data = mkdtempSync(join(tmpdir(), 'knapsack-cli-'));
  after(async () => {
    await knapsack(['reset', '--yes', '--force', '--data', data]);
    rmSync(data, { recursive: true, force: true });
  });
  return data;
}

export function assertFails(output: Output, code: number, message: RegExp): void {
  assert.deepEqual({ code: output.code, stdout: output.stdout }, { code, stdout: '' }, output.stderr);
  assert.match(output.stderr, message);
}
