/** What clients of one API did and saw, and what must hold between all of it. Pure. */

/** A version of an object as somebody saw it. `value` is null for a removal. */
export interface Seen {
  readonly version: number;
  readonly key: string;
  readonly value: string | null;
}

/** A write that was acknowledged, with the time it was under way. */
export interface Acknowledged extends Seen {
  readonly began: number;
  readonly ended: number;
}

/** A read of one object; `version` is undefined when there was none. */
export interface ReadOne {
  readonly key: string;
  readonly version: number | undefined;
  readonly began: number;
  readonly ended: number;
}

/** What one watcher saw without a gap: a list, then every event behind it, however often it had to reconnect. */
export interface Segment {
  readonly watcher: string;
  readonly listed: { readonly version: number; readonly objects: readonly Seen[] };
  readonly events: readonly Seen[];
}

export interface History {
  readonly acknowledged: readonly Acknowledged[];
  readonly reads: readonly ReadOne[];
  readonly segments: readonly Segment[];
  /** The last list of all. */
  readonly final: { readonly version: number; readonly objects: readonly Seen[] };
}

/** Every rule that is broken, in words. Empty: the history is one that a single copy of the data could have given. */
export function violations(history: History): string[] {
  const found: string[] = [];
  const writes = knownWrites(history, found);
  checkSegments(history, writes, found);
  checkAcknowledged(history, found);
  checkReads(history, found);
  checkLists(history, writes, found);
  checkCounters(writes, found);
  return found;
}

/** All writes that anyone knows of, by version; two that disagree about one are a violation. */
function knownWrites({ acknowledged, segments }: History, found: string[]): Map<number, Seen> {
  const writes = new Map<number, Seen>();
  const note = (seen: Seen, who: string): void => {
    const { version, key, value } = seen;
    const known = writes.get(version);
    if (!known) writes.set(version, { version, key, value });
    else if (known.key !== key || known.value !== value) {
      found.push(`${who} saw ${key}=${value} at ${version}, another ${known.key}=${known.value}`);
    }
  };
  for (const write of acknowledged) note(write, 'a writer');
  for (const { watcher, events } of segments) for (const event of events) note(event, watcher);
  return new Map([...writes].sort(([a], [b]) => a - b));
}

/** Each watcher: rising versions, nothing twice, nothing left out. */
function checkSegments({ segments }: History, writes: Map<number, Seen>, found: string[]): void {
  for (const { watcher, listed, events } of segments) {
    let last = listed.version;
    for (const { version, key } of events) {
      if (version <= last) found.push(`${watcher} saw ${key} at ${version} after ${last}`);
      last = Math.max(last, version);
    }
    const seen = new Set(events.map(({ version }) => version));
    for (const [version, { key }] of writes) {
      if (version > listed.version && version < last && !seen.has(version)) {
        found.push(`${watcher} missed ${key} at ${version} between ${listed.version} and ${last}`);
      }
    }
  }
}

/** A write that began when another had been acknowledged comes after it; no version is given twice. */
function checkAcknowledged({ acknowledged }: History, found: string[]): void {
  const byVersion = new Set<number>();
  for (const { version, key } of acknowledged) {
    if (byVersion.has(version))
      found.push(`version ${version} was acknowledged twice, the second time for ${key}`);
    byVersion.add(version);
  }
  inRealTime(
    acknowledged,
    (write, newest) => {
      if (write.version <= newest) {
        found.push(`${write.key} was written at ${write.version} after ${newest} had been acknowledged`);
      }
    },
    acknowledged,
  );
}

/** A read shows at least what had been acknowledged of its object when it began. */
function checkReads({ acknowledged, reads }: History, found: string[]): void {
  for (const [key, ofKey] of Map.groupBy(reads, (read) => read.key)) {
    const writes = acknowledged.filter((write) => write.key === key);
    const removed = new Set(writes.filter(({ value }) => value === null).map(({ version }) => version));
    inRealTime(
      writes,
      (read, newest) => {
        if (read.version === undefined) {
          // Nothing there: fine before the first write, behind a removal, or behind one that was not acknowledged.
          if (newest > 0 && !removed.has(newest) && !key.includes('object')) {
            found.push(`${key} was not there though ${newest} had been acknowledged`);
          }
        } else if (read.version < newest) {
          found.push(`${key} was read at ${read.version} after ${newest} had been acknowledged`);
        }
      },
      ofKey,
    );
  }
}

