import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import * as fc from 'fast-check';
import { extract, pack, type Header } from 'tar-stream';
import {
  formatVersion,
  manifestName,
  partOf,
  snapshotName,
  type Manifest,
} from '../../src/cli/backup/format.ts';
import { rehome, versionAfterRestore } from '../../src/cli/backup/rehome.ts';
import { runCommandLine } from '../../src/cli/main.ts';
import { sqliteBackend } from '../../src/kube/store/sqlite.ts';
import { Store } from '../../src/kube/store/store.ts';
import { configMap } from '../kube/store/support.ts';

let work: string;
/** A data directory as a stopped platform leaves it. */
let data: string;
/** A backup of all of it. */
let file: string;
let next = 0;
const fresh = (): string => join(work, `restored-${next++}`);

interface Ran {
  readonly code: number;
  readonly out: Buffer;
  readonly err: string;
}

async function knapsack(...argv: string[]): Promise<Ran> {
  const out = new PassThrough();
  const err = new PassThrough();
  const texts = Promise.all([buffer(out), buffer(err)]);
  const code = await runCommandLine(argv, { out, err, env: {}, stdin: process.stdin });
  out.end();
  err.end();
  const [stdout, stderr] = await texts;
  return { code, out: stdout, err: stderr.toString() };
}

function put(path: string, content: string, mode = 0o644): void {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, content, { mode });
}

before(async () => {
  work = mkdtempSync(join(tmpdir(), 'knapsack-backup-'));
  data = join(work, 'data');
  const store = await Store.open(sqliteBackend(join(data, 'store')));
  for (let i = 0; i < 50; i++) {
    await store.put(store.table('configmaps'), `default/c${i}`, configMap(`c${i}`, `wert ${i} ü\n"`));
  }
  await store.remove(store.table('configmaps'), 'default/c7', configMap('c7'));
  await store.close();
  put(join(data, 'pki', 'ca.key'), 'secret', 0o600);
  put(join(data, 'images', 'oci-layout'), '{}');
  put(join(data, 'images', 'index.json'), '{}');
  put(join(data, 'images', 'blobs', 'sha256', 'aa'), 'layer '.repeat(100_000));
  put(join(data, 'images', 'roots', 'x', 'rootfs'), 'can be made again');
  put(join(data, 'events', 'topic', '00000000000000000000.log'), 'log');
  put(join(data, 'events', 'topic', 'offsets.json'), '{}');
  put(join(data, 'volumes', 'pv', 'file'), 'mine', 0o640);
  put(join(data, 'volumes', 'pv', 'empty'), '');
  symlinkSync('../../../../etc/passwd', join(data, 'volumes', 'pv', 'link'));
  put(join(data, 'knapsack.log'), 'log');
  file = join(work, 'backup.tar.gz');
  const { code, err } = await knapsack('backup', file, '--volumes', '--data', data);
  assert.equal(code, 0, err);
});
after(() => rmSync(work, { recursive: true, force: true }));

test('a backup is one file for its owner alone, and says what is in it', async () => {
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const again = join(work, 'again.tar.gz');
  const { code, out } = await knapsack('backup', again, '--no-images', '-o', 'json', '-q', '--data', data);
  assert.equal(code, 0);
  const result = JSON.parse(out.toString()) as Record<string, unknown>;
  assert.deepEqual(
    [result['file'], result['objects'], result['resourceVersion'], result['parts']],
    [again, 49, 52, ['store', 'pki', 'events']],
  );
  assert.equal(result['bytes'], statSync(again).size);
  assert.deepEqual(
    readdirSync(work).filter((name) => name.startsWith('.')),
    [],
    'nothing is left beside it',
  );
});

