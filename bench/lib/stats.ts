/** Small statistics for benchmarks: medians and ratios, because machines are shared and noisy. */

/** The q-quantile (0–1) of a sample, nearest rank. */
export function quantile(sample: readonly number[], q: number): number {
  const sorted = [...sample].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))] ?? Number.NaN;
}

export const median = (sample: readonly number[]): number => quantile(sample, 0.5);

/** Median of the pair-wise ratios a[i]/b[i]: what to quote when both were measured in turn. */
export function pairedRatio(a: readonly number[], b: readonly number[]): number {
  return median(a.map((value, i) => value / (b[i] ?? Number.NaN)));
}

/** Median of the pair-wise differences a[i]-b[i]. */
export function pairedDifference(a: readonly number[], b: readonly number[]): number {
  return median(a.map((value, i) => value - (b[i] ?? Number.NaN)));
}

/** `p50 12.3 (min 11.0, max 20.1)` in the unit given. */
export function describeSample(sample: readonly number[], unit = 'ms'): string {
  return `p50 ${median(sample).toFixed(1)} ${unit} (min ${Math.min(...sample).toFixed(1)}, max ${Math.max(...sample).toFixed(1)}, n=${sample.length})`;
}
