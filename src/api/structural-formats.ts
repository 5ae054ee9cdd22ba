/** What strings must look like: patterns, and the formats that CustomResourceDefinitions may name (kube-openapi `strfmt`). */
import { isIP, isIPv4, isIPv6 } from 'node:net';
import { Regex, RegexBudgetError } from '../base/regex/regex.ts';
import type { Schema } from './schema.ts';

const compiled = new WeakMap<Schema, Regex>();
/** What compiling an instruction of a pattern's program takes, in steps of a search. */
const stepsAnInstruction = 4;

/** Steps that matching may still take, over all texts of an object. Negative: it was not enough. */
export interface PatternBudget {
  steps: number;
}

/**
 * Whether the text matches anywhere. Patterns come from users, so their engine cannot be made to hang; when the budget is
 * spent nothing matches any more.
 */
export function matchesPattern(
  schema: Schema,
  pattern: string,
  text: string,
  budget: PatternBudget,
): boolean {
  if (budget.steps < 0) return false;
  let expression = compiled.get(schema);
  if (!expression) {
    expression = new Regex(pattern);
    compiled.set(schema, expression);
    budget.steps -= expression.size * stepsAnInstruction;
    if (budget.steps < 0) return false;
  }
  try {
    return expression.test(text, budget.steps, (steps) => (budget.steps -= steps));
  } catch (error) {
    if (!(error instanceof RegexBudgetError)) throw error;
    budget.steps = -1;
    return false;
  }
}

const uuid = (version: string): RegExp =>
  new RegExp(`^[0-9a-f]{8}-?[0-9a-f]{4}-?${version}[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$`, 'i');

/** `1h30m`, `-1.5s`: Go's durations. */
const goDuration =
  /^[-+]?(0|(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*)$/;
/** strfmt's own durations: `3 days`, `2 weeks`. */
const wordDuration =
  /^\s*\d+\s*(ns|nanos?|us|µs|micros?|ms|millis?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|wks?|weeks?)$/i;
const rfc3339 = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:?\d{2})$/;
const hostLabel = /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;

type Check = (text: string) => boolean;

const pattern =
  (expression: RegExp): Check =>
  (text) =>
    text.length <= 4096 && expression.test(text);

/** None of these expressions repeats what it repeats, so they are linear. */
const formats: { readonly [name: string]: Check | undefined } = {
  'date-time': isDateTime,
  datetime: isDateTime,
  date: (text) => /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(`${text}T00:00:00Z`)),
  duration: (text) => pattern(goDuration)(text) || pattern(wordDuration)(text),
  byte: (text) => /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text),
  uri: (text) => URL.canParse(text) || /^\/(?!\/)[^\s]*$/.test(text),
  email: pattern(/^[^\s@<>(),;:\\"]+@[^\s@<>(),;:\\"]+$/),
  hostname: (text) => text.length <= 255 && text.split('.').every((label) => hostLabel.test(label)),
  ipv4: isIPv4,
  ipv6: isIPv6,
  cidr: isCidr,
  mac: pattern(/^([0-9a-f]{2}[:-]){5}([0-9a-f]{2})$|^([0-9a-f]{4}\.){2}[0-9a-f]{4}$/i),
  uuid: pattern(uuid('[0-9a-f]')),
  uuid3: pattern(uuid('3')),
  uuid4: pattern(uuid('4')),
  uuid5: pattern(uuid('5')),
  bsonobjectid: pattern(/^[0-9a-f]{24}$/i),
  isbn: (text) => isIsbn10(text) || isIsbn13(text),
  isbn10: isIsbn10,
  isbn13: isIsbn13,
  creditcard: (text) => /^\d{12,19}$/.test(text.replace(/[ -]/g, '')),
  ssn: pattern(/^\d{3}[- ]?\d{2}[- ]?\d{4}$/),
  hexcolor: pattern(/^#?([0-9a-f]{3}|[0-9a-f]{6})$/i),
  rgbcolor: pattern(/^rgb\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*\)$/),
};

/** Formats that say something about a string here. Others are accepted and not looked at, as in Kubernetes. */
export const knownFormats: ReadonlySet<string> = new Set([...Object.keys(formats), 'password']);

/** What is wrong with a string of the format, or undefined. */
export function formatFault(format: string, text: string): string | undefined {
  const check = Object.hasOwn(formats, format) ? formats[format] : undefined;
  return check && !check(text) ? `must be of type ${format}: ${JSON.stringify(text)}` : undefined;
}

function isDateTime(text: string): boolean {
  return text.length < 64 && rfc3339.test(text) && !Number.isNaN(Date.parse(text.replace(' ', 'T')));
}

function isCidr(text: string): boolean {
  const [address = '', bits = '', ...rest] = text.split('/');
  const version = isIP(address);
  return (
    rest.length === 0 && version !== 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128)
  );
}

function isIsbn10(text: string): boolean {
  const digits = text.replace(/[ -]/g, '');
  if (!/^\d{9}[\dX]$/.test(digits)) return false;
  let sum = 0;
  for (let i = 0; i < 10; i++) sum += (10 - i) * (digits[i] === 'X' ? 10 : Number(digits[i]));
  return sum % 11 === 0;
}

function isIsbn13(text: string): boolean {
  const digits = text.replace(/[ -]/g, '');
  if (!/^\d{13}$/.test(digits)) return false;
  let sum = 0;
  for (let i = 0; i < 13; i++) sum += Number(digits[i]) * (i % 2 === 0 ? 1 : 3);
  return sum % 10 === 0;
}
