/** Sets of completion indexes and their text in a Job's status: `1,3-5,7` (kubernetes pkg/controller/job/indexed_job_utils). */

/** Sorted, disjoint and not touching ranges; both ends belong to them. */
export type Indexes = readonly (readonly [first: number, last: number])[];

/** Ranges of any indexes, in any order. */
export function indexesOf(values: Iterable<number>): Indexes {
  const ranges: [number, number][] = [];
  for (const value of [...values].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last && value <= last[1] + 1) last[1] = Math.max(last[1], value);
    else ranges.push([value, value]);
  }
  return ranges;
}

/**
 * Reads the text form. Indexes from `limit` on, and what is no index, are left out: a Job that was shrunk forgets them.
 */
export function parseIndexes(text: string | undefined, limit: number): Indexes {
  const ranges: [number, number][] = [];
  for (const part of (text ?? '').split(',')) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part);
    if (!match) continue;
    const first = Number(match[1]);
    const last = Math.min(Number(match[2] ?? match[1]), limit - 1);
    if (first <= last) ranges.push([first, last]);
  }
  return merged(ranges);
}

/** Three or more in a row are written as a range. */
export function formatIndexes(indexes: Indexes): string {
  return indexes
    .map(([first, last]) =>
      first === last ? `${first}` : last === first + 1 ? `${first},${last}` : `${first}-${last}`,
    )
    .join(',');
}

export function unionIndexes(a: Indexes, b: Indexes): Indexes {
  return merged([...a, ...b]);
}

function merged(ranges: readonly (readonly [number, number])[]): Indexes {
  const result: [number, number][] = [];
  for (const [first, second] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = result.at(-1);
    if (last && first <= last[1] + 1) last[1] = Math.max(last[1], second);
    else result.push([first, second]);
  }
  return result;
}

export function countIndexes(indexes: Indexes): number {
  return indexes.reduce((sum, [first, last]) => sum + last - first + 1, 0);
}

export function hasIndex(indexes: Indexes, index: number): boolean {
  let low = 0;
  let high = indexes.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const range = indexes[middle];
    if (!range) return false;
    if (index < range[0]) high = middle - 1;
    else if (index > range[1]) low = middle + 1;
    else return true;
  }
  return false;
}

/** How many indexes are in both. */
export function countCommon(a: Indexes, b: Indexes): number {
  let sum = 0;
  let j = 0;
  for (const [first, last] of a) {
    for (let range = b[j]; range && range[0] <= last; range = b[j]) {
      sum += Math.max(0, Math.min(last, range[1]) - Math.max(first, range[0]) + 1);
      if (range[1] > last) break;
      j++;
    }
  }
  return sum;
}

/** The first `count` indexes below `limit` that none of the sets has. */
export function firstMissing(taken: readonly Indexes[], count: number, limit: number): number[] {
  const all = taken.reduce((union, set) => unionIndexes(union, set), []);
  const missing: number[] = [];
  let next = 0;
  for (const [first, last] of all) {
    for (; next < first && next < limit && missing.length < count; next++) missing.push(next);
    next = Math.max(next, last + 1);
  }
  for (; next < limit && missing.length < count; next++) missing.push(next);
  return missing;
}
