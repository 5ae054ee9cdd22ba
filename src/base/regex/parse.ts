/** Regular expressions in RE2's syntax, as Go and so Kubernetes write them: text to syntax tree. */

import { perlClasses, posixClasses, simpleEscapes, type Ranges } from './classes.ts';

export type Assertion = 'text-start' | 'text-end' | 'line-start' | 'line-end' | 'word' | 'not-word';

export type RegexNode =
  | { readonly type: 'empty' }
  | { readonly type: 'set'; readonly matches: (code: number) => boolean }
  | { readonly type: 'assert'; readonly what: Assertion }
  | { readonly type: 'sequence'; readonly parts: readonly RegexNode[] }
  | { readonly type: 'choice'; readonly parts: readonly RegexNode[] }
  | {
      readonly type: 'repeat';
      readonly part: RegexNode;
      readonly min: number;
      /** Undefined: without bound. */
      readonly max: number | undefined;
      readonly lazy: boolean;
    };

/** The pattern is not of RE2's syntax; the message is Go's, `error parsing regexp: …`. */
export class RegexSyntaxError extends Error {
  override name = 'RegexSyntaxError';
  constructor(what: string, shown: string) {
    super(`error parsing regexp: ${what}: \`${shown}\``);
  }
}

/** As RE2: larger counts are refused. */
const maxRepeat = 1000;
/** Groups inside groups; keeps recursion off the end of the stack. */
const maxDepth = 500;

interface Flags {
  readonly ignoreCase: boolean;
  readonly multiLine: boolean;
  readonly dotAll: boolean;
  readonly swapLazy: boolean;
}

export function parseRegex(pattern: string): RegexNode {
  return new Parser(pattern).parse();
}

class Parser {
  readonly #text: string;
  readonly #codes: readonly string[];
  #at = 0;
  #depth = 0;
  #flags: Flags = { ignoreCase: false, multiLine: false, dotAll: false, swapLazy: false };

  constructor(text: string) {
    this.#text = text;
    this.#codes = Array.from(text);
  }

  parse(): RegexNode {
    const node = this.#choice();
    if (this.#at < this.#codes.length) throw new RegexSyntaxError('unexpected )', this.#text);
    return node;
  }

  #peek(): string | undefined {
    return this.#codes[this.#at];
  }

  #take(expected: string): boolean {
    if (!this.#ahead(expected)) return false;
    this.#at += expected.length;
    return true;
  }

  #ahead(expected: string): boolean {
    for (let i = 0; i < expected.length; i++) if (this.#codes[this.#at + i] !== expected[i]) return false;
    return true;
  }

