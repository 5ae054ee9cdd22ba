/** Strings: the standard methods, cel-go's string extension, and Kubernetes' regular expressions. */
import { Duration, formatDuration, formatTimestamp, Timestamp } from '../time.ts';
import { messageOf } from '../../../../base/errors.ts';
import { codePoints, Regex, RegexBudgetError } from '../../../../base/regex/regex.ts';
import { bool, dyn, int, listOf, string } from '../types.ts';
import { CelMap, isNumber, TypeValue, typeName, UInt } from '../values.ts';
import { formatDouble } from './conversions.ts';
import { type Budget, BudgetError, fail, indexOf, method, traversal, type Overload } from './signature.ts';

const walk = { cost: (sizes: readonly number[]) => (sizes[0] ?? 1) * traversal };
const walkKeeping = { ...walk, size: (sizes: readonly number[]) => sizes[0] ?? 1 };
const search = { cost: (sizes: readonly number[]) => (sizes[0] ?? 1) * (sizes[1] ?? 1) * traversal };
const affix = { cost: (sizes: readonly number[]) => (sizes[1] ?? 1) * traversal };
/** A pattern costs by its length, as every state may be looked at for every character. */
const matching = {
  cost: (sizes: readonly number[]) =>
    Math.ceil((sizes[0] ?? 1) * traversal) * Math.ceil((sizes[1] ?? 1) * 0.25),
};
const strings = listOf(string);

const compiled = new Map<string, Regex>();
const maxCompiled = 200;
/** Steps of a search in one unit of cost. */
const stepsPerUnit = 4;

/** Patterns may be computed, so only so many are kept. Throws what an expression fails with. */
function regex(pattern: string): Regex {
  let expression = compiled.get(pattern);
  if (!expression) {
    try {
      expression = new Regex(pattern);
    } catch (error) {
      return fail(messageOf(error));
    }
    if (compiled.size >= maxCompiled) compiled.clear();
    compiled.set(pattern, expression);
  }
  return expression;
}

function matches([text, pattern]: readonly [string, string], budget: Budget): boolean {
  const expression = regex(pattern);
  return within(budget, (steps, spent) => expression.test(text, steps, spent));
}

/** A search that ends with the budget. */
function within<T>(budget: Budget, run: (steps: number, spent: (steps: number) => void) => T): T {
  try {
    return run(budget.left * stepsPerUnit, (steps) => budget.charge(1 + steps / stepsPerUnit));
  } catch (error) {
    if (!(error instanceof RegexBudgetError)) throw error;
    throw new BudgetError(error.message);
  }
}

function* findAll(text: string, pattern: string, budget: Budget): Generator<string> {
  const expression = regex(pattern);
  const codes = codePoints(text);
  let at = 0;
  while (at <= codes.length) {
    const match = within(budget, (steps, spent) => expression.find(codes, at, steps, spent));
    if (!match) return;
    yield String.fromCodePoint(...codes.slice(match.start, match.end).slice(0, 100_000));
    at = match.end > match.start ? match.end : match.end + 1;
  }
}

/** Positions count code points. */
function charAt([text, at]: readonly [string, bigint]): string {
  const characters = Array.from(text);
  const index = indexOf(at);
  if (index < 0 || index > characters.length) return fail(`index out of range: ${at}`);
  return characters[index] ?? '';
}

function find(last: boolean): (args: readonly [string, string, bigint?]) => bigint {
  return ([text, part, from]) => {
    const characters = Array.from(text);
    const wanted = Array.from(part);
    const start = from === undefined ? (last ? characters.length : 0) : indexOf(from);
    if (start < 0 || start > characters.length) return fail(`index out of range: ${from}`);
    if (wanted.length === 0) return BigInt(start);
    const step = last ? -1 : 1;
    for (
      let i = last ? Math.min(start, characters.length - wanted.length) : start;
      i >= 0 && i + wanted.length <= characters.length;
      i += step
    ) {
      if (wanted.every((character, j) => characters[i + j] === character)) return BigInt(i);
    }
    return -1n;
  };
}

