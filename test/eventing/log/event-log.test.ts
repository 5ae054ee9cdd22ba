/** The log on a real disk, with files that are cut, broken, full and slow. */
import assert from 'node:assert/strict';
import { readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { ManualClock, systemClock } from '../../../src/base/clock.ts';
import { KnapsackError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { EventLog, type LogOptions } from '../../../src/eventing/log/event-log.ts';
import { openLogFile, type LogFile, type OpenLogFile } from '../../../src/eventing/log/files.ts';
import { temporaryDirectory } from '../support.ts';

function openLog(directory: string, options: Partial<LogOptions> = {}): Promise<EventLog> {
  return EventLog.open(directory, { clock: systemClock, log: silentLogger, readByAll: () => 0, ...options });
}

async function readAll(log: EventLog, from = 0): Promise<string[]> {
  const cursor = log.cursor(from);
  const texts: string[] = [];
  for (;;) {
    const records = await cursor.next();
    if (records.length === 0) break;
    texts.push(...records.map((record) => `${record.offset}:${record.payload.toString()}`));
  }
  await cursor.close();
  return texts;
}

/** Opens real files whose operations a test can hold up or break. */
function intercept(
  before: (operation: 'write' | 'sync', bytes: number) => Promise<void> | void,
): OpenLogFile {
  return async (path, mode) => {
    const file = await openLogFile(path, mode);
    const intercepted: LogFile = {
      async write(bytes, position) {
        try {
          await before('write', bytes.length);
        } catch (error) {
          // A disk that is nearly full takes a part.
          await file.write(bytes.subarray(0, bytes.length >> 1), position);
          throw error;
        }
        await file.write(bytes, position);
      },
      async sync() {
        await before('sync', 0);
        await file.sync();
      },
      truncate: (size) => file.truncate(size),
      read: (into, position) => file.read(into, position),
      size: () => file.size(),
      close: () => file.close(),
    };
    return intercepted;
  };
}

test('records are read as they were appended, over segments and restarts', async () => {
  await using directory = await temporaryDirectory();
  const expected: string[] = [];
  for (let round = 0; round < 3; round++) {
    const log = await openLog(directory.path, { segmentBytes: 200 });
    for (let i = 0; i < 10; i++) {
      const text = `${round}-${i}-${'x'.repeat(i * 7)}`;
      const offset = await log.append(Buffer.from(text));
      expected.push(`${offset}:${text}`);
    }
    assert.deepEqual(await readAll(log), expected);
    assert.deepEqual(await readAll(log, 17), expected.slice(17));
    await log.close();
  }
  assert.deepEqual(
    expected.map((line) => Number(line.split(':')[0])),
    expected.map((_, i) => i),
  );
  assert.ok((await readdir(directory.path)).length > 3, 'several segments');
});

test('records larger than what is read at once', async () => {
  await using directory = await temporaryDirectory();
  const log = await openLog(directory.path);
  const sizes = [10, 1_000_000, 0, 300_000, 5];
  for (const size of sizes) await log.append(Buffer.alloc(size, 1));
  const cursor = log.cursor(0);
  const read: number[] = [];
  while (read.length < sizes.length) read.push(...(await cursor.next()).map((r) => r.payload.length));
  assert.deepEqual(read, sizes);
  await cursor.close();
  await log.close();
});

test('an append is acknowledged when it is on disk, and many share one sync', async () => {
  await using directory = await temporaryDirectory();
  let syncs = 0;
  let release = Promise.withResolvers<void>();
  const openFile = intercept(async (operation) => {
    if (operation !== 'sync') return;
    syncs++;
    await release.promise;
  });
  const log = await openLog(directory.path, { openFile });
  let acknowledged = 0;
  const appends = Array.from({ length: 50 }, (_, i) =>
    log.append(Buffer.from(String(i))).then(() => acknowledged++),
  );
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(acknowledged, 0);
  assert.equal(log.nextOffset, 0);
  assert.deepEqual(await readAll(log), [], 'what is not on disk is not read');
  release.resolve();
  await Promise.all(appends);
  assert.equal(acknowledged, 50);
  // The first one goes alone, the rest wait for it and go together.
  assert.equal(syncs, 2);
  release = Promise.withResolvers();
  release.resolve();
  await log.close();
});

test('whatever byte a crash cuts the file at, whole records survive and the log goes on', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 12 }),
      fc.nat(),
      fc.boolean(),
      async (payloads, cut, garbage) => {
        await using directory = await temporaryDirectory();
        const first = await openLog(directory.path);
        for (const payload of payloads) await first.append(Buffer.from(payload));
        await first.close();
        const [name = ''] = await readdir(directory.path);
        const path = join(directory.path, name);
        const { size } = await stat(path);
        const keep = cut % (size + 1);
        await truncate(path, keep);
        let survivors = 0;
        for (let end = 0; survivors < payloads.length; survivors++) {
          end += 16 + (payloads[survivors]?.length ?? 0);
          if (end > keep) break;
        }
        // A block that was allocated and never written reads as zeros.
        if (garbage) await writeFile(path, Buffer.concat([await readFile(path), Buffer.alloc(50)]));
        const second = await openLog(directory.path);
        assert.equal(second.nextOffset, survivors);
        assert.equal(await second.append(Buffer.from('next')), survivors);
        const texts = payloads.slice(0, survivors).map((p, i) => `${i}:${Buffer.from(p).toString()}`);
        assert.deepEqual(await readAll(second), [...texts, `${survivors}:next`]);
        await second.close();
      },
    ),
    { numRuns: 60 },
  );
});