test('what was backed up comes back: objects, keys, images, events, volumes', async () => {
  const target = fresh();
  const { code, out, err } = await knapsack('restore', file, '--data', target, '-o', 'json');
  assert.equal(code, 0, err);
  const store = await Store.open(sqliteBackend(join(target, 'store')));
  const before = await Store.open(sqliteBackend(join(data, 'store')));
  const shown = (of: Store): unknown =>
    of
      .table('configmaps')
      .records()
      .map(({ key, resourceVersion, bytes }) => [key, resourceVersion, bytes.toString()]);
  assert.deepEqual(shown(store), shown(before));
  const { resourceVersion } = JSON.parse(out.toString()) as { resourceVersion: number };
  assert.equal(store.resourceVersion, resourceVersion);
  assert.ok(
    resourceVersion > before.resourceVersion + 1e9,
    'versions given out after the backup are skipped',
  );
  assert.equal(store.table('configmaps').since(before.resourceVersion), undefined, 'to resume is 410');
  await store.close();
  await before.close();
  for (const path of [
    'pki/ca.key',
    'images/index.json',
    'images/blobs/sha256/aa',
    'events/topic/offsets.json',
    'events/topic/00000000000000000000.log',
    'volumes/pv/file',
    'volumes/pv/empty',
  ]) {
    assert.deepEqual(readFileSync(join(target, path)), readFileSync(join(data, path)), path);
    assert.equal(statSync(join(target, path)).mode, statSync(join(data, path)).mode, path);
  }
  assert.equal(readlinkSync(join(target, 'volumes/pv/link')), '../../../../etc/passwd');
  assert.deepEqual(readdirSync(target).sort(), ['events', 'images', 'pki', 'store', 'volumes']);
  assert.equal(existsSync(join(target, 'images', 'roots')), false);
  assert.equal(statSync(target).mode & 0o777, 0o711, 'as `up` makes it');
});

test('standard output takes a backup, a terminal does not', async () => {
  const { code, out, err } = await knapsack('backup', '-', '--data', data);
  assert.equal(code, 0, err);
  assert.match(err, /PersistentVolumes were left out/);
  const piped = join(work, 'piped.tar.gz');
  writeFileSync(piped, out);
  assert.equal((await knapsack('restore', piped, '--data', fresh())).code, 0);
  const both = await knapsack('backup', '-', '-o', 'json', '--data', data);
  assert.deepEqual([both.code, both.out.length], [2, 0]);
});

test('nothing to back up, nowhere to write it', async () => {
  const nothing = await knapsack('backup', join(work, 'x'), '--data', join(work, 'none'));
  assert.equal(nothing.code, 1);
  assert.match(nothing.err, /CLI_BACKUP_FAILED: .* holds no Knapsack data/);
  const nowhere = await knapsack('backup', join(work, 'no', 'such', 'x'), '--data', data);
  assert.match(nowhere.err, /CLI_BACKUP_FAILED: the backup cannot be written: ENOENT/);
});

test('what is there is replaced only with --force, and only when it is ours', async () => {
  const target = fresh();
  await knapsack('restore', file, '--data', target);
  put(join(target, 'knapsack.log'), 'of the present');
  const refused = await knapsack('restore', file, '--data', target);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /CLI_RESTORE_NOT_EMPTY/);
  assert.ok(existsSync(join(target, 'knapsack.log')));
  assert.equal((await knapsack('restore', file, '--force', '--data', target)).code, 0);
  assert.equal(existsSync(join(target, 'knapsack.log')), false);
  put(join(target, 'thesis.tex'), 'not ours');
  const foreign = await knapsack('restore', file, '--force', '--data', target);
  assert.match(foreign.err, /CLI_NOT_A_DATA_DIRECTORY: .* holds thesis\.tex/);
  assert.ok(existsSync(join(target, 'thesis.tex')));
});

test('a backup that fails its check with --force leaves the present data alone', async () => {
  const target = fresh();
  await knapsack('restore', file, '--data', target);
  const cut = join(work, 'cut.tar.gz');
  writeFileSync(cut, readFileSync(file).subarray(0, -2000));
  const { code, err } = await knapsack('restore', cut, '--force', '--data', target);
  assert.equal(code, 1);
  assert.match(err, /CLI_BACKUP_INVALID/);
  assert.ok(existsSync(join(target, 'store', 'store.db')));
});

function mountSmall(path: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', path], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

test('a data directory that is a mounted disk is filled in place, and replaced in place', async (t) => {
  const target = fresh();
  mkdirSync(target);
  if (!mountSmall(target)) {
    t.skip('needs the right to mount a small disk');
    return;
  }
  try {
    assert.equal((await knapsack('restore', file, '--data', target)).code, 0);
    put(join(target, 'knapsack.log'), 'of the present');
    // What a restore that was killed leaves behind does not stand in the way of the next.
    mkdirSync(join(target, '.restore-abc'));
    assert.equal((await knapsack('restore', file, '--data', target)).code, 1);
    const { code, err } = await knapsack('restore', file, '--force', '--data', target);
    assert.equal(code, 0, err);
    assert.deepEqual(readdirSync(target).sort(), ['events', 'images', 'pki', 'store', 'volumes']);
    const store = await Store.open(sqliteBackend(join(target, 'store')));
    assert.equal(store.table('configmaps').size, 49);
    await store.close();
    const cut = join(work, 'cut-again.tar.gz');
    writeFileSync(cut, readFileSync(file).subarray(0, -3000));
    assert.equal((await knapsack('restore', cut, '--force', '--data', target)).code, 1);
    assert.ok(existsSync(join(target, 'store', 'store.db')), 'a bad backup replaces nothing');
  } finally {
    execFileSync('umount', ['-l', target]);
  }
});

interface Entry {
  head: Partial<Header> & { name: string };
  content: Buffer;
}

async function unpacked(): Promise<Entry[]> {
  const entries: Entry[] = [];
  const archive = extract();
  archive.end(gunzipSync(readFileSync(file)));
  for await (const entry of archive) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry as AsyncIterable<Buffer>) chunks.push(chunk);
    entries.push({ head: entry.header, content: Buffer.concat(chunks) });
  }
  return entries;
}

