/**
 * Regular expressions whose time grows with the text and never explodes, for patterns that strangers write (Go's RE2).
 * All states of the expression move through the text together (Thompson's and Pike's simulation); a budget of steps bounds
 * what one search may take.
 */
import { parseRegex, type Assertion, type RegexNode } from './parse.ts';

export { RegexSyntaxError } from './parse.ts';

type Instruction =
  | { readonly op: 'set'; readonly matches: (code: number) => boolean }
  | { readonly op: 'assert'; readonly what: Assertion }
  | { readonly op: 'split'; first: number; second: number }
  | { readonly op: 'jump'; to: number }
  | { readonly op: 'match' };

/** Larger programs come from nested counted repetitions: `(a{1000}){1000}`. RE2 refuses them, too. */
const maxProgram = 20_000;
/** Programs up to this size keep what a search needs for the next one. */
const maxKept = 1000;
/** Clearing this many states takes as long as looking at one. */
const clearedAtOnce = 32;
/** About a second. */
const defaultBudget = 40_000_000;

/** The search took more steps than it was allowed. */
export class RegexBudgetError extends Error {
  override name = 'RegexBudgetError';
}

function tooLong(): RegexBudgetError {
  return new RegexBudgetError('the regular expression takes too long on this text');
}

export interface RegexMatch {
  /** Offsets in code points. */
  readonly start: number;
  readonly end: number;
}

export class Regex {
  readonly source: string;
  readonly #program: readonly Instruction[];
  /** Every match begins at the start of the text: no use in trying later. */
  readonly #anchored: boolean;
  #threads: readonly [Threads, Threads] | undefined;

  /** Throws {@link RegexSyntaxError}. */
  constructor(source: string) {
    this.source = source;
    const tree = parseRegex(source);
    this.#program = compile(tree, source);
    this.#anchored = startsAtText(tree);
  }

  /** Instructions of the program: what compiling it took, and what each character may cost. */
  get size(): number {
    return this.#program.length;
  }

  /**
   * True when the expression matches anywhere. `spent` is told the steps that it took: states looked at. Throws
   * {@link RegexBudgetError}.
   */
  test(text: string, budget = defaultBudget, spent?: (steps: number) => void): boolean {
    // Reading the text is a step a character as well.
    spent?.(text.length);
    if (text.length > budget) throw tooLong();
    return this.#search(codePoints(text), 0, budget - text.length, true, spent) !== undefined;
  }

  /** The leftmost match, as Perl and Go choose among those that begin there. */
  find(
    text: readonly number[],
    from = 0,
    budget = defaultBudget,
    spent?: (steps: number) => void,
  ): RegexMatch | undefined {
    return this.#search(text, from, budget, false, spent);
  }

