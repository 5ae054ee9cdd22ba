/** Registry credentials in the format of Docker's config.json, which pull secrets and build steps use too. */
import type { RegistryCredentials } from '../provider.ts';

/** A look-up by registry name in the text of a config.json. A malformed or absent text holds no credentials. */
export function dockerCredentials(
  text: string | undefined,
): (registry: string) => RegistryCredentials | undefined {
  const byHost = new Map(
    credentialEntries(text).map(([name, credentials]) => [hostOf(name), credentials] as const),
  );
  return (registry) => byHost.get(registry);
}

/** The entries of a config.json that hold credentials, with their keys as they stand there. */
export function credentialEntries(text: string | undefined): [string, RegistryCredentials][] {
  return Object.entries(authsIn(text)).flatMap(([name, entry]): [string, RegistryCredentials][] => {
    const credentials = credentialsIn(entry);
    return credentials ? [[name, credentials]] : [];
  });
}

function authsIn(text: string | undefined): { readonly [name: string]: unknown } {
  try {
    const value = JSON.parse(text ?? '{}') as { auths?: { [name: string]: unknown } };
    return value.auths ?? {};
  } catch {
    return {};
  }
}

/** Keys may be host names or URLs; Docker Hub's is the URL of an API long gone. */
function hostOf(name: string): string {
  const host = name.replace(/^https?:\/\//, '').split('/')[0] ?? '';
  return host === 'index.docker.io' || host === 'registry-1.docker.io' ? 'docker.io' : host;
}

function credentialsIn(entry: unknown): RegistryCredentials | undefined {
  if (typeof entry !== 'object' || entry === null) return undefined;
  const { username, password, auth } = entry as { [key: string]: unknown };
  if (typeof username === 'string' && typeof password === 'string') return { username, password };
  if (typeof auth !== 'string') return undefined;
  const text = Buffer.from(auth, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? undefined : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}
