/** Settings as admission sees them: live where the server lets it look at ConfigMaps, else the defaults. */
import { configMaps } from '../../kubernetes/core.ts';
import type { AdmissionContext } from '../../resource.ts';
import { systemNamespace } from '../labels.ts';
import type { ConfigData } from './fields.ts';
import { configReaders, defaultServingConfig, type ServingConfig } from './index.ts';

/** Parsed values by the (frozen) data they came from, so that an unchanged ConfigMap is parsed once. */
const parsed = new WeakMap<ConfigData, unknown>();

/** One part of the settings. Data that does not parse counts as absent: reconcilers keep the last good one and log. */
export function admissionConfig<K extends keyof ServingConfig>(
  context: AdmissionContext,
  part: K,
): ServingConfig[K] {
  const data = dataOf(context, `config-${part}`);
  if (!data) return defaultServingConfig[part];
  let value = parsed.get(data);
  if (value === undefined) {
    value = readOrDefault(part, data);
    parsed.set(data, value);
  }
  return value as ServingConfig[K];
}

function dataOf(context: AdmissionContext, name: string): ConfigData | undefined {
  for (const { metadata, data } of context.stored?.(configMaps) ?? []) {
    if (metadata.name === name && metadata.namespace === systemNamespace) return data;
  }
  return undefined;
}

function readOrDefault(part: keyof ServingConfig, data: ConfigData): unknown {
  const read: (data: ConfigData) => unknown = configReaders[`config-${part}`];
  try {
    return read(data);
  } catch {
    return defaultServingConfig[part];
  }
}
