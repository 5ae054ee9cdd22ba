/** Pull secrets: credentials for registries, as pods and service accounts name them. */
import { makeKeyring, type Keyring } from '../image/client/keyring.ts';
import type { DataReader } from './volume-files.ts';

/** The credentials of the secrets together, in their order, and the names of those that do not exist. */
export async function readKeyring(
  read: DataReader,
  namespace: string,
  names: readonly string[],
): Promise<{ readonly keyring: Keyring; readonly missing: readonly string[] }> {
  const found = await Promise.all(names.map((name) => read('secret', namespace, name)));
  return {
    keyring: makeKeyring(found.flatMap((data) => (data ? configsIn(data) : []))),
    missing: names.filter((_, i) => found[i] === undefined),
  };
}

/** `kubernetes.io/dockerconfigjson`, and the older `kubernetes.io/dockercfg`, which holds the entries alone. */
function configsIn(data: ReadonlyMap<string, Buffer>): string[] {
  const [config, entries] = ['.dockerconfigjson', '.dockercfg'].map((key) => data.get(key)?.toString());
  return [
    ...(config === undefined ? [] : [config]),
    ...(entries === undefined ? [] : [`{"auths":${entries}}`]),
  ];
}
