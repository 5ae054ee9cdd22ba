/** Conversions between types, and sizes. */
import {
  Duration,
  formatDuration,
  formatTimestamp,
  parseDuration,
  parseTimestamp,
  Timestamp,
} from '../time.ts';
import {
  bool,
  bytes,
  double,
  duration,
  int,
  listOf,
  mapOf,
  opaque,
  parameter,
  string,
  timestamp,
  typeType,
  uint,
} from '../types.ts';
import { typeName, TypeValue, UInt } from '../values.ts';
import { checked, fail, fn, method, sizeOf, traversal, type Overload } from './signature.ts';

const a = parameter('A');
const b = parameter('B');
const walk = { cost: (sizes: readonly number[]) => (sizes[0] ?? 1) * traversal };
const walkKeeping = { ...walk, size: (sizes: readonly number[]) => sizes[0] ?? 1 };
const short = { size: () => 64 };

function truncate(value: number): bigint {
  return Number.isFinite(value) ? checked(BigInt(Math.trunc(value))) : fail('integer overflow');
}

function parseInteger(text: string): bigint {
  return /^[+-]?\d{1,19}$/.test(text)
    ? checked(BigInt(text.replace(/^\+/, '')))
    : fail(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
}

function parseDouble(text: string): number {
  if (/^[+-]?(inf|infinity)$/i.test(text)) return text.startsWith('-') ? -Infinity : Infinity;
  if (/^nan$/i.test(text)) return Number.NaN;
  return /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)
    ? Number(text)
    : fail(`strconv.ParseFloat: parsing ${JSON.stringify(text)}: invalid syntax`);
}