function substring([text, from, to]: readonly [string, bigint, bigint?]): string {
  const characters = Array.from(text);
  const start = indexOf(from);
  const end = to === undefined ? characters.length : indexOf(to);
  if (start < 0 || end > characters.length || start > end) {
    return fail(`invalid substring range. start: ${start}, end: ${end}`);
  }
  return characters.slice(start, end).join('');
}

function replace(
  [text, old, next, limit]: readonly [string, string, string, bigint?],
  budget: Budget,
): string {
  const most = limit === undefined || limit < 0n ? Infinity : Number(limit);
  // Like Go an empty text is found before every character and at the end.
  const parts = old === '' ? ['', ...Array.from(text), ''] : text.split(old);
  const count = Math.min(most, parts.length - 1);
  budget.charge((text.length + count * next.length) * traversal);
  if (old === '') {
    const characters = Array.from(text);
    let out = '';
    characters.forEach((character, i) => (out += (i < count ? next : '') + character));
    return count > characters.length ? out + next : out;
  }
  return [parts.slice(0, count + 1).join(next), ...parts.slice(count + 1)].join(old);
}

function split([text, separator, limit]: readonly [string, string, bigint?], budget: Budget): string[] {
  const most = limit === undefined || limit < 0n ? Infinity : Number(limit);
  if (most === 0) return [];
  const parts = separator === '' ? Array.from(text) : text.split(separator);
  budget.charge(parts.length * traversal);
  if (parts.length <= most) return parts;
  return [...parts.slice(0, most - 1), parts.slice(most - 1).join(separator)];
}

function join([list, separator = '']: readonly [readonly unknown[], string?], budget: Budget): string {
  let size = 0;
  for (const item of list) {
    if (typeof item !== 'string') return fail('no such overload: join');
    size += item.length + separator.length;
    budget.charge((item.length + separator.length) * traversal);
  }
  return size === 0 ? '' : (list as readonly string[]).join(separator);
}

const asciiLower = (text: string): string => text.replace(/[A-Z]+/g, (part) => part.toLowerCase());
const asciiUpper = (text: string): string => text.replace(/[a-z]+/g, (part) => part.toUpperCase());

/** `'%s is %d'.format([a, b])`: s, d, f, e, b, o, x, X and %%. */
function format([text, args]: readonly [string, readonly unknown[]], budget: Budget): string {
  let next = 0;
  let out = '';
  let at = 0;
  for (const match of text.matchAll(/%(?:\.(\d{1,3}))?(.)/gs)) {
    const [whole, precision, verb = ''] = match;
    out += text.slice(at, match.index);
    at = match.index + whole.length;
    if (verb === '%') {
      out += '%';
      continue;
    }
    if (next >= args.length) return fail(`index ${next} out of range`);
    const part = formatArgument(
      verb,
      args[next++],
      precision === undefined ? 6 : Math.min(100, Number(precision)),
      budget,
    );
    budget.charge(part.length * traversal);
    out += part;
  }
  return out + text.slice(at);
}

function formatArgument(verb: string, value: unknown, precision: number, budget: Budget): string {
  const integer = typeof value === 'bigint' ? value : value instanceof UInt ? value.value : undefined;
  const bad = (): never => fail(`error during formatting: %${verb} cannot show ${typeName(value)}`);
  switch (verb) {
    case 's':
      return display(value, budget);
    case 'd':
      return integer === undefined
        ? typeof value === 'number'
          ? formatDouble(value)
          : bad()
        : String(integer);
    case 'f':
    case 'e': {
      if (!isNumber(value)) return bad();
      const number = Number(integer ?? value);
      if (!Number.isFinite(number)) return formatDouble(number);
      return verb === 'f'
        ? number.toFixed(precision)
        : number.toExponential(precision).replace(/e([+-])(\d)$/, 'e$10$2');
    }
    case 'b':
      return typeof value === 'boolean' ? (value ? '1' : '0') : (integer?.toString(2) ?? bad());
    case 'o':
      return integer?.toString(8) ?? bad();
    case 'x':
    case 'X': {
      const bytes =
        typeof value === 'string'
          ? Buffer.from(value)
          : value instanceof Uint8Array
            ? Buffer.from(value)
            : undefined;
      const text = integer?.toString(16) ?? bytes?.toString('hex') ?? bad();
      return verb === 'X' ? text.toUpperCase() : text;
    }
    default:
      return fail(`error during formatting: unrecognized formatting clause "${verb}"`);
  }
}

