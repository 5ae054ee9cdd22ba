/** Host names and URLs of routes. Pure. */
import type { Route } from '../../api/serving/index.ts';
import { clusterDomain, clusterLocalDomain, domainFor } from '../../api/serving/config/network.ts';
import type { ServingConfig } from '../../api/serving/config/index.ts';
import { fillTemplate } from '../../api/serving/config/template.ts';
import { clusterLocal, labels } from '../../api/serving/labels.ts';
import { networkFields } from '../../api/serving/config/network.ts';

export interface RouteHosts {
  /** The host that URLs show. */
  readonly host: string;
  /** True when there is no public host. */
  readonly local: boolean;
  /** `name.ns`, `name.ns.svc`, `name.ns.svc.cluster.local`. */
  readonly internal: readonly string[];
}

/** Name of the placeholder Service: `route`, or `tag-route`. */
export function placeholderName(route: string, tag: string, config: ServingConfig): string {
  return tag ? fillTemplate(config.network.tagTemplate, { Name: route, Tag: tag }) : route;
}

/** `localTags`: tags whose placeholder Service a user has marked cluster-local. Throws when a template does not fit. */
export function hostsOf(
  route: Route,
  tag: string,
  config: ServingConfig,
  localTags: ReadonlySet<string> = new Set(),
): RouteHosts {
  const { name, namespace = '', labels: own = {}, annotations = {} } = route.metadata;
  const full = placeholderName(name, tag, config);
  const isLocal = own[labels.visibility] === clusterLocal || localTags.has(tag);
  const domain = isLocal ? clusterLocalDomain : domainFor(config.domain, own);
  const local = domain === clusterLocalDomain;
  // Inside the cluster the name is fixed, whatever the template for public hosts says.
  const template = local ? networkFields.domainTemplate.fallback : config.network.domainTemplate;
  const host = fillTemplate(template, {
    Name: full,
    Namespace: namespace,
    Domain: domain,
    Annotations: annotations,
    Labels: own,
  });
  return {
    host,
    local,
    internal: [`${full}.${namespace}`, `${full}.${namespace}.svc`, internalHost(full, namespace)],
  };
}

export function internalHost(name: string, namespace: string): string {
  return `${name}.${namespace}.svc.${clusterDomain}`;
}

export function urlOf({ host, local }: RouteHosts, config: ServingConfig): string {
  return `${local ? 'http' : config.network.defaultExternalScheme}://${host}`;
}
