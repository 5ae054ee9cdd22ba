/** ConfigMaps config-network and config-domain: how hosts are named and reached. */
import { yaml } from '../../../base/yaml.ts';
import { boolean, choice, duration, readFields, text, type ConfigData, type Values } from './fields.ts';
import { fillTemplate } from './template.ts';

/** The class of ingresses that Knapsack's gateway serves. */
export const gatewayIngressClass = 'gateway.ingress.networking.knapsack.dev';

export const networkFields = {
  ingressClass: text('ingress-class', gatewayIngressClass, 'Which ingress implementation serves routes.'),
  certificateClass: text(
    'certificate-class',
    'cert-manager.certificate.networking.knative.dev',
    'Which implementation provides certificates.',
  ),
  namespaceWildcardCertSelector: text(
    'namespace-wildcard-cert-selector',
    '',
    'Selector of the namespaces that get a wildcard certificate.',
  ),
  domainTemplate: text(
    'domain-template',
    '{{.Name}}.{{.Namespace}}.{{.Domain}}',
    'Host of a route. Fields: Name, Namespace, Domain, Annotations, Labels.',
  ),
  tagTemplate: text('tag-template', '{{.Tag}}-{{.Name}}', 'Name of a tagged route. Fields: Tag, Name.'),
  externalDomainTls: choice(
    'external-domain-tls',
    ['Enabled', 'Disabled'],
    'Disabled',
    'TLS of public hosts.',
  ),
  clusterLocalDomainTls: choice(
    'cluster-local-domain-tls',
    ['Enabled', 'Disabled'],
    'Disabled',
    'TLS of cluster-local hosts.',
  ),
  systemInternalTls: choice(
    'system-internal-tls',
    ['Enabled', 'Disabled'],
    'Disabled',
    'TLS inside the platform.',
  ),
  httpProtocol: choice(
    'http-protocol',
    ['Enabled', 'Redirected'],
    'Enabled',
    'Whether plain HTTP is served or redirected when TLS is on.',
  ),
  rolloutDurationMs: duration(
    'rollout-duration',
    0,
    'Time over which traffic moves to a new revision; whole seconds.',
  ),
  autocreateClusterDomainClaims: boolean(
    'autocreate-cluster-domain-claims',
    false,
    'Whether a DomainMapping claims its domain by itself.',
  ),
  enableMeshPodAddressability: boolean(
    'enable-mesh-pod-addressability',
    false,
    'Whether a mesh lets pods be addressed.',
  ),
  meshCompatibilityMode: choice(
    'mesh-compatibility-mode',
    ['auto', 'enabled', 'disabled'],
    'auto',
    'Behaviour in a mesh.',
  ),
  defaultExternalScheme: text('default-external-scheme', 'http', 'Scheme of the URLs in status.'),
} as const;

export type NetworkConfig = Values<typeof networkFields>;

export function readNetworkConfig(data: ConfigData): NetworkConfig {
  const values = readFields(networkFields, data);
  if (values.rolloutDurationMs % 1000 !== 0)
    throw new Error('rollout-duration must be a whole number of seconds');
  // A template that fails for sample values would fail for every route.
  fillTemplate(values.domainTemplate, {
    Name: 'n',
    Namespace: 'ns',
    Domain: 'd',
    Annotations: {},
    Labels: {},
  });
  fillTemplate(values.tagTemplate, { Name: 'n', Tag: 't' });
  return values;
}

/** The domain of routes whose labels match; an empty selector matches all. */
export interface DomainEntry {
  readonly domain: string;
  readonly selector: Readonly<Record<string, string>>;
}

export interface DomainConfig {
  readonly entries: readonly DomainEntry[];
}

export const defaultDomain = 'example.com';

/** Keys are domains; a value is '' or YAML with a `selector` map. Keys starting with `_` are skipped. */
export function readDomainConfig(data: ConfigData): DomainConfig {
  const entries: DomainEntry[] = [];
  for (const [domain, value] of Object.entries(data)) {
    if (domain.startsWith('_')) continue;
    const parsed: unknown = value.trim() === '' ? {} : yaml().parse(value, { maxAliasCount: 0 });
    if (typeof parsed !== 'object' || parsed === null)
      throw new Error(`${domain}: want a map with a selector`);
    const selector = 'selector' in parsed ? parsed.selector : {};
    if (selector !== null && (typeof selector !== 'object' || Array.isArray(selector))) {
      throw new Error(`${domain}: selector must be a map`);
    }
    const pairs = Object.entries(selector ?? {}).map(([key, label]) => [key, String(label)] as const);
    entries.push({ domain, selector: Object.fromEntries(pairs) });
  }
  return { entries };
}

/** The domain of the most specific matching selector (ties: alphabetical), `svc.<cluster>` when none matches. */
export function domainFor(config: DomainConfig, labels: Readonly<Record<string, string>>): string {
  let best: DomainEntry | undefined;
  for (const entry of config.entries) {
    const pairs = Object.entries(entry.selector);
    if (!pairs.every(([key, value]) => labels[key] === value)) continue;
    const size = best ? Object.keys(best.selector).length : -1;
    if (pairs.length > size || (best && pairs.length === size && entry.domain < best.domain)) best = entry;
  }
  return best?.domain ?? clusterLocalDomain;
}

export const clusterDomain = 'cluster.local';
export const clusterLocalDomain = `svc.${clusterDomain}`;