/** A value inside a text. */
function display(value: unknown, budget: Budget): string {
  budget.charge(traversal);
  if (typeof value === 'string') return value;
  if (value === null) return 'null';
  if (typeof value === 'number') return formatDouble(value);
  if (value instanceof UInt) return String(value.value);
  if (value instanceof Timestamp) return formatTimestamp(value);
  if (value instanceof Duration) return formatDuration(value);
  if (value instanceof TypeValue) return value.name;
  if (value instanceof Uint8Array) return Buffer.from(value).toString();
  if (Array.isArray(value)) return `[${value.map((item) => display(item, budget)).join(', ')}]`;
  if (value instanceof CelMap) {
    const entries = value
      .entries()
      .map(({ key, value: member }) => `${display(key, budget)}: ${display(member, budget)}`);
    return `{${entries.sort().join(', ')}}`;
  }
  return typeof value === 'bigint' || typeof value === 'boolean'
    ? String(value)
    : fail(`error during formatting: no way to show ${typeName(value)}`);
}

/** A literal of the text, as Go quotes it. */
function quote([text]: readonly [string]): string {
  return JSON.stringify(text).replace(/\\u00(0[7b])/g, (_whole, code: string) =>
    code === '07' ? '\\a' : '\\v',
  );
}

export const stringFunctions: readonly Overload[] = [
  method(
    'contains',
    [string, string],
    bool,
    ([text, part]: readonly [string, string]) => text.includes(part),
    search,
  ),
  method(
    'startsWith',
    [string, string],
    bool,
    ([text, part]: readonly [string, string]) => text.startsWith(part),
    affix,
  ),
  method(
    'endsWith',
    [string, string],
    bool,
    ([text, part]: readonly [string, string]) => text.endsWith(part),
    affix,
  ),
  method('matches', [string, string], bool, matches, matching),
  { ...method('matches', [string, string], bool, matches, matching), method: false },
  method(
    'find',
    [string, string],
    string,
    ([text, pattern]: readonly [string, string], budget) => findAll(text, pattern, budget).next().value ?? '',
    { ...matching, size: walkKeeping.size },
  ),
  method(
    'findAll',
    [string, string],
    strings,
    ([text, pattern]: readonly [string, string], budget) => [...findAll(text, pattern, budget)],
    { ...matching, size: walkKeeping.size },
  ),
  method(
    'findAll',
    [string, string, int],
    strings,
    ([text, pattern, limit]: readonly [string, string, bigint], budget) => {
      const out: string[] = [];
      if (limit === 0n) return out;
      for (const found of findAll(text, pattern, budget)) if (out.push(found) === Number(limit)) break;
      return out;
    },
    { ...matching, size: walkKeeping.size },
  ),
  method('charAt', [string, int], string, charAt, { ...walk, size: () => 1 }),
  method('indexOf', [string, string], int, find(false), search),
  method('indexOf', [string, string, int], int, find(false), search),
  method('lastIndexOf', [string, string], int, find(true), search),
  method('lastIndexOf', [string, string, int], int, find(true), search),
  method('lowerAscii', [string], string, ([text]: readonly [string]) => asciiLower(text), walkKeeping),
  method('upperAscii', [string], string, ([text]: readonly [string]) => asciiUpper(text), walkKeeping),
  method('replace', [string, string, string], string, replace, walkKeeping),
  method('replace', [string, string, string, int], string, replace, walkKeeping),
  method('split', [string, string], strings, split, walkKeeping),
  method('split', [string, string, int], strings, split, walkKeeping),
  method('substring', [string, int], string, substring, walkKeeping),
  method('substring', [string, int, int], string, substring, walkKeeping),
  method('trim', [string], string, ([text]: readonly [string]) => text.trim(), walkKeeping),
  method(
    'reverse',
    [string],
    string,
    ([text]: readonly [string]) => Array.from(text).reverse().join(''),
    walkKeeping,
  ),
  method('join', [strings], string, join, walk),
  method('join', [strings, string], string, join, walk),
  method('format', [string, listOf(dyn)], string, format, walk),
  {
    ...method('strings.quote', [string], string, quote, walkKeeping),
    method: false,
  },
];
