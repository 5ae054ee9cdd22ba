/** Names of child objects, as Kubernetes and Knative make them. */
import { createHash, randomInt } from 'node:crypto';

/** Kubernetes' alphabet for random suffixes: no vowels, no look-alikes (apimachinery `rand.String`). */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789';

/** `length` random characters of Kubernetes' suffix alphabet. */
export function randomSuffix(length = 5): string {
  let out = '';
  for (let i = 0; i < length; i++) out += alphabet[randomInt(alphabet.length)];
  return out;
}

/**
 * Deterministic child name of at most 63 characters: `parent + suffix`, or, when that is too long, a prefix of it
 * and an md5 of it (knative.dev/pkg/kmeta `ChildName`).
 */
export function childName(parent: string, suffix: string): string {
  const whole = parent + suffix;
  if (whole.length <= 63) return whole;
  const hash = createHash('md5').update(whole).digest('hex');
  if (suffix.length <= 63 - 32) {
    return trimNonAlphanumeric(parent.slice(0, 63 - 32 - suffix.length)) + hash + suffix;
  }
  return trimNonAlphanumeric(parent.slice(0, 63 - 32)) + hash;
}

function trimNonAlphanumeric(text: string): string {
  return text.replace(/[^a-z0-9]+$/i, '');
}

/** First 10 hex digits of sha256 over the value's JSON: a short, stable hash for template comparison. */
export function shortHash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 10);
}
