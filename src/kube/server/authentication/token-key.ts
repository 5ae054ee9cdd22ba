/** The key that signs tokens of service accounts, kept beside the certificates. */
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KnapsackError, messageOf, systemCode } from '../../../base/errors.ts';
import { signingKey, type SigningKey } from './jws.ts';

/**
 * Loads `<dir>/service-account.key`, making it when there is none. Throws CLI_TOKEN_KEY_DAMAGED rather than making another:
 * every token handed out so far would silently stop to work.
 */
export function ensureTokenKey(dir: string): SigningKey {
  const path = join(dir, 'service-account.key');
  try {
    return readKey(readFileSync(path, 'utf8'));
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') {
      const message = `the key ${path} cannot be read: ${messageOf(error)}`;
      throw new KnapsackError('CLI_TOKEN_KEY_DAMAGED', message, { cause: error });
    }
  }
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  writeFileSync(`${path}.new`, pem, { mode: 0o600 });
  renameSync(`${path}.new`, path);
  return signingKey(privateKey);
}

/** Of P-256, the one curve of ES256. */
function readKey(pem: string): SigningKey {
  const key = createPrivateKey(pem);
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('it is not a P-256 key');
  return signingKey(key);
}
