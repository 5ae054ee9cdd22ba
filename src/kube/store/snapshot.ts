/**
 * A snapshot of the store as text, one JSON document a line: a head, one line an object, and a tail that proves that none is
 * missing. Independent of how the store keeps its file, so that a later version can read it.
 */
import { KnapsackError } from '../../base/errors.ts';
import type { Backend, LogEntry } from './backend.ts';
import type { StoreSnapshot } from './store.ts';

const format = 1;

interface Head {
  readonly kind: 'KnapsackSnapshot';
  readonly format: number;
  readonly resourceVersion: number;
}

interface ObjectLine {
  readonly table: string;
  readonly key: string;
  readonly version: number;
  readonly object: Record<string, unknown>;
}

interface Tail {
  readonly objects: number;
}

/** Bytes that are handed on together. */
const chunkBytes = 256 * 1024;
/** An object has at most 3 MiB in a request; what the server adds is small. */
const maxLineBytes = 16 * 1024 * 1024;

/** The text of a snapshot, in chunks. */
export function* encodeSnapshot(snapshot: StoreSnapshot): Generator<Buffer> {
  const head: Head = { kind: 'KnapsackSnapshot', format, resourceVersion: snapshot.resourceVersion };
  let parts: Buffer[] = [Buffer.from(`${JSON.stringify(head)}\n`)];
  let size = 0;
  let objects = 0;
  for (const [table, records] of snapshot.tables) {
    const start = `{"table":${JSON.stringify(table)},"key":`;
    for (const { key, resourceVersion, bytes } of records) {
      parts.push(
        Buffer.from(`${start}${JSON.stringify(key)},"version":${resourceVersion},"object":`),
        bytes,
        end,
      );
      size += bytes.length;
      objects++;
      if (size < chunkBytes) continue;
      yield Buffer.concat(parts);
      parts = [];
      size = 0;
    }
  }
  parts.push(Buffer.from(`${JSON.stringify({ objects } satisfies Tail)}\n`));
  yield Buffer.concat(parts);
}

const end = Buffer.from('}\n');

/** What a whole snapshot says of itself. */
export interface SnapshotFacts {
  readonly resourceVersion: number;
  readonly objects: number;
}

/** Checks a snapshot from its first to its last line and hands out its objects. Throws CLI_BACKUP_INVALID. */
export async function readSnapshot(
  chunks: AsyncIterable<Buffer>,
  visit: (entry: LogEntry & { readonly json: string }) => void | Promise<void> = () => undefined,
): Promise<SnapshotFacts> {
  let head: Head | undefined;
  let tail: Tail | undefined;
  let objects = 0;
  for await (const text of lines(chunks)) {
    const line = parseLine(text);
    if (tail) throw invalid('it goes on behind its end');
    if (!head) {
      if (line['kind'] !== 'KnapsackSnapshot') throw invalid('it does not begin as one');
      if (line['format'] !== format) {
        throw invalid(`it has format ${String(line['format'])}; this version reads ${format}`);
      }
      if (!Number.isSafeInteger(line['resourceVersion'])) throw invalid('it has no version');
      head = line as unknown as Head;
    } else if ('table' in line) {
      await visit(entryOf(line));
      objects++;
    } else {
      tail = line as unknown as Tail;
      if (tail.objects !== objects) throw invalid(`it has ${objects} of ${tail.objects} objects`);
    }
  }
  if (!head || !tail) throw invalid('it ends too early');
  return { resourceVersion: head.resourceVersion, objects };
}

function entryOf(line: Record<string, unknown>): LogEntry & { readonly json: string } {
  const { table, key, version, object } = line as unknown as ObjectLine;
  const isWhole =
    typeof table === 'string' &&
    typeof key === 'string' &&
    Number.isSafeInteger(version) &&
    typeof object === 'object' &&
    object !== null &&
    typeof object['metadata'] === 'object';
  if (!isWhole) throw invalid('it has a line that is no object');
  return { table, key, resourceVersion: version, json: JSON.stringify(object) };
}

function parseLine(text: string): Record<string, unknown> {
  try {
    const line = JSON.parse(text) as unknown;
    if (typeof line === 'object' && line !== null) return line as Record<string, unknown>;
  } catch {
    // Told below.
  }
  throw invalid('it has a line that is not JSON');
}

async function* lines(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest: Buffer[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    let from = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      rest.push(chunk.subarray(from, at));
      yield Buffer.concat(rest).toString();
      rest = [];
      size = 0;
      from = at + 1;
    }
    rest.push(chunk.subarray(from));
    size += chunk.length - from;
    if (size > maxLineBytes) throw invalid('it has a line without end');
  }
  if (size > 0) throw invalid('it ends too early');
}

function invalid(why: string): KnapsackError {
  return new KnapsackError('CLI_BACKUP_INVALID', `the snapshot of the store cannot be used: ${why}`);
}

/** Objects that are committed together. */
const batchSize = 1000;

/**
 * Writes a snapshot into a new, empty store, which then stands at `newVersion(resourceVersion)`. `change` may alter an object's
 * entry, or leave it out with undefined.
 */
export async function loadSnapshot(
  chunks: AsyncIterable<Buffer>,
  backend: Backend,
  newVersion: (resourceVersion: number) => number,
  change: (entry: LogEntry & { readonly json: string }) => LogEntry | undefined = (entry) => entry,
): Promise<SnapshotFacts> {
  await backend.load(() => {
    throw new KnapsackError('CLI_RESTORE_NOT_EMPTY', 'the store that should be restored into is not empty');
  });
  let batch: LogEntry[] = [];
  const commit = async (): Promise<void> => {
    await backend.commit(batch);
    batch = [];
  };
  const facts = await readSnapshot(chunks, async (entry) => {
    const changed = change(entry);
    if (changed) batch.push(changed);
    if (batch.length >= batchSize) await commit();
  });
  // The removal of what is not there moves the version of the store, and nothing else.
  batch.push({ table: '', key: '', resourceVersion: newVersion(facts.resourceVersion), json: null });
  await commit();
  return facts;
}
