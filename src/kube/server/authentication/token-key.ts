/** The key that signs tokens of service accounts, kept beside the certificates. */
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemCode } from '../../../base/errors.ts';
import { signingKey, type SigningKey } from './jws.ts';

/**
 * Loads `<dir>/service-account.key`, making it when there is none. A damaged file throws: with another key every token
 * handed out so far would silently stop to work.
 */
export function ensureTokenKey(dir: string): SigningKey {
  const path = join(dir, 'service-account.key');
  try {
    return signingKey(createPrivateKey(readFileSync(path, 'utf8')));
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  writeFileSync(`${path}.new`, pem, { mode: 0o600 });
  renameSync(`${path}.new`, path);
  return signingKey(privateKey);
}
