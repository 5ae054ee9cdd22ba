/**
 * Exact arithmetic over resource quantities, for sums that decide whether a write is allowed (apimachinery
 * `resource.Quantity`). Values are whole numbers of nano units: what is finer rounds up, as in Kubernetes.
 */

type Format = 'binary' | 'decimal' | 'exponent';

/** A quantity as a number that can be added. `format` decides how it is written. */
export interface ExactQuantity {
  readonly nano: bigint;
  readonly format: Format;
}

export type ResourceList = { readonly [resource: string]: string };

const nanoDigits = 9;
/** Nano units in one unit. */
export const one = 1_000_000_000n;
/** What no quantity exceeds: the largest signed 64-bit number of units. */
const most = (2n ** 63n - 1n) * one;
const mostDigits = most.toString().length;

const decimalExponents: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  '': 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const binarySuffixes = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];

const form = /^([+-]?)(\d*)(?:\.(\d*))?(?:([numkMGTPE])|([KMGTPE]i)|[eE]([+-]?\d+))?$/;

export const zero: ExactQuantity = { nano: 0n, format: 'decimal' };

/** The exact value of a quantity, or undefined when the text is none. */
export function parseExact(text: string | number): ExactQuantity | undefined {
  const match = form.exec(String(text));
  if (!match) return undefined;
  const [, sign, whole = '', fraction = '', suffix = '', binary, exponent] = match;
  if (whole === '' && fraction === '') return undefined;
  const digits = BigInt(whole + fraction);
  const factor = binary === undefined ? 1n : 1024n ** BigInt(binarySuffixes.indexOf(binary));
  const power = exponent === undefined ? (decimalExponents[suffix] ?? 0) : Number(exponent);
  const nano = bounded(digits * factor, power - fraction.length + nanoDigits);
  const format = binary === undefined ? (exponent === undefined ? 'decimal' : 'exponent') : 'binary';
  return { nano: sign === '-' ? -nano : nano, format };
}

/** `value * 10^power` up to {@link most}. Any power will do: a few digits of text may name a number that fills the memory. */
function bounded(value: bigint, power: number): bigint {
  if (value === 0n) return 0n;
  const digits = value.toString().length;
  if (digits + power > mostDigits) return most;
  if (digits + power < 0) return 1n;
  const scaled = scale(value, power);
  return scaled > most ? most : scaled;
}

/** `value * 10^power`, rounded away from zero. */
function scale(value: bigint, power: number): bigint {
  if (power >= 0) return value * 10n ** BigInt(power);
  const divisor = 10n ** BigInt(-power);
  return (value + divisor - 1n) / divisor;
}

/** The exact value of a quantity that has been validated; zero for text that is none. */
export function exact(text: string | number | undefined): ExactQuantity {
  return (text === undefined ? undefined : parseExact(text)) ?? zero;
}

/** A sum is written like its first addend, unless that is zero. */
export function add(a: ExactQuantity, b: ExactQuantity): ExactQuantity {
  return { nano: a.nano + b.nano, format: a.nano === 0n ? b.format : a.format };
}

export function subtract(a: ExactQuantity, b: ExactQuantity): ExactQuantity {
  return add(a, { ...b, nano: -b.nano });
}

export function larger(a: ExactQuantity, b: ExactQuantity): ExactQuantity {
  return a.nano >= b.nano ? a : b;
}

/** The canonical text: the largest suffix that leaves the number whole. */
export function formatExact({ nano, format }: ExactQuantity): string {
  if (nano === 0n) return '0';
  const negative = nano < 0n;
  const size = negative ? -nano : nano;
  const text =
    format === 'binary' && size >= 1024n * one
      ? binaryText((size + one - 1n) / one)
      : decimalText(size, format === 'exponent');
  return negative ? `-${text}` : text;
}

function binaryText(units: bigint): string {
  let power = 0;
  let rest = units;
  while (power < binarySuffixes.length - 1 && rest % 1024n === 0n) {
    rest /= 1024n;
    power++;
  }
  return `${rest}${binarySuffixes[power] ?? ''}`;
}

function decimalText(size: bigint, exponential: boolean): string {
  let power = -nanoDigits;
  let rest = size;
  while (power < 18 && rest % 1000n === 0n) {
    rest /= 1000n;
    power += 3;
  }
  if (exponential) return power === 0 ? `${rest}` : `${rest}e${power}`;
  const suffix = Object.keys(decimalExponents).find((name) => decimalExponents[name] === power) ?? '';
  return `${rest}${suffix}`;
}

/** What most people write is canonical already. */
const plain = /^[1-9]\d{0,2}([mkMGTP]|[KMGTP]i)?$/;

/** The canonical text of a quantity; what is none stays as it is. */
export function canonicalQuantity(text: string): string {
  if (text === '0' || plain.test(text)) return text;
  const value = parseExact(text);
  return value ? formatExact(value) : text;
}
