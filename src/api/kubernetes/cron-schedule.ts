/**
 * Schedules of CronJobs: five fields, a descriptor such as `@daily`, or `@every 90m`. What is taken and what is said of
 * the rest is as in Kubernetes (robfig/cron v3 `ParseStandard`). When a schedule fires on the two days a year when clocks
 * change is for the library to say: at most once in an hour that comes twice unless every hour is named, and as soon as
 * possible after an hour that does not come.
 */
import { Cron } from 'croner';
import { parseDuration } from '../../base/duration.ts';

/** Computes when a schedule fires. Times are ms since the epoch. */
export interface CronSchedule {
  /** The first firing after `after`, whole seconds; undefined when there is none any more. */
  next(after: number): number | undefined;
}

export class InvalidCronError extends Error {
  override name = 'InvalidCronError';
}

interface Bounds {
  readonly min: number;
  readonly max: number;
  readonly names?: { readonly [name: string]: number };
}

const named = (words: string, from: number): { [name: string]: number } =>
  Object.fromEntries(words.split(' ').map((word, i) => [word, i + from]));

const fields: readonly Bounds[] = [
  { min: 0, max: 59 },
  { min: 0, max: 23 },
  { min: 1, max: 31 },
  { min: 1, max: 12, names: named('jan feb mar apr may jun jul aug sep oct nov dec', 1) },
  { min: 0, max: 6, names: named('sun mon tue wed thu fri sat', 0) },
];

const descriptors: { readonly [name: string]: string } = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};

const every = '@every ';

/**
 * `timeZone` is an IANA name; absent means UTC. A zone in the schedule itself (`TZ=…`) is the older form, and wins.
 * @throws InvalidCronError
 */
export function parseCronSchedule(schedule: string, timeZone = 'UTC'): CronSchedule {
  if (schedule === '') throw new InvalidCronError('empty spec string');
  const zoned = /^(?:TZ|CRON_TZ)=(\S*)\s+(.*)$/s.exec(schedule);
  const zone = zoned?.[1] ?? timeZone;
  if (!isTimeZone(zone)) {
    throw new InvalidCronError(`provided bad location ${zone}: unknown time zone ${zone}`);
  }
  const text = (zoned?.[2] ?? schedule).trim();
  if (text.startsWith(every)) return everySchedule(text);
  if (text.startsWith('@') && !Object.hasOwn(descriptors, text)) {
    throw new InvalidCronError(`unrecognized descriptor: ${text}`);
  }
  const parts = (descriptors[text] ?? text).split(/\s+/).filter((part) => part !== '');
  if (parts.length !== fields.length) {
    throw new InvalidCronError(`expected exactly 5 fields, found ${parts.length}: [${parts.join(' ')}]`);
  }
  const pattern = fields.map((bounds, i) => plainField(parts[i] ?? '', bounds)).join(' ');
  const cron = new Cron(pattern, { timezone: zone, paused: true });
  return { next: (after) => cron.nextRun(new Date(after))?.getTime() };
}

function everySchedule(text: string): CronSchedule {
  const given = text.slice(every.length);
  const ms = parseDuration(given);
  if (ms === undefined) {
    throw new InvalidCronError(
      `failed to parse duration ${text}: time: invalid duration ${JSON.stringify(given)}`,
    );
  }
  const period = Math.max(1, Math.floor(ms / 1000)) * 1000;
  return { next: (after) => Math.floor(after / 1000) * 1000 + period };
}

export function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

/** A field as a list of numbers, or `*`: what any cron library understands in the same way. */
function plainField(field: string, bounds: Bounds): string {
  const values = new Set<number>();
  let star = false;
  for (const part of field.split(',').filter((item) => item !== '')) {
    const range = readRange(part, bounds);
    star ||= range.star;
    for (let value = range.start; value <= range.end; value += range.step) values.add(value);
  }
  return star ? '*' : [...values].sort((a, b) => a - b).join(',');
}

interface Range {
  readonly start: number;
  readonly end: number;
  readonly step: number;
  /** Says nothing: the field does not narrow the day down beside the other field about days. */
  readonly star: boolean;
}

function readRange(text: string, bounds: Bounds): Range {
  const [span = '', stepText, ...moreSteps] = text.split('/');
  const [low = '', high, ...moreEnds] = span.split('-');
  const all = low === '*' || low === '?';
  let start = all ? bounds.min : readNumber(low, bounds);
  let end = all ? bounds.max : start;
  if (!all) {
    if (moreEnds.length > 0) throw new InvalidCronError(`too many hyphens: ${text}`);
    if (high !== undefined) end = readNumber(high, bounds);
  }
  if (moreSteps.length > 0) throw new InvalidCronError(`too many slashes: ${text}`);
  let step = 1;
  if (stepText !== undefined) {
    step = readNumber(stepText, { min: 0, max: 0 });
    // `5/15` means from 5 to the end.
    if (!all && high === undefined) end = bounds.max;
  }
  if (start < bounds.min) {
    throw new InvalidCronError(`beginning of range (${start}) below minimum (${bounds.min}): ${text}`);
  }
  if (end > bounds.max) {
    throw new InvalidCronError(`end of range (${end}) above maximum (${bounds.max}): ${text}`);
  }
  if (start > end) {
    throw new InvalidCronError(`beginning of range (${start}) beyond end of range (${end}): ${text}`);
  }
  if (step === 0) throw new InvalidCronError(`step of range should be a positive number: ${text}`);
  return { start, end, step, star: all && step === 1 };
}

function readNumber(text: string, { names }: Bounds): number {
  const name = names?.[text.toLowerCase()];
  if (name !== undefined) return name;
  if (/^-\d+$/.test(text)) throw new InvalidCronError(`negative number (${text}) not allowed: ${text}`);
  if (!/^\+?\d+$/.test(text)) {
    const why = `strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`;
    throw new InvalidCronError(`failed to parse int from ${text}: ${why}`);
  }
  return Number(text);
}
