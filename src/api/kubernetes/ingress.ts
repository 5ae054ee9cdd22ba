/** networking.k8s.io Ingress and its class: what the gateway serves besides Knative's routes. */
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { AdmissionContext, Issue } from '../resource.ts';
import { ageColumn, ageOf, column } from './cells.ts';
import { kubernetesResource, oldOf, type KubernetesObject } from './define.ts';
import { immutable, notSupported } from './field-issues.ts';
import { dnsLabelFault, dnsSubdomainFault, portNameFault, portNumberFault } from './names.ts';

export type Ingress = KubernetesObject<'networking.v1.Ingress'>;
export type IngressClass = KubernetesObject<'networking.v1.IngressClass'>;
export type IngressBackend = KubernetesTypes['networking.v1.IngressBackend'];
type Path = KubernetesTypes['networking.v1.HTTPIngressPath'];

export const defaultIngressClassAnnotation = 'ingressclass.kubernetes.io/is-default-class';
/** The class as Ingresses named it before there was a field for it. */
export const ingressClassAnnotation = 'kubernetes.io/ingress.class';

const pathTypes = ['Exact', 'ImplementationSpecific', 'Prefix'];

function hostIssues(host: string | undefined, path: string): Issue[] {
  if (!host) return [];
  const invalid = (detail: string): Issue[] => [{ type: 'Invalid', path, value: host, detail }];
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(host)) return invalid('must be a DNS name, not an IP address');
  if (!host.includes('*')) {
    const fault = dnsSubdomainFault(host);
    return fault ? invalid(fault) : [];
  }
  const fault = host.startsWith('*.') ? dnsSubdomainFault(host.slice(2)) : 'no wildcard';
  if (fault === undefined) return [];
  return invalid(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
  );
}

function backendIssues(backend: IngressBackend | undefined, at: string): Issue[] {
  const { service, resource } = backend ?? {};
  if (!service && !resource) {
    return [{ type: 'Required', path: at, detail: 'must specify at least one of service or resource' }];
  }
  if (service && resource) {
    const detail = 'cannot set both resource and service backends';
    return [{ type: 'Invalid', path: at, value: '', detail }];
  }
  if (!service) return [];
  const issues: Issue[] = [];
  const fault = service.name ? dnsLabelFault(service.name) : undefined;
  if (!service.name) issues.push({ type: 'Required', path: `${at}.service.name`, detail: '' });
  else if (fault) {
    issues.push({ type: 'Invalid', path: `${at}.service.name`, value: service.name, detail: fault });
  }
  const { name, number } = service.port ?? {};
  if (name && number) {
    issues.push({
      type: 'Invalid',
      path: `${at}.service.port`,
      value: '',
      detail: 'cannot set both port name & port number',
    });
  } else if (name) {
    const why = portNameFault(name);
    if (why) issues.push({ type: 'Invalid', path: `${at}.service.port.name`, value: name, detail: why });
  } else if (number) {
    const why = portNumberFault(number);
    if (why) issues.push({ type: 'Invalid', path: `${at}.service.port.number`, value: number, detail: why });
  } else {
    issues.push({ type: 'Required', path: `${at}.service.port`, detail: 'port name or number is required' });
  }
  return issues;
}

function pathIssues(path: Path, at: string): Issue[] {
  const issues: Issue[] = [];
  if (!path.pathType) {
    issues.push({ type: 'Required', path: `${at}.pathType`, detail: 'pathType must be specified' });
  } else if (!pathTypes.includes(path.pathType)) {
    issues.push(notSupported(path.pathType, `${at}.pathType`, pathTypes));
  }
  const value = path.path ?? '';
  const invalid = (detail: string): void => {
    issues.push({ type: 'Invalid', path: `${at}.path`, value, detail });
  };
  const mayBeEmpty = path.pathType === 'ImplementationSpecific' && value === '';
  if (!mayBeEmpty && !value.startsWith('/')) invalid('must be an absolute path');
  if (path.pathType !== 'ImplementationSpecific') {
    for (const part of ['//', '/./', '/../', '%2f', '%2F']) {
      if (value.includes(part)) invalid(`must not contain '${part}'`);
    }
    for (const end of ['/..', '/.']) if (value.endsWith(end)) invalid(`cannot end with '${end}'`);
  }
  return [...issues, ...backendIssues(path.backend, `${at}.backend`)];
}