  #search(
    text: readonly number[],
    from: number,
    budget: number,
    anyMatch: boolean,
    spent?: (steps: number) => void,
  ): RegexMatch | undefined {
    const program = this.#program;
    const stack: number[] = [];
    let [current, next] = this.#takeThreads();
    let best: RegexMatch | undefined;
    let steps = this.#threads ? 0 : Math.ceil(program.length / clearedAtOnce);
    for (let at = from; at <= text.length; at++) {
      // A later start is of use only while no earlier one has matched.
      if (!best && (at === 0 || !this.#anchored)) steps += follow(program, current, 0, at, text, at, stack);
      steps++;
      if (current.size === 0) {
        if (best || this.#anchored) break;
        // Forget the states that assertions stopped here.
        current.clear();
        continue;
      }
      steps += current.size;
      if (steps > budget) throw tooLong();
      const code = text[at];
      for (let i = 0; i < current.size; i++) {
        const pc = current.states[i] ?? 0;
        const instruction = program[pc];
        if (instruction?.op === 'match') {
          best = { start: current.starts[pc] ?? 0, end: at };
          if (anyMatch) {
            spent?.(steps);
            return best;
          }
          // Threads behind this one are of lower priority.
          break;
        }
        if (code !== undefined && instruction?.op === 'set' && instruction.matches(code)) {
          steps += follow(program, next, pc + 1, current.starts[pc] ?? 0, text, at + 1, stack);
        }
      }
      [current, next] = [next, current];
      next.clear();
    }
    spent?.(steps);
    return best;
  }

  /** Two empty sets. A search is not interrupted by another of the same expression. */
  #takeThreads(): [Threads, Threads] {
    const { length } = this.#program;
    if (length > maxKept) return [new Threads(length), new Threads(length)];
    this.#threads ??= [new Threads(length), new Threads(length)];
    for (const threads of this.#threads) threads.clear();
    return [...this.#threads];
  }
}

/** The text as code points. */
export function codePoints(text: string): number[] {
  const out: number[] = [];
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    const isSurrogate = unit >= 0xd800 && unit <= 0xdfff;
    const code = isSurrogate ? (text.codePointAt(i) ?? unit) : unit;
    if (code > 0xffff) i++;
    out.push(code);
  }
  return out;
}

/** Marks are 32 bits wide, and a set may serve for years. */
const lastRound = 2 ** 31 - 1;

/** A set of states in order of priority; each knows where its match began. */
class Threads {
  readonly states: Int32Array;
  readonly starts: Int32Array;
  readonly #marks: Int32Array;
  #round = 1;
  size = 0;

  constructor(length: number) {
    this.states = new Int32Array(length);
    this.starts = new Int32Array(length);
    this.#marks = new Int32Array(length);
  }

  clear(): void {
    this.size = 0;
    if (++this.#round < lastRound) return;
    this.#marks.fill(0);
    this.#round = 1;
  }

  /** False when the state has been visited in this round. */
  visit(pc: number): boolean {
    if (this.#marks[pc] === this.#round) return false;
    this.#marks[pc] = this.#round;
    return true;
  }

  add(pc: number, start: number): void {
    this.states[this.size++] = pc;
    this.starts[pc] = start;
  }
}

/**
 * Adds the states that `pc` leads to without reading a character, by priority. Gives how many it looked at. `stack` is
 * empty before and after.
 */
function follow(
  program: readonly Instruction[],
  threads: Threads,
  pc: number,
  start: number,
  text: readonly number[],
  at: number,
  stack: number[],
): number {
  stack.push(pc);
  let looked = 0;
  for (let state = stack.pop(); state !== undefined; state = stack.pop()) {
    looked++;
    if (!threads.visit(state)) continue;
    const instruction = program[state];
    if (instruction?.op === 'jump') stack.push(instruction.to);
    else if (instruction?.op === 'split') stack.push(instruction.second, instruction.first);
    else if (instruction?.op === 'assert') {
      if (holds(instruction.what, text, at)) stack.push(state + 1);
    } else threads.add(state, start);
  }
  return looked;
}

function holds(what: Assertion, text: readonly number[], at: number): boolean {
  switch (what) {
    case 'text-start':
      return at === 0;
    case 'text-end':
      return at === text.length;
    case 'line-start':
      return at === 0 || text[at - 1] === 10;
    case 'line-end':
      return at === text.length || text[at] === 10;
    default:
      return (isWord(text[at - 1]) !== isWord(text[at])) === (what === 'word');
  }
}

function isWord(code: number | undefined): boolean {
  if (code === undefined) return false;
  return (
    (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || (code >= 48 && code <= 57) || code === 95
  );
}

function startsAtText(node: RegexNode): boolean {
  if (node.type === 'assert') return node.what === 'text-start';
  if (node.type === 'sequence') return node.parts[0] !== undefined && startsAtText(node.parts[0]);
  if (node.type === 'choice') return node.parts.every(startsAtText);
  return false;
}

function compile(tree: RegexNode, source: string): Instruction[] {
  const program: Instruction[] = [];
  const emit = <I extends Instruction>(instruction: I): I => {
    if (program.length >= maxProgram) {
      throw new Error(`error parsing regexp: expression too large: \`${source.slice(0, 64)}\``);
    }
    program.push(instruction);
    return instruction;
  };
  const branch = (lazy: boolean, into: number, past: number, split: { first: number; second: number }) => {
    split.first = lazy ? past : into;
    split.second = lazy ? into : past;
  };
  const visit = (node: RegexNode): void => {
    switch (node.type) {
      case 'empty':
        return;
      case 'set':
        emit({ op: 'set', matches: node.matches });
        return;
      case 'assert':
        emit({ op: 'assert', what: node.what });
        return;
      case 'sequence':
        for (const part of node.parts) visit(part);
        return;
      case 'choice': {
        const ends: { to: number }[] = [];
        node.parts.forEach((part, i) => {
          if (i === node.parts.length - 1) return visit(part);
          const split = emit({ op: 'split', first: program.length + 1, second: 0 });
          visit(part);
          ends.push(emit({ op: 'jump', to: 0 }));
          split.second = program.length;
        });
        for (const end of ends) end.to = program.length;
        return;
      }
      case 'repeat': {
        for (let i = 0; i < node.min; i++) visit(node.part);
        if (node.max === undefined) {
          const loop = program.length;
          const split = emit({ op: 'split', first: 0, second: 0 });
          visit(node.part);
          emit({ op: 'jump', to: loop });
          branch(node.lazy, loop + 1, program.length, split);
          return;
        }
        const splits: { at: number; split: { first: number; second: number } }[] = [];
        for (let i = node.min; i < node.max; i++) {
          splits.push({ at: program.length, split: emit({ op: 'split', first: 0, second: 0 }) });
          visit(node.part);
        }
        for (const { at, split } of splits) branch(node.lazy, at + 1, program.length, split);
      }
    }
  };
  visit(tree);
  program.push({ op: 'match' });
  return program;
}
