/** Resource quantities (`250m`, `1.5Gi`, `2e3`), apimachinery `resource.Quantity`. */

const suffixes: Record<string, number> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

const form = /^([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d+))?$/;

/** The value in base units (cores, bytes, pieces), or undefined when the text is no quantity. */
export function parseQuantity(text: string | number): number | undefined {
  if (typeof text === 'number') return Number.isFinite(text) ? text : undefined;
  const match = form.exec(text);
  if (!match) return undefined;
  const [, digits = '', suffix = '', exponent] = match;
  if (exponent !== undefined) return Number(`${digits}e${exponent}`);
  const factor = suffixes[suffix] ?? 1;
  // Dividing by a whole number is exact where multiplying by 0.001 is not.
  return factor < 1 ? Number(digits) / Math.round(1 / factor) : Number(digits) * factor;
}

const binary = ['Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
const decimal = ['k', 'M', 'G', 'T', 'P', 'E'];

/**
 * The canonical text of a value: the largest suffix that keeps the number whole. `binary` for memory, `decimal` for
 * everything else; fractions in milli, rounded up as Kubernetes does.
 */
export function formatQuantity(value: number, style: 'binary' | 'decimal' = 'decimal'): string {
  if (value === 0) return '0';
  if (!Number.isInteger(value)) return `${Math.ceil(Number((value * 1000).toPrecision(15)))}m`;
  const [base, units] = style === 'binary' ? [1024, binary] : [1000, decimal];
  let whole = value;
  let unit = '';
  for (const next of units) {
    if (whole % base !== 0) break;
    whole /= base;
    unit = next;
  }
  return `${whole}${unit}`;
}

/** Compares two quantities by value; texts that are no quantities compare as zero. */
export function compareQuantities(a: string | number, b: string | number): number {
  return (parseQuantity(a) ?? 0) - (parseQuantity(b) ?? 0);
}
