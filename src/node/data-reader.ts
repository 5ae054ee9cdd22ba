/** Reads what pods refer to. */
import type { Clock } from '../base/clock.ts';
import { configMaps, secrets } from '../api/kubernetes/core.ts';
import { isNotFound } from '../kube/api-error.ts';
import type { Client } from '../kube/client/client.ts';
import type { Informers } from '../kube/client/informer.ts';
import { whenPresent } from '../kube/client/when-present.ts';
import { rootCertificateName } from '../kube/server/admission/service-account.ts';
import type { DataReader } from './volume-files.ts';

/** How long what every new namespace gets may take to appear, ms. */
const namespaceSetupMs = 2000;

/** ConfigMaps and Secrets as bytes. Read when needed, so that one made just before its pod is never missed. */
export function dataReader(client: Client, informers: Informers, clock: Clock): DataReader {
  return async (kind, namespace, name) => {
    try {
      if (kind === 'configmap' && name === rootCertificateName) {
        // Every namespace gets it, a moment after it is made: better to wait than to fail a pod that is as quick.
        await whenPresent(informers.for(configMaps), `${namespace}/${name}`, clock, namespaceSetupMs);
      }
      const data = new Map<string, Buffer>();
      if (kind === 'secret') {
        const secret = await client.get(secrets, { namespace, name });
        for (const [key, value] of Object.entries(secret.data ?? {}))
          data.set(key, Buffer.from(value, 'base64'));
      } else {
        const configMap = await client.get(configMaps, { namespace, name });
        for (const [key, value] of Object.entries(configMap.data ?? {})) data.set(key, Buffer.from(value));
        for (const [key, value] of Object.entries(configMap.binaryData ?? {})) {
          data.set(key, Buffer.from(value, 'base64'));
        }
      }
      return data;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  };
}