test('what a full disk half wrote is gone, and the log goes on when there is room', async () => {
  await using directory = await temporaryDirectory();
  let full = false;
  const openFile = intercept((operation) => {
    if (full && operation === 'write')
      throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
  });
  const log = await openLog(directory.path, { openFile });
  await log.append(Buffer.from('a'));
  full = true;
  const failures = await Promise.allSettled([
    log.append(Buffer.from('lost')),
    log.append(Buffer.from('lost too')),
  ]);
  for (const failure of failures) {
    assert.equal(failure.status, 'rejected');
    assert.ok(failure.reason instanceof KnapsackError);
    assert.equal(failure.reason.code, 'EVENTING_LOG_FULL');
    assert.equal(failure.reason.entry.status, 503);
  }
  assert.deepEqual(await readAll(log), ['0:a']);
  full = false;
  assert.equal(await log.append(Buffer.from('b')), 1);
  await log.close();
  const again = await openLog(directory.path);
  assert.deepEqual(await readAll(again), ['0:a', '1:b']);
  await again.close();
});

test('a disk that cannot sync acknowledges nothing', async () => {
  await using directory = await temporaryDirectory();
  let broken = true;
  const openFile = intercept((operation) => {
    if (broken && operation === 'sync') throw Object.assign(new Error('input/output error'), { code: 'EIO' });
  });
  const log = await openLog(directory.path, { openFile });
  await assert.rejects(log.append(Buffer.from('a')), { code: 'EVENTING_LOG_FAILED' });
  broken = false;
  assert.equal(await log.append(Buffer.from('b')), 0);
  assert.deepEqual(await readAll(log), ['0:b']);
  await log.close();
});

test('damage inside a closed segment loses that part, says so, and nothing else', async () => {
  await using directory = await temporaryDirectory();
  const log = await openLog(directory.path, { segmentBytes: 100 });
  for (let i = 0; i < 30; i++) await log.append(Buffer.from(`record ${i}`));
  const names = (await readdir(directory.path)).sort();
  const victim = join(directory.path, names[1] ?? '');
  const bytes = await readFile(victim);
  bytes.writeUInt8(bytes.readUInt8(30) ^ 0xff, 30);
  await writeFile(victim, bytes);
  const read = await readAll(log);
  const lost = Array.from({ length: 30 }, (_, i) => `${i}:record ${i}`).filter(
    (line) => !read.includes(line),
  );
  const start = Number(names[1]?.slice(0, 20));
  const end = Number(names[2]?.slice(0, 20));
  assert.ok(lost.length > 0 && lost.length <= end - start);
  for (const line of lost) assert.ok(Number(line.split(':')[0]) >= start && Number(line.split(':')[0]) < end);
  await log.close();
});

test('segments go when all have read them and they are too old or too many', async () => {
  await using directory = await temporaryDirectory();
  const clock = new ManualClock(Date.now());
  let readByAll = 0;
  const options = {
    clock,
    segmentBytes: 100,
    retentionBytes: 400,
    retentionMs: 60_000,
    readByAll: () => readByAll,
  };
  const log = await openLog(directory.path, options);
  for (let i = 0; i < 40; i++) await log.append(Buffer.alloc(34));
  await log.trim();
  assert.equal(log.firstOffset, 0, 'nobody has read them');
  readByAll = 10;
  await log.trim();
  assert.ok(log.firstOffset > 0 && log.firstOffset <= 10);
  readByAll = 40;
  await log.trim();
  assert.ok(log.bytes <= 400 && log.bytes > 0);
  assert.ok(log.firstOffset < 40, 'young enough to stay');
  clock.advance(60_001);
  await log.trim();
  assert.ok(log.firstOffset >= 38, 'only the segment that is written to stays');
  assert.deepEqual(await readAll(log, 0).then((lines) => lines.length), 40 - log.firstOffset);
  await log.close();
});

test('past its limit the log refuses appends until readers catch up', async () => {
  await using directory = await temporaryDirectory();
  let readByAll = 0;
  const log = await openLog(directory.path, {
    segmentBytes: 500,
    maxBytes: 2000,
    readByAll: () => readByAll,
  });
  let stored = 0;
  await assert.rejects(
    async () => {
      for (;;) {
        await log.append(Buffer.alloc(84));
        stored++;
      }
    },
    { code: 'EVENTING_LOG_FULL', message: new RegExp('limit of 2000 bytes: 20 events wait') },
  );
  assert.equal(stored, 20);
  readByAll = 20;
  assert.equal(await log.append(Buffer.alloc(84)), 20);
  await log.close();
});

test('appends that wait for a slow disk are bounded', async () => {
  await using directory = await temporaryDirectory();
  const gate = Promise.withResolvers<void>();
  const log = await openLog(directory.path, {
    openFile: intercept(() => gate.promise),
    maxQueuedBytes: 1000,
  });
  const appends = Array.from({ length: 20 }, () => log.append(Buffer.alloc(84)));
  gate.resolve();
  const results = await Promise.allSettled(appends);
  const refused = results.filter((result) => result.status === 'rejected');
  assert.equal(refused.length, 10);
  for (const { reason } of refused) assert.equal((reason as KnapsackError).code, 'EVENTING_LOG_BUSY');
  await log.append(Buffer.alloc(84));
  await log.close();
  await assert.rejects(log.append(Buffer.alloc(1)), { code: 'EVENTING_LOG_CLOSED' });
});
