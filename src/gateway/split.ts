/** Which share of a path's traffic a request belongs to. */

/** A number in [0, 1), as `Math.random` gives it; tests inject their own. */
export type Random = () => number;

/**
 * Index of the share that `random` falls into, by percent. The shares need not sum to 100: they count relative to
 * their sum. -1 when all are zero.
 */
export function chooseShare(shares: readonly { readonly percent: number }[], random: Random): number {
  if (shares.length === 1) return (shares[0]?.percent ?? 0) > 0 ? 0 : -1;
  let sum = 0;
  for (const share of shares) sum += share.percent;
  let rest = random() * sum;
  for (let i = 0; i < shares.length; i++) {
    const percent = shares[i]?.percent ?? 0;
    if (percent > 0 && rest < percent) return i;
    rest -= percent;
  }
  return -1;
}
