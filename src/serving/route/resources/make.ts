/** The Ingress and the placeholder Services of a Route. */
import type { KubernetesTypes } from '../../../api/generated/kubernetes-types.ts';
import type { Endpoints, Service } from '../../../api/kubernetes/services.ts';
import type { Ingress, IngressPath, IngressRule } from '../../../api/networking/index.ts';
import { controllerRef } from '../../../api/object.ts';
import { annotations, labels } from '../../../api/serving/labels.ts';
import type { ServingConfig } from '../../../api/serving/config/index.ts';
import type { Route } from '../../../api/serving/index.ts';
import { hostsOf, placeholderName } from '../hosts.ts';
import type { RevisionTarget, Traffic } from '../traffic.ts';

const tagHeader = 'Knative-Serving-Tag';
const defaultRouteHeader = 'Knative-Serving-Default-Route';

/** `rollout`: the state of a gradual rollout, kept on the ingress for the next reconciliation. */
export function makeIngress(
  route: Route,
  traffic: Traffic,
  config: ServingConfig,
  localTags: ReadonlySet<string>,
  rollout?: string,
): Ingress {
  const { name, namespace = '', annotations: own = {} } = route.metadata;
  const tags = [...traffic.byTag.keys()].sort();
  const tagToHost = Object.fromEntries(
    tags.filter((tag) => tag !== '').map((tag) => [tag, [hostsOf(route, tag, config, localTags).host]]),
  );
  const copied = Object.entries(own).filter(
    ([key]) => key !== annotations.lastApplied && key !== annotations.rolloutDuration,
  );
  return {
    apiVersion: 'networking.internal.knative.dev/v1alpha1',
    kind: 'Ingress',
    metadata: {
      name,
      ...(namespace ? { namespace } : {}),
      ownerReferences: [controllerRef(route)],
      labels: { ...route.metadata.labels, [labels.route]: name, [labels.routeNamespace]: namespace },
      annotations: {
        ...Object.fromEntries(copied),
        [annotations.ingressClass]: own[annotations.ingressClass] ?? config.network.ingressClass,
        ...(Object.keys(tagToHost).length > 0 ? { [annotations.tagToHost]: JSON.stringify(tagToHost) } : {}),
        ...(rollout ? { [annotations.rollout]: rollout } : {}),
      },
    },
    spec: {
      httpOption: 'Enabled',
      rules: tags.flatMap((tag) => makeRules(route, tag, traffic, config, localTags)),
    },
  };
}

function makeRules(
  route: Route,
  tag: string,
  traffic: Traffic,
  config: ServingConfig,
  localTags: ReadonlySet<string>,
): IngressRule[] {
  const { namespace = '' } = route.metadata;
  const hosts = hostsOf(route, tag, config, localTags);
  const paths: IngressPath[] = [];
  const byHeader = config.features.tagHeaderBasedRouting !== 'disabled';
  if (byHeader && tag === '') {
    for (const [name, targets] of traffic.byTag) {
      if (name !== '')
        paths.push({ headers: { [tagHeader]: { exact: name } }, ...makePath(targets, namespace) });
    }
  }
  const main = makePath(traffic.byTag.get(tag) ?? [], namespace);
  if (byHeader) main.appendHeaders = tag === '' ? { [defaultRouteHeader]: 'true' } : { [tagHeader]: tag };
  paths.push(main);
  const rule = (names: readonly string[], visibility: 'ClusterLocal' | 'ExternalIP'): IngressRule => ({
    hosts: [...names],
    visibility,
    http: { paths: structuredClone(paths) },
  });
  const local = rule(hosts.internal, 'ClusterLocal');
  return hosts.local ? [local] : [local, rule([hosts.host], 'ExternalIP')];
}

function makePath(targets: readonly RevisionTarget[], namespace: string): IngressPath {
  return {
    splits: targets.map(({ revisionName, percent, protocol }) => ({
      serviceNamespace: namespace,
      serviceName: revisionName,
      servicePort: protocol === 'h2c' ? 81 : 80,
      percent,
      appendHeaders: { 'Knative-Serving-Revision': revisionName, 'Knative-Serving-Namespace': namespace },
    })),
  };
}

type LoadBalancer = { domain?: string; domainInternal?: string; ip?: string; meshOnly?: boolean };

/** The Service whose DNS name leads to the gateway. Before an ingress says where that is it points at the public host. */
export function makePlaceholder(
  route: Route,
  tag: string,
  config: ServingConfig,
  ingress: Ingress | undefined,
): Service {
  const { name, namespace = '' } = route.metadata;
  const gateway = gatewayOf(ingress);
  const port = { name: 'http2', port: 80, protocol: 'TCP', targetPort: 80 };
  let spec: KubernetesTypes['core.v1.ServiceSpec'];
  if (gateway?.ip) spec = { clusterIP: 'None', ports: [port] };
  else if (gateway?.meshOnly) spec = { type: 'ClusterIP', ports: [port] };
  else {
    const externalName = gateway?.domainInternal ?? gateway?.domain ?? hostsOf(route, tag, config).host;
    spec = { type: 'ExternalName', externalName, sessionAffinity: 'None', ports: [port] };
  }
  const { [labels.visibility]: _visibility, ...own } = route.metadata.labels ?? {};
  const { [annotations.lastApplied]: _applied, ...notes } = route.metadata.annotations ?? {};
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: placeholderName(name, tag, config),
      namespace,
      ownerReferences: [controllerRef(route)],
      labels: {
        ...own,
        [labels.route]: name,
        ...(tag ? { 'networking.internal.knative.dev/tag': tag } : {}),
      },
      annotations: notes,
    },
    spec,
  };
}

/** Addresses of a headless placeholder; undefined for the others. Kubernetes does not take loopback addresses here. */
export function makePlaceholderEndpoints(
  placeholder: Service,
  ingress: Ingress | undefined,
): Endpoints | undefined {
  const ip = gatewayOf(ingress)?.ip;
  if (!ip || ip.startsWith('127.') || ip === '::1') return undefined;
  const { name, namespace = '', labels: own, ownerReferences } = placeholder.metadata;
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: {
      name,
      namespace,
      ...(own ? { labels: own } : {}),
      ...(ownerReferences ? { ownerReferences } : {}),
    },
    subsets: [{ addresses: [{ ip }], ports: [{ name: 'http2', port: 80, protocol: 'TCP' }] }],
  };
}

function gatewayOf(ingress: Ingress | undefined): LoadBalancer | undefined {
  const { privateLoadBalancer, publicLoadBalancer } = ingress?.status ?? {};
  return privateLoadBalancer?.ingress?.[0] ?? publicLoadBalancer?.ingress?.[0];
}
