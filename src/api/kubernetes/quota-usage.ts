/** What objects count for under a ResourceQuota (kubernetes pkg/quota/v1/evaluator/core). Pure. */
import type { KubeObject } from '../object.ts';
import type { Container, Pod } from '../pods.ts';
import { qualifiedName, type ResourceDef } from '../resource.ts';
import { add, exact, one, subtract, zero, type ExactQuantity } from './exact-quantity.ts';
import { qosClass } from './pod-defaults.ts';
import { podAmounts, type Amounts } from './pod-resources.ts';
import { scopeRequirements, type ResourceQuota, type ScopeRequirement } from './quotas.ts';
import type { PersistentVolumeClaim } from './storage.ts';
import { matchesRequirement } from './selectors.ts';
import type { Service } from './services.ts';

/** A piece. */
const piece: ExactQuantity = { nano: one, format: 'decimal' };

const isCore = (def: ResourceDef, plural: string): boolean => def.group === '' && def.plural === plural;

/** Kinds that may be counted by their plain name. */
const plainlyCounted = new Set(['configmaps', 'secrets', 'resourcequotas', 'replicationcontrollers']);
const computeNames = new Set(['cpu', 'memory', 'ephemeral-storage']);
const classSuffix = '.storageclass.storage.k8s.io/';

/** Whether objects of a resource can count towards the name of a quota. */
export function measures(def: ResourceDef, name: string): boolean {
  if (name === `count/${qualifiedName(def)}`) return true;
  if (def.group !== '') return false;
  switch (def.plural) {
    case 'pods':
      if (name === 'pods' || computeNames.has(name) || name.startsWith('hugepages-')) return true;
      return (name.startsWith('requests.') && name !== 'requests.storage') || name.startsWith('limits.');
    case 'services':
      return name === 'services' || name === 'services.nodeports' || name === 'services.loadbalancers';
    case 'persistentvolumeclaims':
      return name === 'persistentvolumeclaims' || name === 'requests.storage' || name.includes(classSuffix);
    default:
      return name === def.plural && plainlyCounted.has(def.plural);
  }
}

/** The names of a quota's `hard` that objects of a resource count towards. */
export function measuredNames(quota: ResourceQuota, def: ResourceDef): string[] {
  return Object.keys(quota.spec?.hard ?? {}).filter((name) => measures(def, name));
}

const cache = new WeakMap<KubeObject, Amounts>();

/** What an object counts for, by name. `now` is milliseconds since the epoch. Remembered for frozen objects. */
export function usageOf(def: ResourceDef, object: KubeObject, now: number): Amounts {
  const own = `count/${qualifiedName(def)}`;
  if (isCore(def, 'pods') && !isCharged(object, now)) return new Map([[own, piece]]);
  let usage = cache.get(object);
  if (!usage) {
    usage = new Map([[own, piece], ...detailsOf(def, object)]);
    if (Object.isFrozen(object)) cache.set(object, usage);
  }
  return usage;
}

function detailsOf(def: ResourceDef, object: KubeObject): Iterable<readonly [string, ExactQuantity]> {
  if (def.group !== '') return [];
  switch (def.plural) {
    case 'pods':
      return podUsage(object);
    case 'services':
      return serviceUsage(object);
    case 'persistentvolumeclaims':
      return claimUsage(object);
    default:
      return plainlyCounted.has(def.plural) ? [[def.plural, piece]] : [];
  }
}

/** Pods that have ended, or that a lost node will never confirm to have ended, are no longer charged for. */
function isCharged(pod: Pod, now: number): boolean {
  const phase = pod.status?.phase;
  if (phase === 'Succeeded' || phase === 'Failed') return false;
  const past = pastGrace(pod);
  return past === undefined || now <= past;
}

function pastGrace({ metadata }: KubeObject): number | undefined {
  const { deletionTimestamp, deletionGracePeriodSeconds } = metadata;
  if (deletionTimestamp === undefined || deletionGracePeriodSeconds === undefined) return undefined;
  return Date.parse(deletionTimestamp) + deletionGracePeriodSeconds * 1000;
}

/**
 * The moment, milliseconds since the epoch, after which an object counts for less although nobody writes it: a pod past
 * the time that it was given to end. Undefined for all others.
 */
export function pastCharge(def: ResourceDef, object: KubeObject): number | undefined {
  return isCore(def, 'pods') ? pastGrace(object) : undefined;
}

function* podUsage(pod: Pod): Generator<readonly [string, ExactQuantity]> {
  yield ['pods', piece];
  yield* computeUsage(podAmounts(pod, 'requests'), podAmounts(pod, 'limits'));
}

/** The names that quotas have for requests and limits. */
function* computeUsage(requests: Amounts, limits: Amounts): Generator<readonly [string, ExactQuantity]> {
  for (const [name, amount] of requests) {
    if (computeNames.has(name) || name.startsWith('hugepages-')) yield [name, amount];
    yield [`requests.${name}`, amount];
  }
  for (const [name, amount] of limits) if (computeNames.has(name)) yield [`limits.${name}`, amount];
}

function* serviceUsage({ spec }: Service): Generator<readonly [string, ExactQuantity]> {
  yield ['services', piece];
  const ports = spec?.ports ?? [];
  const pieces = (count: number): ExactQuantity => ({ nano: one * BigInt(count), format: 'decimal' });
  if (spec?.type === 'NodePort') yield ['services.nodeports', pieces(ports.length)];
  if (spec?.type !== 'LoadBalancer') return;
  yield ['services.loadbalancers', piece];
  const allocated = spec.allocateLoadBalancerNodePorts !== false;
  yield [
    'services.nodeports',
    pieces(allocated ? ports.length : ports.filter((port) => port.nodePort).length),
  ];
}

