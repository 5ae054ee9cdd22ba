/**
 * Knative's ConfigMaps as tables: one row a key, with its default, its parser and what it means. The same row reads the
 * value, and writes the `_example` that `kubectl edit` shows.
 */
import { crc32 } from 'node:zlib';
import { formatDuration, parseDuration } from '../../../base/duration.ts';

export type ConfigData = Readonly<Record<string, string>>;

/** One key of a ConfigMap. */
export interface Field<T> {
  readonly key: string;
  readonly fallback: T;
  /** Throws an Error that names the key when the text is not acceptable. */
  readonly parse: (text: string) => T;
  /** The text that `_example` shows. */
  readonly example: string;
  readonly doc: string;
}

export type Fields = { readonly [name: string]: Field<unknown> };

/** The parsed values of a table. */
export type Values<F extends Fields> = {
  readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never;
};

/** Reads all keys of a table; absent and empty ones take their default. Throws on the first unacceptable value. */
export function readFields<F extends Fields>(fields: F, data: ConfigData): Values<F> {
  const values: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(fields)) {
    const text = data[field.key];
    values[name] = text === undefined || text === '' ? field.fallback : field.parse(text.trim());
  }
  return values as Values<F>;
}

/** The `_example` block: every key with its meaning and default. */
export function exampleOf(fields: Fields): string {
  const rows = Object.values(fields).map(({ key, example, doc }) => {
    const comment = doc.split('\n').map((line) => `# ${line}`);
    return [
      ...comment,
      example.includes('\n') || example === '' ? `${key}: ""` : `${key}: "${example}"`,
    ].join('\n');
  });
  return `# Every key with its default. Copy what you change to the same level as _example.\n\n${rows.join('\n\n')}\n`;
}

/** The value of annotation `knative.dev/example-checksum`, which lets a webhook notice edits of the example. */
export function exampleChecksum(example: string): string {
  return crc32(example.trim()).toString(16).padStart(8, '0');
}

function bad(key: string, text: string, want: string): Error {
  return new Error(`failed to parse ${JSON.stringify(key)}: ${JSON.stringify(text)} is not ${want}`);
}

export function text(key: string, fallback: string, doc: string): Field<string> {
  return { key, fallback, parse: (value) => value, example: fallback, doc };
}

/** Milliseconds, written as a Go duration; not negative. */
export function duration(key: string, fallbackMs: number, doc: string): Field<number> {
  return {
    key,
    fallback: fallbackMs,
    example: formatDuration(fallbackMs),
    doc,
    parse(value) {
      const ms = parseDuration(value);
      if (ms === undefined) throw bad(key, value, 'a duration');
      if (ms < 0) throw new Error(`${key} cannot be negative, was: ${value}`);
      return ms;
    },
  };
}

/** A duration, `disabled` or -1 (undefined). */
export function durationOrDisabled(key: string, fallbackMs: number, doc: string): Field<number | undefined> {
  const inner = duration(key, fallbackMs, doc);
  return { ...inner, parse: (value) => (value === 'disabled' ? undefined : inner.parse(value)) };
}

export function number(
  key: string,
  fallback: number,
  doc: string,
  range: { min?: number; max?: number; integer?: boolean } = {},
): Field<number> {
  const { min = -Infinity, max = Infinity, integer = false } = range;
  return {
    key,
    fallback,
    example: String(fallback),
    doc,
    parse(value) {
      const parsed = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(value) ? Number(value) : NaN;
      if (!Number.isFinite(parsed)) throw bad(key, value, 'a number');
      if (integer && !Number.isSafeInteger(parsed)) throw bad(key, value, 'a whole number');
      if (parsed < min || parsed > max) throw new Error(`${key} = ${value}, must be in [${min}, ${max}]`);
      return parsed;
    },
  };
}

export function integer(
  key: string,
  fallback: number,
  doc: string,
  range: { min?: number; max?: number } = {},
): Field<number> {
  return number(key, fallback, doc, { ...range, integer: true });
}

/** A whole number or `disabled` (undefined). */
export function integerOrDisabled(key: string, fallback: number, doc: string): Field<number | undefined> {
  const inner = integer(key, fallback, doc, { min: 0 });
  return { ...inner, parse: (value) => (value === 'disabled' ? undefined : inner.parse(value)) };
}

/** Accepts what Go's `strconv.ParseBool` accepts. */
export function boolean(key: string, fallback: boolean, doc: string): Field<boolean> {
  return {
    key,
    fallback,
    example: String(fallback),
    doc,
    parse(value) {
      if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(value)) return true;
      if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(value)) return false;
      throw bad(key, value, 'true or false');
    },
  };
}

/** One of some words, in any case. */
export function choice<const C extends readonly string[]>(
  key: string,
  choices: C,
  fallback: C[number],
  doc: string,
): Field<C[number]> {
  return {
    key,
    fallback,
    example: fallback,
    doc,
    parse(value) {
      const found = choices.find((word) => word.toLowerCase() === value.toLowerCase());
      if (found === undefined) throw bad(key, value, `one of ${choices.join(', ')}`);
      return found;
    },
  };
}

/** A Kubernetes quantity, kept as text; '' when unset. */
export function quantity(key: string, doc: string): Field<string> {
  return {
    key,
    fallback: '',
    example: '',
    doc,
    parse(value) {
      if (!/^[+-]?(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$/.test(value)) {
        throw bad(key, value, 'a quantity');
      }
      return value;
    },
  };
}

/** A comma-separated list. */
export function list(key: string, fallback: readonly string[], doc: string): Field<readonly string[]> {
  return {
    key,
    fallback,
    example: fallback.join(','),
    doc,
    parse: (value) =>
      value
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== ''),
  };
}