async function packed(entries: Entry[]): Promise<string> {
  const archive = pack();
  const bytes = buffer(archive);
  for (const { head, content } of entries) {
    if (head.type === undefined || head.type === 'file')
      archive.entry({ ...head, size: content.length }, content);
    else archive.entry({ ...head, size: 0 });
  }
  archive.finalize();
  const path = join(work, `made-${next++}.tar.gz`);
  writeFileSync(path, gzipSync(await bytes, { level: 1 }));
  return path;
}

/** The backup with its manifest changed to promise what `entries` hold. */
function promising(
  entries: Entry[],
  change: (manifest: Record<string, unknown>) => void = () => {},
): Entry[] {
  return entries.map((entry) => {
    if (entry.head.name !== manifestName) return entry;
    const manifest = JSON.parse(entry.content.toString()) as Manifest;
    const files = Object.fromEntries(
      entries
        .filter(({ head }) => head.name !== manifestName && (head.type ?? 'file') === 'file')
        .map(({ head, content }) => [
          head.name,
          { size: content.length, sha256: createHash('sha256').update(content).digest('hex') },
        ]),
    );
    const changed = { ...manifest, files };
    change(changed);
    return { head: entry.head, content: Buffer.from(JSON.stringify(changed)) };
  });
}

const rogue = (name: string, rest: Partial<Header> = {}): Entry => ({
  head: { name, mode: 0o644, ...rest },
  content: Buffer.from('owned'),
});

const forgeries: [string, (entries: Entry[]) => Entry[]][] = [
  ['a path above', (entries) => promising([rogue('../escaped'), ...entries])],
  ['a path above, later', (entries) => promising([rogue('pki/../../escaped'), ...entries])],
  ['an absolute path', (entries) => promising([rogue('/tmp/knapsack-escaped'), ...entries])],
  ['a part that does not exist', (entries) => promising([rogue('node/pods/x'), ...entries])],
  [
    'a link among the keys',
    (entries) => [rogue('pki/link', { type: 'symlink', linkname: '/etc' }), ...entries],
  ],
  ['a hard link', (entries) => [rogue('volumes/x', { type: 'link', linkname: '/etc/passwd' }), ...entries]],
  ['a device', (entries) => [rogue('volumes/x', { type: 'character-device' }), ...entries]],
  [
    'a part that is a file',
    (entries) =>
      promising([rogue('volumes'), ...entries.filter(({ head }) => !head.name.startsWith('volumes'))]),
  ],
  [
    'a file through a link',
    (entries) =>
      promising([
        rogue('volumes/out', { type: 'symlink', linkname: '/tmp' }),
        rogue('volumes/out/knapsack-escaped'),
        ...entries,
      ]),
  ],
  [
    'a link through a link',
    (entries) => [
      rogue('volumes/out', { type: 'symlink', linkname: '/tmp' }),
      rogue('volumes/out/knapsack-escaped', { type: 'symlink', linkname: '/etc/passwd' }),
      ...entries,
    ],
  ],
  [
    'a directory through a link',
    (entries) => [
      rogue('volumes/out', { type: 'symlink', linkname: '/tmp' }),
      rogue('volumes/out/knapsack-escaped/in', { type: 'symlink', linkname: 'x' }),
      ...entries,
    ],
  ],
  ['a name twice', (entries) => promising([rogue('pki/ca.key'), ...entries])],
  ['a file that the manifest lacks', (entries) => [rogue('pki/extra'), ...entries]],
  ['a file that is missing', (entries) => entries.filter(({ head }) => head.name !== 'pki/ca.key')],
  [
    'a changed file',
    (entries) =>
      entries.map((entry) =>
        entry.head.name === 'pki/ca.key' ? { ...entry, content: Buffer.from('sEcret') } : entry,
      ),
  ],
  ['no manifest', (entries) => entries.filter(({ head }) => head.name !== manifestName)],
  [
    'a manifest that is not JSON',
    (entries) =>
      entries.map((entry) =>
        entry.head.name === manifestName ? { ...entry, content: Buffer.from('{') } : entry,
      ),
  ],
  ['a later format', (entries) => promising(entries, (manifest) => (manifest['format'] = formatVersion + 1))],
  [
    'a manifest without a date',
    (entries) => promising(entries, (manifest) => (manifest['created'] = 'yesterday')),
  ],
  [
    'a snapshot that is cut off',
    (entries) =>
      promising(
        entries.map((entry) =>
          entry.head.name === snapshotName ? { ...entry, content: entry.content.subarray(0, 3000) } : entry,
        ),
      ),
  ],
  [
    'a snapshot with an object left out',
    (entries) =>
      promising(
        entries.map((entry) => {
          if (entry.head.name !== snapshotName) return entry;
          const lines = entry.content.toString().split('\n');
          lines.splice(5, 1);
          return { ...entry, content: Buffer.from(lines.join('\n')) };
        }),
      ),
  ],
];