/** Calls `check` for each operation with the newest version acknowledged before it began. */
function inRealTime<T extends { readonly began: number }>(
  acknowledged: readonly Acknowledged[],
  check: (operation: T, newest: number) => void,
  operations: readonly T[],
): void {
  const ended = acknowledged.toSorted((a, b) => a.ended - b.ended);
  let next = 0;
  let newest = 0;
  for (const operation of operations.toSorted((a, b) => a.began - b.began)) {
    for (let done = ended[next]; done && done.ended < operation.began; done = ended[++next]) {
      newest = Math.max(newest, done.version);
    }
    check(operation, newest);
  }
}

/** A list, moved on by the events behind it, is what a later list shows; and no list lacks what was acknowledged. */
function checkLists(
  { segments, final, acknowledged }: History,
  writes: Map<number, Seen>,
  found: string[],
): void {
  for (const { watcher, listed, events } of segments) {
    for (const { key, version, value } of listed.objects) {
      const known = writes.get(version);
      if (version > listed.version)
        found.push(`${watcher} listed ${key} at ${version} in a list of ${listed.version}`);
      if (known && (known.key !== key || known.value !== value)) {
        found.push(
          `${watcher} listed ${key}=${value} at ${version}, written was ${known.key}=${known.value}`,
        );
      }
    }
    const state = new Map(listed.objects.map((object) => [object.key, object]));
    const newest = new Map<string, number>();
    for (const [version, { key }] of writes) if (version <= listed.version) newest.set(key, version);
    for (const { key, version } of listed.objects) {
      const known = newest.get(key) ?? 0;
      // A newer write that nobody saw may have replaced it; an older version can only be stale.
      if (version < known) {
        found.push(
          `${watcher} listed ${key} at ${version} in a list of ${listed.version}, stale by ${known}`,
        );
      }
    }
    const last = events.at(-1)?.version ?? listed.version;
    for (const event of events) {
      if (event.value === null) state.delete(event.key);
      else state.set(event.key, event);
    }
    if (last < final.version) continue;
    const shown = new Map(final.objects.map((object) => [object.key, object]));
    for (const key of new Set([...state.keys(), ...shown.keys()])) {
      if (state.get(key)?.version !== shown.get(key)?.version) {
        found.push(
          `${watcher} has ${key} at ${state.get(key)?.version}, the list at ${shown.get(key)?.version}`,
        );
      }
    }
  }
  const shown = new Map(final.objects.map((object) => [object.key, object]));
  for (const [key, ofKey] of Map.groupBy(acknowledged, (write) => write.key)) {
    const newest = ofKey.reduce((a, b) => (a.version > b.version ? a : b));
    const at = shown.get(key)?.version;
    if (at !== undefined && at < newest.version)
      found.push(`${key} is lost: ${at} in the end, acknowledged ${newest.version}`);
    if (at === undefined && newest.value !== null && key.includes('counter'))
      found.push(`${key} is gone, acknowledged ${newest.version}`);
  }
}

/** Counters are only ever raised by one, by compare-and-set: in the order of versions no value comes twice or goes back. */
function checkCounters(writes: Map<number, Seen>, found: string[]): void {
  const values = new Map<string, number>();
  for (const [version, { key, value }] of writes) {
    if (!key.includes('counter') || value === null) continue;
    const before = values.get(key);
    const now = Number(value);
    // A step that nobody saw may lie between, never one back or the same again.
    if (before !== undefined && now <= before)
      found.push(`${key} went from ${before} to ${now} at ${version}`);
    values.set(key, now);
  }
}
