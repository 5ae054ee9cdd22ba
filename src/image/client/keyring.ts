/** Credentials of several pull secrets, looked up by image (kubernetes pkg/credentialprovider `DockerKeyring`). */
import type { RegistryCredentials } from '../provider.ts';
import type { Reference } from '../reference.ts';
import { credentialEntries } from './docker-config.ts';

/** A place and its credentials. */
interface Key {
  /** Labels of the host's name, of which each may be a pattern; the port stands with the last. */
  readonly host: readonly string[];
  /** Ends with a slash, unless empty. */
  readonly path: string;
  readonly credentials: RegistryCredentials;
}

export type Keyring = (reference: Reference) => RegistryCredentials | undefined;

/**
 * A look-up in texts of Docker's config.json, in the order given: the entry with the longest path that the image lies
 * under counts, then the one that comes first. `*` in a host's name stands for anything within a label.
 */
export function makeKeyring(texts: readonly string[]): Keyring {
  const keys = texts
    .flatMap((text) => credentialEntries(text).map(([place, credentials]) => makeKey(place, credentials)))
    .sort((a, b) => b.path.length - a.path.length);
  return ({ registry, repository }) => {
    const labels = registry.split('.');
    return keys.find(
      ({ host, path }) =>
        host.length === labels.length &&
        host.every((pattern, i) => matches(pattern, labels[i] ?? '')) &&
        `${repository}/`.startsWith(path),
    )?.credentials;
  };
}

function makeKey(place: string, credentials: RegistryCredentials): Key {
  const [host = '', ...parts] = place.replace(/^https?:\/\//, '').split('/');
  const isHub = host === 'index.docker.io' || host === 'registry-1.docker.io';
  // Paths of the registry API are not part of a name.
  const path = parts.filter((part) => part !== '' && !/^v[12]$/.test(part)).join('/');
  return {
    host: (isHub ? 'docker.io' : host).split('.'),
    path: path === '' || isHub ? '' : `${path}/`,
    credentials,
  };
}

/** Whether the text fits a pattern whose `*` stand for anything. Stars take as little as they can, which loses nothing. */
function matches(pattern: string, text: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return first === text;
  if (text.length < first.length + last.length) return false;
  if (!text.startsWith(first) || !text.endsWith(last)) return false;
  let from = first.length;
  const end = text.length - last.length;
  for (const part of rest) {
    const at = text.indexOf(part, from);
    if (at < 0 || at + part.length > end) return false;
    from = at + part.length;
  }
  return true;
}