function* claimUsage({ metadata, spec }: PersistentVolumeClaim): Generator<readonly [string, ExactQuantity]> {
  const storage = exact(spec?.resources?.requests?.['storage']);
  yield ['persistentvolumeclaims', piece];
  yield ['requests.storage', storage];
  const className =
    metadata.annotations?.['volume.beta.kubernetes.io/storage-class'] ?? spec?.storageClassName;
  if (!className) return;
  yield [`${className}${classSuffix}persistentvolumeclaims`, piece];
  yield [`${className}${classSuffix}requests.storage`, storage];
}

/** Whether an object is among those that a quota counts. */
export function matchesScopes(quota: ResourceQuota, def: ResourceDef, object: KubeObject): boolean {
  return scopeRequirements(quota).every((scope) => matchesScope(scope, def, object));
}

function matchesScope(scope: ScopeRequirement, def: ResourceDef, object: KubeObject): boolean {
  if (isCore(def, 'persistentvolumeclaims') && scope.scopeName === 'VolumeAttributesClass') {
    return matchesRequirement(
      scope,
      (object as PersistentVolumeClaim).spec?.volumeAttributesClassName || undefined,
    );
  }
  const { spec } = object as Pod;
  if (!isCore(def, 'pods') || !spec) return false;
  const terminating = spec.activeDeadlineSeconds !== undefined;
  const bestEffort = qosClass(spec) === 'BestEffort';
  switch (scope.scopeName) {
    case 'Terminating':
      return terminating;
    case 'NotTerminating':
      return !terminating;
    case 'BestEffort':
      return bestEffort;
    case 'NotBestEffort':
      return !bestEffort;
    case 'PriorityClass':
      return matchesRequirement(scope, spec.priorityClassName || undefined);
    case 'CrossNamespacePodAffinity':
      return crossesNamespaces(spec);
    default:
      return false;
  }
}

function crossesNamespaces({ affinity }: NonNullable<Pod['spec']>): boolean {
  const terms = [affinity?.podAffinity, affinity?.podAntiAffinity].flatMap((part) => [
    ...(part?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
    ...(part?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((one) => one.podAffinityTerm),
  ]);
  return terms.some((term) => (term.namespaces?.length ?? 0) > 0 || term.namespaceSelector !== undefined);
}

/** What objects of one resource use of the names given. */
export function totalUsage(
  quota: ResourceQuota,
  def: ResourceDef,
  objects: Iterable<KubeObject>,
  names: readonly string[],
  now: number,
): Map<string, ExactQuantity> {
  const scopes = scopeRequirements(quota);
  const counters = names.filter((name) => isCounter(def, name));
  const others = names.filter((name) => !counters.includes(name));
  const total = new Map<string, ExactQuantity>(names.map((name) => [name, zero]));
  let pieces = 0;
  for (const object of objects) {
    if (!scopes.every((scope) => matchesScope(scope, def, object))) continue;
    pieces++;
    if (others.length === 0) continue;
    const usage = usageOf(def, object, now);
    for (const name of others) {
      const amount = usage.get(name);
      if (amount) total.set(name, add(total.get(name) ?? zero, amount));
    }
  }
  for (const name of counters) total.set(name, { nano: one * BigInt(pieces), format: 'decimal' });
  return total;
}

/** Whether a name counts each object of the resource as one, whatever is in it. */
function isCounter(def: ResourceDef, name: string): boolean {
  if (name === `count/${qualifiedName(def)}`) return true;
  return def.group === '' && name === def.plural && def.plural !== 'pods';
}

/** What a write adds, by name; never less than nothing, and without the names that it does not touch. */
export function addedUsage(after: Amounts, before: Amounts | undefined): Map<string, ExactQuantity> {
  const added = new Map<string, ExactQuantity>();
  for (const [name, amount] of after) {
    const difference = subtract(amount, before?.get(name) ?? zero);
    if (difference.nano > 0n) added.set(name, difference);
  }
  return added;
}

/** The compute names that a container must set under a quota of them, for quotas count what pods say. */
const mustBeSet = ['cpu', 'memory', 'requests.cpu', 'requests.memory', 'limits.cpu', 'limits.memory'];

/** `limits.cpu for: app,proxy; …`: what containers leave out that a quota needs; undefined when nothing. */
export function missingCompute(pod: Pod, names: readonly string[]): string | undefined {
  const missing = new Map<string, string[]>();
  const check = (container: Container): void => {
    const { requests = {}, limits = {} } = container.resources ?? {};
    const isSet = (name: string): boolean =>
      name.startsWith('limits.')
        ? limits[name.slice('limits.'.length)] !== undefined
        : requests[name.replace(/^requests\./, '')] !== undefined;
    for (const name of names) {
      if (!mustBeSet.includes(name) || isSet(name)) continue;
      missing.set(name, [...(missing.get(name) ?? []), container.name]);
    }
  };
  pod.spec?.containers.forEach(check);
  pod.spec?.initContainers?.forEach(check);
  if (missing.size === 0) return undefined;
  return [...missing]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, containers]) => `${name} for: ${[...new Set(containers)].sort().join(',')}`)
    .join('; ');
}
