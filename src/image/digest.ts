/** Content digests, `ALGORITHM:HEX` (OCI image specification, descriptor.md "Digests"). */
import { createHash } from 'node:crypto';
import { KnapsackError } from '../base/errors.ts';

/** Hex digits per algorithm. Others are refused: their content could not be verified. */
const lengths: { readonly [algorithm: string]: number } = { sha256: 64, sha512: 128 };

export interface DigestParts {
  readonly algorithm: string;
  readonly hex: string;
}

/** The parts of a digest, or undefined when it is malformed or of an algorithm that cannot be verified here. */
export function parseDigest(text: string): DigestParts | undefined {
  const colon = text.indexOf(':');
  const algorithm = text.slice(0, colon);
  const hex = text.slice(colon + 1);
  if (colon < 0 || !Object.hasOwn(lengths, algorithm)) return undefined;
  return hex.length === lengths[algorithm] && /^[0-9a-f]+$/.test(hex) ? { algorithm, hex } : undefined;
}

/** sha256 digest of bytes in memory. */
export function digestOf(bytes: Uint8Array | string, algorithm = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}

/** Throws IMAGE_DIGEST_MISMATCH unless both are the same. `what` names the bytes in the message. */
export function requireDigest(what: string, expected: string, actual: string): void {
  if (expected !== actual) {
    throw new KnapsackError('IMAGE_DIGEST_MISMATCH', `${what} has digest ${actual} instead of ${expected}`);
  }
}