function parseBool(text: string): boolean {
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(text)) return true;
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(text)) return false;
  return fail(`strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
}

/** As Go's %v of a float64 in CEL. */
export function formatDouble(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  return String(value).replace(/e([+-])(\d)$/, 'e$10$2');
}

const decoder = new TextDecoder('utf-8', { fatal: true });

function decodeUtf8(value: Uint8Array): string {
  try {
    return decoder.decode(value);
  } catch {
    return fail('invalid UTF-8 in bytes, cannot convert to string');
  }
}

const zones = new Map<string, Intl.DateTimeFormat>();

/** Year, month, day, weekday, hours, minutes, seconds of a moment in a zone (UTC when absent). */
export function calendar(at: Timestamp, zone?: string): Date {
  const ms = Number(at.nanos / 1_000_000n) - (at.nanos < 0n && at.nanos % 1_000_000n !== 0n ? 1 : 0);
  return new Date(ms + (zone === undefined ? 0 : offsetMs(zone, ms)));
}

function offsetMs(zone: string, ms: number): number {
  const fixed = /^([+-]?)(\d{2}):(\d{2})$/.exec(zone);
  if (fixed) return (fixed[1] === '-' ? -1 : 1) * (Number(fixed[2]) * 60 + Number(fixed[3])) * 60_000;
  let format = zones.get(zone);
  if (!format) {
    try {
      format = new Intl.DateTimeFormat('en-US', {
        timeZone: zone,
        hourCycle: 'h23',
        year: 'numeric',
        month: 'numeric',
        day: 'numeric',
        hour: 'numeric',
        minute: 'numeric',
        second: 'numeric',
      });
    } catch {
      return fail(`unknown time zone ${zone}`);
    }
    if (zones.size < 100) zones.set(zone, format);
  }
  const parts = new Map(format.formatToParts(ms).map(({ type, value }) => [type, Number(value)]));
  const part = (name: Intl.DateTimeFormatPartTypes): number => parts.get(name) ?? 0;
  const there = Date.UTC(
    part('year'),
    part('month') - 1,
    part('day'),
    part('hour'),
    part('minute'),
    part('second'),
  );
  return there - Math.floor(ms / 1000) * 1000;
}

const dayMs = 86_400_000;
const fields: Readonly<Record<string, (date: Date) => number>> = {
  getFullYear: (date) => date.getUTCFullYear(),
  getMonth: (date) => date.getUTCMonth(),
  getDate: (date) => date.getUTCDate(),
  getDayOfMonth: (date) => date.getUTCDate() - 1,
  getDayOfWeek: (date) => date.getUTCDay(),
  getDayOfYear: (date) => Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / dayMs),
  getHours: (date) => date.getUTCHours(),
  getMinutes: (date) => date.getUTCMinutes(),
  getSeconds: (date) => date.getUTCSeconds(),
  getMilliseconds: (date) => date.getUTCMilliseconds(),
};

const timeFields: readonly Overload[] = Object.entries(fields).flatMap(([name, read]) => [
  method(name, [timestamp], int, ([at]: readonly [Timestamp]) => BigInt(read(calendar(at)))),
  method(name, [timestamp, string], int, ([at, zone]: readonly [Timestamp, string]) =>
    BigInt(read(calendar(at, zone))),
  ),
]);

const lengths: Readonly<Record<string, bigint>> = {
  getHours: 3_600_000_000_000n,
  getMinutes: 60_000_000_000n,
  getSeconds: 1_000_000_000n,
};
const durationFields: readonly Overload[] = [
  ...Object.entries(lengths).map(([name, unit]) =>
    method(name, [duration], int, ([length]: readonly [Duration]) => length.nanos / unit),
  ),
  method('getMilliseconds', [duration], int, ([length]: readonly [Duration]) => length.nanos / 1_000_000n),
];

const sized = [string, bytes, listOf(a), mapOf(a, b)];
const size = ([value]: readonly unknown[]): bigint =>
  BigInt(typeof value === 'string' ? codePointCount(value) : sizeOf(value));

/** Characters are code points. */
export function codePointCount(text: string): number {
  let count = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0xd800 && unit <= 0xdbff) count--;
  }
  return count;
}

export const conversions: readonly Overload[] = [
  ...sized.map((type) => fn('size', [type], int, size)),
  ...sized.map((type) => method('size', [type], int, size)),
  fn('int', [int], int, ([x]: readonly bigint[]) => x),
  fn('int', [uint], int, ([x]: readonly [UInt]) => checked(x.value)),
  fn('int', [double], int, ([x = 0]: readonly number[]) => truncate(x)),
  fn('int', [string], int, ([x = '']: readonly string[]) => parseInteger(x), walk),
  fn('int', [timestamp], int, ([x]: readonly [Timestamp]) => x.nanos / 1_000_000_000n),
  fn('int', [duration], int, ([x]: readonly [Duration]) => x.nanos),
  fn('uint', [uint], uint, ([x]: readonly UInt[]) => x),
  fn('uint', [int], uint, ([x = 0n]: readonly bigint[]) => new UInt(x)),
  fn('uint', [double], uint, ([x = 0]: readonly number[]) =>
    Number.isFinite(x) ? new UInt(BigInt(Math.trunc(x))) : fail('unsigned integer overflow'),
  ),
  fn(
    'uint',
    [string],
    uint,
    ([x = '']: readonly string[]) =>
      /^\d{1,20}$/.test(x)
        ? new UInt(BigInt(x))
        : fail(`strconv.ParseUint: parsing ${JSON.stringify(x)}: invalid syntax`),
    walk,
  ),
  fn('double', [double], double, ([x]: readonly number[]) => x),
  fn('double', [int], double, ([x = 0n]: readonly bigint[]) => Number(x)),
  fn('double', [uint], double, ([x]: readonly [UInt]) => Number(x.value)),
  fn('double', [string], double, ([x = '']: readonly string[]) => parseDouble(x), walk),
  fn('string', [string], string, ([x]: readonly string[]) => x, { size: walkKeeping.size }),
  fn('string', [bool], string, ([x]: readonly boolean[]) => String(x), short),
  fn('string', [int], string, ([x]: readonly bigint[]) => String(x), short),
  fn('string', [uint], string, ([x]: readonly [UInt]) => String(x.value), short),
  fn('string', [double], string, ([x = 0]: readonly number[]) => formatDouble(x), short),
  fn('string', [bytes], string, ([x]: readonly [Uint8Array]) => decodeUtf8(x), walkKeeping),
  fn('string', [timestamp], string, ([x]: readonly [Timestamp]) => formatTimestamp(x), short),
  fn('string', [duration], string, ([x]: readonly [Duration]) => formatDuration(x), short),
  fn(
    'string',
    [opaque('net.IP')],
    string,
    ([x]: readonly [{ value: { text: string } }]) => x.value.text,
    short,
  ),
  fn(
    'string',
    [opaque('net.CIDR')],
    string,
    ([x]: readonly [{ value: { text: string } }]) => x.value.text,
    short,
  ),
  fn('bytes', [bytes], bytes, ([x]: readonly Uint8Array[]) => x, { size: walkKeeping.size }),
  fn('bytes', [string], bytes, ([x = '']: readonly string[]) => Uint8Array.from(Buffer.from(x)), walkKeeping),
  fn('bool', [bool], bool, ([x]: readonly boolean[]) => x),
  fn('bool', [string], bool, ([x = '']: readonly string[]) => parseBool(x), walk),
  fn('timestamp', [timestamp], timestamp, ([x]: readonly Timestamp[]) => x),
  fn('timestamp', [int], timestamp, ([x = 0n]: readonly bigint[]) => new Timestamp(x * 1_000_000_000n)),
  fn(
    'timestamp',
    [string],
    timestamp,
    ([x = '']: readonly string[]) =>
      parseTimestamp(x) ?? fail(`invalid timestamp ${JSON.stringify(x.slice(0, 64))}`),
    walk,
  ),
  fn('duration', [duration], duration, ([x]: readonly Duration[]) => x),
  fn('duration', [int], duration, ([x = 0n]: readonly bigint[]) => new Duration(x)),
  fn(
    'duration',
    [string],
    duration,
    ([x = '']: readonly string[]) =>
      parseDuration(x) ?? fail(`time: invalid duration ${JSON.stringify(x.slice(0, 64))}`),
    walk,
  ),
  fn('type', [a], typeType, ([x]: readonly unknown[]) => new TypeValue(typeName(x))),
  ...timeFields,
  ...durationFields,
];
