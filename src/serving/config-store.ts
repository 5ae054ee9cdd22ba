/** Knative's ConfigMaps as immutable snapshots that follow edits. An edit that does not parse keeps the last good one. */
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { configMaps, namespaces, type ConfigMap } from '../api/kubernetes/core.ts';
import {
  configNames,
  configReaders,
  defaultServingConfig,
  isConfigName,
  makeConfigMap,
  type ServingConfig,
} from '../api/serving/config/index.ts';
import { systemNamespace } from '../api/serving/labels.ts';
import { isAlreadyExists } from '../kube/api-error.ts';
import type { Client } from '../kube/client/client.ts';
import type { Informers } from '../kube/client/informer.ts';

export class ServingConfigStore {
  #current: ServingConfig = defaultServingConfig;
  readonly #log: Logger;
  readonly #listeners = new Set<() => void>();
  #unsubscribe: () => void = () => {};

  constructor(log: Logger) {
    this.#log = log.child({ component: 'serving-config' });
  }

  /** The snapshot now. Take it once per decision. */
  get current(): ServingConfig {
    return this.#current;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Reads what exists and follows edits. */
  async start(informers: Informers): Promise<void> {
    const informer = informers.for(configMaps);
    await informer.synced();
    this.#unsubscribe = informer.onChange(({ type, object }) => this.#read(object, type === 'deleted'));
  }

  close(): void {
    this.#unsubscribe();
  }

  #read({ metadata, data }: ConfigMap, deleted: boolean): void {
    const { name } = metadata;
    if (metadata.namespace !== systemNamespace || !isConfigName(name)) return;
    const part = name.slice('config-'.length) as keyof ServingConfig;
    try {
      const value = deleted ? defaultServingConfig[part] : configReaders[name](data ?? {});
      this.#current = { ...this.#current, [part]: value };
    } catch (error) {
      this.#log.error(
        { configMap: name, error: messageOf(error) },
        'settings not accepted, keeping the previous ones',
      );
      return;
    }
    for (const listener of this.#listeners) listener();
  }
}

/** Creates the namespace and the ConfigMaps that do not exist yet. */
export async function ensureConfigMaps(client: Client): Promise<void> {
  const ignoreExisting = (error: unknown): void => {
    if (!isAlreadyExists(error)) throw error;
  };
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: systemNamespace } };
  await client.create(namespaces, namespace).catch(ignoreExisting);
  await Promise.all(
    configNames.map((name) => client.create(configMaps, makeConfigMap(name)).catch(ignoreExisting)),
  );
}
