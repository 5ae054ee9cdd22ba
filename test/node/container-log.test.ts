/** Logs of containers that write more, or other things, than anybody reads. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { ContainerLog } from '../../src/node/logs/container-log.ts';
import { readLog, type ReadOptions } from '../../src/node/logs/log-reader.ts';

const megabyte = 2 ** 20;

function directory(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'knapsack-logs-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

async function read(log: ContainerLog, options: ReadOptions = {}): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of readLog(log, options)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe('the log of a container', () => {
  it('of a flood keeps the end', async (t) => {
    const log = new ContainerLog(join(directory(t), '0.log'), megabyte);
    writeFileSync(log.path, 'lost\n');
    // The container has the file open: it may make it as long as it likes.
    truncateSync(log.path, 200 * 2 ** 30);
    appendFileSync(log.path, '\nthe last words\n');
    log.look();
    assert.equal(statSync(log.path).size, 0);
    assert.equal(statSync(`${log.path}.1`).size, 2 * megabyte);
    assert.equal(await read(log, { tailLines: 1 }), 'the last words\n');
  });

  it('is followed across a flood, with the times of what was kept', async (t) => {
    const log = new ContainerLog(join(directory(t), '0.log'), 100);
    const write = (text: string): void => {
      appendFileSync(log.path, text);
      log.look();
    };
    write('first\n');
    const followed = readLog(log, { follow: true });
    assert.equal(String((await followed.next()).value), 'first\n');
    write(`${'x'.repeat(500)}\nlast\n`);
    write('after\n');
    log.end();
    let rest = '';
    for await (const chunk of followed) rest += String(chunk);
    assert.equal(rest, `${'x'.repeat(194)}\nlast\nafter\n`);
    assert.match(
      await read(log, { timestamps: true, tailLines: 2 }),
      /^\d{4}-\S+Z last\n\d{4}-\S+Z after\n$/,
    );
  });

  it('remembers times in a file that stays small', (t) => {
    const log = new ContainerLog(join(directory(t), '0.log'));
    for (let i = 0; i < 200; i++) {
      // As after so many looks: half a megabyte of them at once.
      appendFileSync(log.indexPath, `${i} 1700000000000\n`.repeat(i < 2 ? 30_000 : 1));
      appendFileSync(log.path, 'x');
      log.look();
    }
    assert.ok(statSync(log.indexPath).size < 1.1 * megabyte);
  });

  it('of nothing but line ends is read without an object for each', (t) => {
    const dir = directory(t);
    const path = join(dir, '0.log');
    writeFileSync(path, Buffer.alloc(9 * megabyte, '\n'));
    const reader = new URL('../../src/node/logs/log-reader.ts', import.meta.url).href;
    const writer = new URL('../../src/node/logs/container-log.ts', import.meta.url).href;
    const code = `
      import { ContainerLog } from ${JSON.stringify(writer)};
      import { readLog } from ${JSON.stringify(reader)};
      let size = 0;
      for (const options of [{}, { timestamps: true, tailLines: 1e6 }])
        for await (const chunk of readLog(new ContainerLog(${JSON.stringify(path)}), options)) size += chunk.length;
      console.log(size);`;
    const flags = ['--max-old-space-size=64', '--input-type=module', '-e', code];
    const size = Number(execFileSync(process.execPath, flags, { encoding: 'utf8' }));
    assert.equal(size, 9 * megabyte + 1e6 * '2026-01-01T00:00:00.000000000Z \n'.length);
  });

  it('is cut at its limit when the disk is full', { skip: process.geteuid?.() !== 0 }, (t) => {
    const dir = join(directory(t), 'disk');
    mkdirSync(dir);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', dir]);
    try {
      const log = new ContainerLog(join(dir, '0.log'), 128 * 1024);
      const fill = (): void => {
        try {
          for (;;) appendFileSync(log.path, 'x'.repeat(4096));
        } catch {
          // Full.
        }
      };
      fill();
      log.look();
      assert.equal(statSync(log.path).size, 0);
      fill();
      log.end();
      assert.equal(statSync(log.path).size, 0);
    } finally {
      execFileSync('umount', [dir]);
    }
  });

  it('gives the last lines as if they were counted one by one', async (t) => {
    const dir = directory(t);
    const text = fc
      .array(fc.constantFrom('a', 'bc', '\n', '\n\n'), { maxLength: 30 })
      .map((parts) => parts.join(''));
    let run = 0;
    await fc.assert(
      fc.asyncProperty(text, text, fc.integer({ min: 0, max: 8 }), async (older, current, tailLines) => {
        const log = new ContainerLog(join(dir, `${run++}.log`));
        writeFileSync(`${log.path}.1`, older);
        writeFileSync(log.path, current);
        const lines = (older + current).split(/(?<=\n)/).filter((line) => line !== '');
        const expected = tailLines === 0 ? '' : lines.slice(-tailLines).join('');
        assert.equal(await read(log, { tailLines }), expected);
      }),
      { numRuns: 200 },
    );
  });
});
