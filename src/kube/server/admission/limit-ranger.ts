/** Defaults and bounds of what containers, pods and claims ask for (kubernetes plugin/pkg/admission/limitranger). */
import { exact, formatExact, one, type ExactQuantity } from '../../../api/kubernetes/exact-quantity.ts';
import { limitRanges, type LimitRange, type LimitRangeItem } from '../../../api/kubernetes/limit-ranges.ts';
import { amountsOf, podAmounts, type Amounts } from '../../../api/kubernetes/pod-resources.ts';
import { pods } from '../../../api/kubernetes/pods.ts';
import { persistentVolumeClaims, type PersistentVolumeClaim } from '../../../api/kubernetes/storage.ts';
import type { Container, Pod } from '../../../api/pods.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import type { AdmissionAttributes, AdmissionPlugin } from '../service/admission-plugin.ts';
import { forbidden } from '../service/errors.ts';

const annotation = 'kubernetes.io/limit-ranger';

const isOf = (def: ResourceDef, wanted: ResourceDef): boolean =>
  def.group === wanted.group && def.plural === wanted.plural;

export const limitRanger: AdmissionPlugin = {
  name: 'LimitRanger',
  mutate(attributes) {
    if (!isNewPod(attributes)) return;
    for (const range of rangesFor(attributes)) setDefaults(attributes.object as unknown as Pod, range);
  },
  validate(attributes) {
    const check = isNewPod(attributes) ? podFaults : isClaim(attributes) ? claimFaults : undefined;
    if (!check) return;
    for (const range of rangesFor(attributes)) {
      const faults = check(attributes.object as never, range);
      if (faults.length === 0) continue;
      const text = faults.length === 1 ? faults.join('') : `[${faults.join(', ')}]`;
      throw forbidden(attributes.def, attributes.name, text);
    }
  },
};

/** What a pod's containers ask for is decided when it is created. */
function isNewPod({ def, operation, subresource, object }: AdmissionAttributes): boolean {
  return operation === 'CREATE' && !subresource && object !== undefined && isOf(def, pods);
}

function isClaim({ def, operation, subresource, object }: AdmissionAttributes): boolean {
  return operation !== 'DELETE' && !subresource && object !== undefined && isOf(def, persistentVolumeClaims);
}

function rangesFor({ namespace, stored }: AdmissionAttributes): Iterable<LimitRange> {
  return namespace === undefined ? [] : stored(limitRanges, namespace);
}

function itemsOf(range: LimitRange, type: string): LimitRangeItem[] {
  return (range.spec?.limits ?? []).filter((item) => item.type === type);
}

// ---- defaults ------------------------------------------------------------------------------------------------

function setDefaults(pod: Pod, range: LimitRange): void {
  const limits = merged(range, 'default');
  const requests = merged(range, 'defaultRequest');
  if (Object.keys(limits).length === 0 && Object.keys(requests).length === 0) return;
  const notes = [
    ...(pod.spec?.containers ?? []).flatMap((one) => fill(one, limits, requests, 'container')),
    ...(pod.spec?.initContainers ?? []).flatMap((one) => fill(one, limits, requests, 'init container')),
  ];
  if (notes.length === 0) return;
  pod.metadata.annotations = {
    ...pod.metadata.annotations,
    [annotation]: `LimitRanger plugin set: ${notes.join('; ')}`,
  };
}

type Quantities = { readonly [name: string]: string };

function merged(range: LimitRange, list: 'default' | 'defaultRequest'): Quantities {
  return Object.assign({}, ...itemsOf(range, 'Container').map((item) => item[list] ?? {})) as Quantities;
}

/** Fills in what the container does not say, and tells what that was. */
function fill(container: Container, limits: Quantities, requests: Quantities, what: string): string[] {
  const notes: string[] = [];
  const resources = (container.resources ??= {});
  const complete = (list: 'requests' | 'limits', defaults: Quantities): void => {
    const missing = Object.keys(defaults).filter((name) => resources[list]?.[name] === undefined);
    if (missing.length === 0) return;
    resources[list] = { ...defaults, ...resources[list] };
    notes.push(`${missing.sort().join(', ')} ${list.slice(0, -1)} for ${what} ${container.name}`);
  };
  complete('requests', requests);
  complete('limits', limits);
  return notes;
}

