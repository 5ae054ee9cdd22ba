import { createHash } from 'node:crypto';

/** Letters and digits that make no words (apimachinery `rand.SafeEncodeString`). */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789';

/** A stable hash of a template, ten letters; `collisions` tells apart two templates that would get the same. */
export function templateHash(template: unknown, collisions: number): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([template, collisions]))
    .digest();
  let text = '';
  for (const byte of digest.subarray(0, 10)) text += alphabet[byte % alphabet.length];
  return text;
}