  #rest(from: number): string {
    return this.#codes.slice(from).join('');
  }

  #choice(): RegexNode {
    if (++this.#depth > maxDepth) throw new RegexSyntaxError('expression nests too deeply', this.#text);
    const parts = [this.#sequence()];
    while (this.#take('|')) parts.push(this.#sequence());
    this.#depth--;
    const [only] = parts;
    return parts.length === 1 && only ? only : { type: 'choice', parts };
  }

  #sequence(): RegexNode {
    const parts: RegexNode[] = [];
    for (;;) {
      const next = this.#peek();
      if (next === undefined || next === '|' || next === ')') break;
      const start = this.#at;
      const atom = this.#atom();
      if (atom === undefined) continue;
      parts.push(this.#repeated(atom, start));
    }
    const [only] = parts;
    return parts.length === 1 && only ? only : { type: 'sequence', parts };
  }

  #repeated(atom: RegexNode, start: number): RegexNode {
    let node = atom;
    let repeats = 0;
    for (;;) {
      const at = this.#at;
      const bounds = this.#quantifier();
      if (!bounds) return node;
      if (++repeats > 1) {
        throw new RegexSyntaxError('invalid nested repetition operator', this.#rest(start).slice(0, 32));
      }
      const [min, max] = bounds;
      if (min > maxRepeat || (max ?? 0) > maxRepeat || (max !== undefined && max < min)) {
        throw new RegexSyntaxError('invalid repeat count', this.#codes.slice(at, this.#at).join(''));
      }
      const lazy = this.#take('?') !== this.#flags.swapLazy;
      node = { type: 'repeat', part: node, min, max, lazy };
    }
  }

  #quantifier(): readonly [number, number | undefined] | undefined {
    if (this.#take('*')) return [0, undefined];
    if (this.#take('+')) return [1, undefined];
    if (this.#take('?')) return [0, 1];
    if (this.#peek() !== '{') return undefined;
    const match = /^\{(\d{1,9})(,(\d{0,9}))?\}/.exec(this.#rest(this.#at).slice(0, 24));
    if (!match) return undefined;
    const [whole, min = '', comma, max] = match;
    this.#at += whole.length;
    if (comma === undefined) return [Number(min), Number(min)];
    return [Number(min), max ? Number(max) : undefined];
  }

  /** Undefined where the text only changed flags. */
  #atom(): RegexNode | undefined {
    const start = this.#at;
    const c = this.#codes[this.#at++] ?? '';
    switch (c) {
      case '(':
        return this.#group(start);
      case '[':
        return this.#class(start);
      case '.': {
        const { dotAll } = this.#flags;
        return { type: 'set', matches: (code) => dotAll || code !== 10 };
      }
      case '^':
        return { type: 'assert', what: this.#flags.multiLine ? 'line-start' : 'text-start' };
      case '$':
        return { type: 'assert', what: this.#flags.multiLine ? 'line-end' : 'text-end' };
      case '*':
      case '+':
      case '?':
        throw new RegexSyntaxError('missing argument to repetition operator', c);
      case '\\':
        return this.#escape(start);
      default:
        return this.#literal(c.codePointAt(0) ?? 0);
    }
  }

  #literal(code: number): RegexNode {
    const matches = rangesMatcher([[code, code]], this.#flags.ignoreCase);
    return { type: 'set', matches };
  }

  #group(start: number): RegexNode | undefined {
    const flags = this.#flags;
    if (this.#take('?')) {
      const name = /^P?<([A-Za-z_]\w*)>/.exec(this.#rest(this.#at).slice(0, 256));
      if (name) this.#at += name[0].length;
      else if (!this.#flagChanges(start)) return undefined;
    }
    const node = this.#choice();
    if (!this.#take(')')) throw new RegexSyntaxError('missing closing )', this.#text);
    this.#flags = flags;
    return node;
  }

  /** `(?i)` changes flags to the end of the enclosing group and is false; `(?i:` begins a group and is true. */
  #flagChanges(start: number): boolean {
    const match = /^([imsU]*)(?:-([imsU]+))?([:)])/.exec(this.#rest(this.#at).slice(0, 16));
    if (!match || match[0] === ')') {
      throw new RegexSyntaxError('invalid or unsupported Perl syntax', this.#rest(start).slice(0, 4));
    }
    const [whole, on = '', off = '', end] = match;
    this.#at += whole.length;
    const set = (letter: string, before: boolean): boolean =>
      (before || on.includes(letter)) && !off.includes(letter);
    const { ignoreCase, multiLine, dotAll, swapLazy } = this.#flags;
    this.#flags = {
      ignoreCase: set('i', ignoreCase),
      multiLine: set('m', multiLine),
      dotAll: set('s', dotAll),
      swapLazy: set('U', swapLazy),
    };
    return end === ':';
  }

  #escape(start: number): RegexNode {
    const c = this.#codes[this.#at++];
    if (c === undefined) throw new RegexSyntaxError('trailing backslash at end of expression', '');
    switch (c) {
      case 'A':
        return { type: 'assert', what: 'text-start' };
      case 'z':
        return { type: 'assert', what: 'text-end' };
      case 'b':
        return { type: 'assert', what: 'word' };
      case 'B':
        return { type: 'assert', what: 'not-word' };
      case 'Q':
        return this.#quoted();
      default:
    }
    const set = this.#classEscape(c);
    if (set) return { type: 'set', matches: set };
    return this.#literal(this.#escapedCode(c, start));
  }

  #quoted(): RegexNode {
    const parts: RegexNode[] = [];
    while (this.#at < this.#codes.length && !this.#take('\\E')) {
      parts.push(this.#literal(this.#codes[this.#at++]?.codePointAt(0) ?? 0));
    }
    return { type: 'sequence', parts };
  }

  /** The set of `\d`, `\pL` and their like; `c` is the letter behind the backslash. */
  #classEscape(c: string): ((code: number) => boolean) | undefined {
    const perl = perlClasses[c.toLowerCase()];
    if (perl && 'dswDSW'.includes(c)) return negated(rangesMatcher(perl, false), c !== c.toLowerCase());
    if (c !== 'p' && c !== 'P') return undefined;
    const match = /^(?:\{(\^?)([A-Za-z_]{1,40})\}|([A-Z]))/.exec(this.#rest(this.#at).slice(0, 48));
    if (!match) throw new RegexSyntaxError('invalid character class range', `\\${c}`);
    this.#at += match[0].length;
    const name = match[2] ?? match[3] ?? '';
    return negated(unicodeMatcher(name), (c === 'P') !== (match[1] === '^'));
  }

  #escapedCode(c: string, start: number): number {
    const simple = simpleEscapes[c];
    if (simple !== undefined) return simple;
    if (c === 'x') {
      const match = /^(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,6})\})/.exec(this.#rest(this.#at).slice(0, 8));
      const code = match && Number.parseInt(match[1] ?? match[2] ?? '', 16);
      if (code === null || code > 0x10ffff) throw this.#invalidEscape(start);
      this.#at += match?.[0].length ?? 0;
      return code;
    }
    if (/[0-7]/.test(c)) {
      const match = /^[0-7]{1,2}/.exec(this.#rest(this.#at).slice(0, 2));
      if (c !== '0' && !match) throw this.#invalidEscape(start);
      this.#at += match?.[0].length ?? 0;
      return Number.parseInt(`${c}${match?.[0] ?? ''}`, 8);
    }
    if (/[A-Za-z0-9]/.test(c)) throw this.#invalidEscape(start);
    return c.codePointAt(0) ?? 0;
  }

  #invalidEscape(start: number): RegexSyntaxError {
    return new RegexSyntaxError('invalid escape sequence', this.#codes.slice(start, this.#at).join(''));
  }

  #class(start: number): RegexNode {
    const isNegated = this.#take('^');
    const ranges: [number, number][] = [];
    const sets: ((code: number) => boolean)[] = [];
    let first = true;
    while (first || this.#peek() !== ']') {
      first = false;
      const posix = /^\[:(\^?)(\w+):\]/.exec(this.#rest(this.#at).slice(0, 16));
      const named = posix && posixClasses[posix[2] ?? ''];
      if (posix && named) {
        this.#at += posix[0].length;
        sets.push(negated(rangesMatcher(named, this.#flags.ignoreCase), posix[1] === '^'));
        continue;
      }
      const low = this.#member(start, sets);
      if (low === undefined) continue;
      if (this.#peek() === '-' && this.#codes[this.#at + 1] !== ']' && this.#codes[this.#at + 1]) {
        const from = this.#at;
        this.#at++;
        const high = this.#member(start, sets);
        if (high === undefined || high < low) {
          const shown = this.#codes.slice(from - 1, this.#at).join('');
          throw new RegexSyntaxError('invalid character class range', shown);
        }
        ranges.push([low, high]);
      } else {
        ranges.push([low, low]);
      }
    }
    this.#at++;
    const plain = rangesMatcher(ranges, this.#flags.ignoreCase);
    const matches =
      sets.length === 0 ? plain : (code: number) => plain(code) || sets.some((set) => set(code));
    return { type: 'set', matches: negated(matches, isNegated) };
  }

  /** One code point of a class, or undefined when a set was added instead. */
  #member(start: number, sets: ((code: number) => boolean)[]): number | undefined {
    const at = this.#at;
    const c = this.#codes[this.#at++];
    if (c === undefined) throw new RegexSyntaxError('missing closing ]', this.#rest(start));
    if (c !== '\\') return c.codePointAt(0) ?? 0;
    const escaped = this.#codes[this.#at++];
    if (escaped === undefined) throw new RegexSyntaxError('missing closing ]', this.#rest(start));
    const set = this.#classEscape(escaped);
    if (!set) return this.#escapedCode(escaped, at);
    sets.push(set);
    return undefined;
  }
}

function negated(matches: (code: number) => boolean, negate: boolean): (code: number) => boolean {
  return negate ? (code) => !matches(code) : matches;
}

function rangesMatcher(ranges: Ranges, ignoreCase: boolean): (code: number) => boolean {
  const [only] = ranges;
  const within = (code: number): boolean => {
    for (const [low, high] of ranges) if (code >= low && code <= high) return true;
    return false;
  };
  if (!ignoreCase) {
    if (ranges.length === 1 && only && only[0] === only[1]) return (code) => code === only[0];
    return within;
  }
  return (code) => {
    if (within(code)) return true;
    const text = String.fromCodePoint(code);
    return [text.toLowerCase(), text.toUpperCase()].some((other) => within(other.codePointAt(0) ?? 0));
  };
}

/** A general category (`L`, `Lu`) or a script (`Greek`). */
function unicodeMatcher(name: string): (code: number) => boolean {
  if (name === 'Any') return () => true;
  for (const property of [name, `Script=${name}`]) {
    try {
      // One character against one property: nothing here can backtrack.
      const expression = new RegExp(`^\\p{${property}}$`, 'u');
      return (code) => expression.test(String.fromCodePoint(code));
    } catch {
      continue;
    }
  }
  throw new RegexSyntaxError('invalid character class range', `\\p{${name}}`);
}