// ---- bounds --------------------------------------------------------------------------------------------------

function podFaults(pod: Pod, range: LimitRange): string[] {
  const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  const ofContainers = itemsOf(range, 'Container').flatMap((item) =>
    containers.flatMap(({ resources }) =>
      boundFaults(item, amountsOf(resources?.requests), amountsOf(resources?.limits)),
    ),
  );
  const ofPod = itemsOf(range, 'Pod').flatMap((item) =>
    boundFaults(item, podAmounts(pod, 'requests', false), podAmounts(pod, 'limits', false)),
  );
  return [...ofContainers, ...ofPod];
}

function claimFaults(claim: PersistentVolumeClaim, range: LimitRange): string[] {
  const requests = amountsOf(claim.spec?.resources?.requests);
  return itemsOf(range, 'PersistentVolumeClaim').flatMap((item) => [
    ...each(item.min, (name, bound) => minimumFault(item.type, name, bound, requests, new Map())),
    ...each(item.max, (name, bound) => {
      const request = requests.get(name);
      const head = `maximum ${name} usage per ${item.type} is ${bound}`;
      if (!request) return `${head}.  No request is specified`;
      return request.nano > exact(bound).nano ? `${head}, but request is ${formatExact(request)}` : undefined;
    }),
  ]);
}

function boundFaults(item: LimitRangeItem, requests: Amounts, limits: Amounts): string[] {
  const { type } = item;
  return [
    ...each(item.min, (name, bound) => minimumFault(type, name, bound, requests, limits)),
    ...each(item.max, (name, bound) => maximumFault(type, name, bound, requests, limits)),
    ...each(item.maxLimitRequestRatio, (name, bound) => ratioFault(type, name, bound, requests, limits)),
  ];
}

function each(
  list: Quantities | undefined,
  fault: (name: string, bound: string) => string | undefined,
): string[] {
  return Object.entries(list ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, bound]) => fault(name, bound) ?? []);
}

function minimumFault(
  type: string,
  name: string,
  bound: string,
  requests: Amounts,
  limits: Amounts,
): string | undefined {
  const head = `minimum ${name} usage per ${type} is ${bound}`;
  const least = exact(bound).nano;
  const request = requests.get(name);
  const limit = limits.get(name);
  if (!request) return `${head}.  No request is specified`;
  if (request.nano < least) return `${head}, but request is ${formatExact(request)}`;
  return limit && limit.nano < least ? `${head}, but limit is ${formatExact(limit)}` : undefined;
}

function maximumFault(
  type: string,
  name: string,
  bound: string,
  requests: Amounts,
  limits: Amounts,
): string | undefined {
  const head = `maximum ${name} usage per ${type} is ${bound}`;
  const most = exact(bound).nano;
  const request = requests.get(name);
  const limit = limits.get(name);
  if (!limit) return `${head}.  No limit is specified`;
  if (limit.nano > most) return `${head}, but limit is ${formatExact(limit)}`;
  return request && request.nano > most ? `${head}, but request is ${formatExact(request)}` : undefined;
}

function ratioFault(
  type: string,
  name: string,
  bound: string,
  requests: Amounts,
  limits: Amounts,
): string | undefined {
  const head = `${name} max limit to request ratio per ${type} is ${bound}`;
  const isZero = (value: ExactQuantity | undefined): boolean => !value || value.nano === 0n;
  const request = requests.get(name);
  const limit = limits.get(name);
  if (!request || isZero(request)) return `${head}, but no request is specified or request is 0`;
  if (!limit || isZero(limit)) return `${head}, but no limit is specified or limit is 0`;
  // limit / request > bound, without dividing.
  if (limit.nano * one <= exact(bound).nano * request.nano) return undefined;
  const ratio = Number(limit.nano) / Number(request.nano);
  return `${head}, but provided ratio is ${ratio.toFixed(6)}`;
}
