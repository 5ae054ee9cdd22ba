/** Moments and lengths of time, to the nanosecond. */
import { CelEvaluationError } from './errors.ts';

/** Nanoseconds since the epoch. */
export class Timestamp {
  readonly nanos: bigint;
  constructor(nanos: bigint) {
    // Years 1 to 9999, as in protobuf.
    if (nanos < -62_135_596_800_000_000_000n || nanos > 253_402_300_799_999_999_999n) {
      throw new CelEvaluationError('timestamp overflow');
    }
    this.nanos = nanos;
  }
}

/** Nanoseconds. */
export class Duration {
  readonly nanos: bigint;
  constructor(nanos: bigint) {
    if (nanos < -(2n ** 63n) || nanos >= 2n ** 63n) throw new CelEvaluationError('integer overflow');
    this.nanos = nanos;
  }
}

const timestampForm =
  /^(\d{4})-(\d{2})-(\d{2})(?:[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?\d*([Zz]|[+-]\d{2}:\d{2}))?$/;

/** RFC 3339, or a date alone. Undefined when it is neither. */
export function parseTimestamp(text: string): Timestamp | undefined {
  const match = text.length <= 64 ? timestampForm.exec(text) : null;
  if (!match) return undefined;
  const [, year, month, day, time = '00:00:00', fraction = '', zone = 'Z'] = match;
  const ms = Date.parse(`${year}-${month}-${day}T${time}${zone.toUpperCase()}`);
  if (Number.isNaN(ms)) return undefined;
  return new Timestamp(BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, '0')));
}

export function formatTimestamp({ nanos }: Timestamp): string {
  const second = 1_000_000_000n;
  const fraction = ((nanos % second) + second) % second;
  const seconds = new Date(Number((nanos - fraction) / 1_000_000n)).toISOString().slice(0, 19);
  const digits = fraction === 0n ? '' : `.${String(fraction).padStart(9, '0').replace(/0+$/, '')}`;
  return `${seconds}${digits}Z`;
}

const units: { readonly [unit: string]: bigint | undefined } = {
  ns: 1n,
  us: 1000n,
  µs: 1000n,
  μs: 1000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

/** A Go duration. Undefined when the text is none. */
export function parseDuration(text: string): Duration | undefined {
  const match = /^([+-]?)((?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.exec(text.slice(0, 129));
  if (text === '0') return new Duration(0n);
  if (!match || text.length > 128) return undefined;
  let total = 0n;
  for (const [, whole, fraction = '', unit = ''] of text.matchAll(
    /(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/g,
  )) {
    const factor = units[unit] ?? 0n;
    const digits = fraction.slice(0, 18);
    total += BigInt(whole || '0') * factor;
    if (digits) total += (BigInt(digits) * factor) / 10n ** BigInt(digits.length);
  }
  try {
    return new Duration(match[1] === '-' ? -total : total);
  } catch {
    return undefined;
  }
}

/** CEL writes durations in seconds: `1.5s`. */
export function formatDuration({ nanos }: Duration): string {
  const second = 1_000_000_000n;
  const size = nanos < 0n ? -nanos : nanos;
  const fraction = size % second;
  const digits = fraction === 0n ? '' : `.${String(fraction).padStart(9, '0').replace(/0+$/, '')}`;
  return `${nanos < 0n ? '-' : ''}${size / second}${digits}s`;
}