for (const [what, forge] of forgeries) {
  test(`refused, with nothing left behind: ${what}`, async () => {
    const target = fresh();
    const { code, err } = await knapsack('restore', await packed(forge(await unpacked())), '--data', target);
    assert.equal(code, 1, err);
    // The last two lines of defence: the manifest, and for what a link would do the file system.
    assert.match(err, /CLI_BACKUP_INVALID|EEXIST|ENOTDIR/);
    assert.equal(existsSync(target), false);
    assert.deepEqual(
      readdirSync(work).filter((name) => name.includes('.restore-')),
      [],
    );
    assert.equal(existsSync(join(work, 'escaped')), false);
    assert.equal(existsSync('/tmp/knapsack-escaped'), false);
  });
}

test('refused: no archive at all, a cut one, a missing file', async () => {
  for (const content of ['nonsense', '', readFileSync(file).subarray(0, 5000)]) {
    const path = join(work, `bad-${next++}`);
    writeFileSync(path, content);
    const target = fresh();
    const { code, err } = await knapsack('restore', path, '--data', target);
    assert.equal(code, 1);
    assert.match(err, /CLI_BACKUP_INVALID/);
    assert.equal(existsSync(target), false);
  }
  assert.match(
    (await knapsack('restore', join(work, 'none'), '--data', fresh())).err,
    /CLI_BACKUP_INVALID.*ENOENT/,
  );
});

test('property: no path that leaves its part is taken', () => {
  const segment = fc.oneof(
    fc.constantFrom('..', '.', '', 'pki', 'store', 'volumes', 'a\\b', 'x\0'),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(segment, { maxLength: 6 }), (segments) => {
      const path = segments.join('/');
      let part;
      try {
        part = partOf(path);
      } catch {
        return;
      }
      assert.ok(
        join('/root', path) === `/root/${path}` && join('/root', path).startsWith(`/root/${part}`),
        path,
      );
    }),
    { numRuns: 2000 },
  );
});

test('on a machine of another name pods start anew, and the old node is gone', () => {
  const entry = (table: string, key: string, object: object) => ({
    table,
    key,
    resourceVersion: 5,
    json: JSON.stringify({ metadata: {}, ...object }),
  });
  const bound = entry('pods', 'default/a', { spec: { nodeName: 'old', x: 1 }, status: { phase: 'Running' } });
  const moved = rehome(bound, 'old');
  assert.deepEqual(JSON.parse(moved?.json ?? ''), {
    metadata: {},
    spec: { x: 1 },
    status: { phase: 'Pending' },
  });
  assert.equal(rehome(entry('nodes', 'old', {}), 'old'), undefined);
  assert.equal(rehome(entry('leases.coordination.k8s.io', 'kube-node-lease/old', {}), 'old'), undefined);
  for (const kept of [
    entry('nodes', 'other', {}),
    entry('pods', 'default/b', { spec: { nodeName: 'other' } }),
    entry('configmaps', 'default/old', {}),
  ]) {
    assert.equal(rehome(kept, 'old'), kept);
  }
  assert.equal(versionAfterRestore(5, -10), 1_000_000_005, 'a clock that went back changes nothing');
});

test('a restored backup of this machine keeps its pods where they are', async () => {
  const manifest = (await unpacked()).find(({ head }) => head.name === manifestName);
  assert.equal((JSON.parse(manifest?.content.toString() ?? '') as Manifest).host, hostname().toLowerCase());
});