/** kubernetes pkg/apis/networking/validation. */
function ingressIssues({ spec, metadata }: Ingress, context: AdmissionContext): Issue[] {
  const issues: Issue[] = [];
  if (!spec?.rules?.length && !spec?.defaultBackend) {
    const detail = 'either `defaultBackend` or `rules` must be specified';
    issues.push({ type: 'Invalid', path: 'spec', value: '', detail });
  }
  if (spec?.defaultBackend) issues.push(...backendIssues(spec.defaultBackend, 'spec.defaultBackend'));
  (spec?.rules ?? []).forEach((rule, i) => {
    const at = `spec.rules[${i}]`;
    issues.push(...hostIssues(rule.host, `${at}.host`));
    if (!rule.http) return;
    if (!rule.http.paths?.length) issues.push({ type: 'Required', path: `${at}.http.paths`, detail: '' });
    (rule.http.paths ?? []).forEach((path, j) => issues.push(...pathIssues(path, `${at}.http.paths[${j}]`)));
  });
  (spec?.tls ?? []).forEach((tls, i) => {
    (tls.hosts ?? []).forEach((host, j) => issues.push(...hostIssues(host, `spec.tls[${i}].hosts[${j}]`)));
  });
  if (spec?.ingressClassName === undefined) return issues;
  const { ingressClassName } = spec;
  const path = 'spec.ingressClassName';
  const fault = dnsSubdomainFault(ingressClassName);
  if (fault) issues.push({ type: 'Invalid', path, value: ingressClassName, detail: fault });
  if (context.operation === 'CREATE' && metadata.annotations?.[ingressClassAnnotation] !== undefined) {
    const detail = 'can not be set when the class field is also set';
    const annotation = `annotations.${ingressClassAnnotation}`;
    const value = metadata.annotations[ingressClassAnnotation];
    issues.push({ type: 'Invalid', path: annotation, value, detail });
  }
  return issues;
}

export const ingressClasses = kubernetesResource('networking.v1.IngressClass', {
  group: 'networking.k8s.io',
  plural: 'ingressclasses',
  namespaced: false,
  columns: [column('Controller'), column('Parameters'), ageColumn],
  cells: (item, now) => [
    item.spec?.controller ?? '',
    item.spec?.parameters
      ? [item.spec.parameters.kind, item.spec.parameters.apiGroup].filter(Boolean).join('.') +
        `/${item.spec.parameters.name}`
      : '<none>',
    ageOf(item, now),
  ],
  issues(item, context) {
    const { controller } = item.spec ?? {};
    const path = 'spec.controller';
    const issues: Issue[] = [];
    if (!controller) issues.push({ type: 'Required', path, detail: '' });
    else if (!/^[^/]+\/.+$/.test(controller)) {
      const detail = `must be a domain-prefixed path (such as "acme.io/foo")`;
      issues.push({ type: 'Invalid', path, value: controller, detail });
    }
    const old = oldOf(item, context);
    if (old && old.spec?.controller !== controller) issues.push(immutable(controller, path));
    return issues;
  },
});

function defaultClassName(context: AdmissionContext): string | undefined {
  let found: IngressClass | undefined;
  for (const one of context.stored?.(ingressClasses) ?? []) {
    if (one.metadata.annotations?.[defaultIngressClassAnnotation] !== 'true') continue;
    if (!found || rank(one) > rank(found)) found = one;
  }
  return found?.metadata.name;
}

function rank({ metadata }: IngressClass): string {
  return `${metadata.creationTimestamp ?? ''} ${metadata.name}`;
}

export const ingresses = kubernetesResource('networking.v1.Ingress', {
  group: 'networking.k8s.io',
  plural: 'ingresses',
  shortNames: ['ing'],
  subresources: { status: true },
  columns: [column('Class'), column('Hosts'), column('Address'), column('Ports'), ageColumn],
  cells: (ingress, now) => [
    ingress.spec?.ingressClassName ?? ingress.metadata.annotations?.[ingressClassAnnotation] ?? '<none>',
    (ingress.spec?.rules ?? []).map((rule) => rule.host ?? '*').join(',') || '*',
    (ingress.status?.loadBalancer?.ingress ?? []).map((entry) => entry.ip ?? entry.hostname ?? '').join(','),
    ingress.spec?.tls?.length ? '80, 443' : '80',
    ageOf(ingress, now),
  ],
  mutate(ingress, context) {
    const { spec, metadata } = ingress;
    if (context.operation !== 'CREATE' || !spec || spec.ingressClassName !== undefined) return;
    if (metadata.annotations?.[ingressClassAnnotation] !== undefined) return;
    const name = defaultClassName(context);
    if (name !== undefined) spec.ingressClassName = name;
  },
  issues: ingressIssues,
});
