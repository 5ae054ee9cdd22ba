/** All of Knative Serving's settings, by ConfigMap name. */
import type { KubernetesTypes } from '../../generated/kubernetes-types.ts';
import { systemNamespace } from '../labels.ts';
import { autoscalerFields, readAutoscalerConfig, type AutoscalerConfig } from './autoscaler.ts';
import { defaultsFields, readDefaultsConfig, type DefaultsConfig } from './defaults.ts';
import {
  deploymentFields,
  gcFields,
  observabilityFields,
  readDeploymentConfig,
  readGcConfig,
  readObservabilityConfig,
  type DeploymentConfig,
  type GcConfig,
  type ObservabilityConfig,
} from './deployment.ts';
import { featuresFields, readFeaturesConfig, type FeaturesConfig } from './features.ts';
import { exampleChecksum, exampleOf, type ConfigData } from './fields.ts';
import {
  defaultDomain,
  networkFields,
  readDomainConfig,
  readNetworkConfig,
  type DomainConfig,
  type NetworkConfig,
} from './network.ts';

export interface ServingConfig {
  readonly autoscaler: AutoscalerConfig;
  readonly defaults: DefaultsConfig;
  readonly deployment: DeploymentConfig;
  readonly domain: DomainConfig;
  readonly features: FeaturesConfig;
  readonly gc: GcConfig;
  readonly network: NetworkConfig;
  readonly observability: ObservabilityConfig;
}

/** ConfigMap name → how it is read. */
export const configReaders: {
  readonly [K in keyof ServingConfig as `config-${K}`]: (data: ConfigData) => ServingConfig[K];
} = {
  'config-autoscaler': readAutoscalerConfig,
  'config-defaults': readDefaultsConfig,
  'config-deployment': readDeploymentConfig,
  'config-domain': readDomainConfig,
  'config-features': readFeaturesConfig,
  'config-gc': readGcConfig,
  'config-network': readNetworkConfig,
  'config-observability': readObservabilityConfig,
};

const domainExample = `# Domains of routes, with the labels that a route must have to get them.
# A domain without selector is for all others.

${defaultDomain}: ""

shop.example.org: |
  selector:
    app: shop
`;

const examples: { readonly [name in keyof typeof configReaders]: string } = {
  'config-autoscaler': exampleOf(autoscalerFields),
  'config-defaults': exampleOf(defaultsFields),
  'config-deployment': exampleOf(deploymentFields),
  'config-domain': domainExample,
  'config-features': exampleOf(featuresFields),
  'config-gc': exampleOf(gcFields),
  'config-network': exampleOf(networkFields),
  'config-observability': exampleOf(observabilityFields),
};

export type ConfigName = keyof typeof configReaders;

export const configNames = Object.keys(configReaders) as ConfigName[];

export function isConfigName(name: string): name is ConfigName {
  return Object.hasOwn(configReaders, name);
}

/** The ConfigMap as created on first start: only `_example`, and the default domain. */
export function makeConfigMap(name: ConfigName): KubernetesTypes['core.v1.ConfigMap'] {
  const example = examples[name];
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name,
      namespace: systemNamespace,
      labels: { 'app.kubernetes.io/name': systemNamespace, 'app.kubernetes.io/component': 'controller' },
      annotations: { 'knative.dev/example-checksum': exampleChecksum(example) },
    },
    data: { _example: example, ...(name === 'config-domain' ? { [defaultDomain]: '' } : {}) },
  };
}

/** Settings where every ConfigMap is as created. */
export const defaultServingConfig: ServingConfig = {
  autoscaler: readAutoscalerConfig({}),
  defaults: readDefaultsConfig({}),
  deployment: readDeploymentConfig({}),
  domain: readDomainConfig({ [defaultDomain]: '' }),
  features: readFeaturesConfig({}),
  gc: readGcConfig({}),
  network: readNetworkConfig({}),
  observability: readObservabilityConfig({}),
};

/**
 * What is wrong with an edit of one of these ConfigMaps, in the words of Knative's ConfigMap webhook, or undefined.
 * A changed `_example` usually means that the editor meant the key beside it.
 */
export function configMapFault(
  name: string,
  data: ConfigData,
  checksum: string | undefined,
): string | undefined {
  if (!isConfigName(name)) return undefined;
  const example = data['_example'];
  if (example !== undefined && checksum !== undefined && exampleChecksum(example) !== checksum) {
    return '"_example" was changed; copy the keys that you want to change to the top level of data instead';
  }
  try {
    const readers: Readonly<Record<string, (data: ConfigData) => unknown>> = configReaders;
    readers[name]?.(data);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
