/** LimitRange: bounds and defaults of what one container, pod or claim may ask for. */
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { Issue } from '../resource.ts';
import { column, nameColumn } from './cells.ts';
import { kubernetesResource, type KubernetesObject } from './define.ts';
import { exact, one, parseExact } from './exact-quantity.ts';
import { labelKeyFault } from './names.ts';

export type LimitRange = KubernetesObject<'core.v1.LimitRange'>;
export type LimitRangeItem = KubernetesTypes['core.v1.LimitRangeItem'];

/** Defaults of container limits follow from its bounds (kubernetes `SetDefaults_LimitRangeItem`). */
function fillItem(item: LimitRangeItem): void {
  if (item.type !== 'Container') return;
  const limits = { ...item.max, ...item.default };
  const requests = { ...item.min, ...limits, ...item.defaultRequest };
  if (Object.keys(limits).length > 0) item.default = limits;
  if (Object.keys(requests).length > 0) item.defaultRequest = requests;
}

const lists = ['max', 'min', 'default', 'defaultRequest', 'maxLimitRequestRatio'] as const;

function itemIssues(item: LimitRangeItem, path: string): Issue[] {
  const issues: Issue[] = [];
  const fault = item.type ? labelKeyFault(item.type) : undefined;
  if (fault) issues.push({ type: 'Invalid', path: `${path}.type`, value: item.type, detail: fault });
  for (const list of lists) {
    for (const [name, value] of Object.entries(item[list] ?? {})) {
      const at = `${path}.${list}[${name}]`;
      if (!parseExact(value)) {
        const detail =
          "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
        issues.push({ type: 'Invalid', path: at, value, detail });
      }
      const nameFault = labelKeyFault(name);
      if (nameFault) issues.push({ type: 'Invalid', path: at, value: name, detail: nameFault });
    }
  }
  if (item.type === 'Pod') {
    for (const list of ['default', 'defaultRequest'] as const) {
      if (Object.keys(item[list] ?? {}).length === 0) continue;
      const detail = "may not be specified when `type` is 'Pod'";
      issues.push({ type: 'Forbidden', path: `${path}.${list}`, detail });
    }
  }
  if (item.type === 'PersistentVolumeClaim' && !item.min?.['storage'] && !item.max?.['storage']) {
    const detail = 'either minimum or maximum storage value is required, but neither was provided';
    issues.push({ type: 'Required', path, detail });
  }
  const names = new Set(lists.flatMap((list) => Object.keys(item[list] ?? {})));
  return [...issues, ...[...names].sort().flatMap((name) => orderIssues(item, name, path))];
}

/** Bounds and defaults of one resource must be in order: min ≤ default request ≤ default ≤ max. */
function orderIssues(item: LimitRangeItem, name: string, path: string): Issue[] {
  const issues: Issue[] = [];
  const words = {
    min: 'min value',
    max: 'max value',
    default: 'default value',
    defaultRequest: 'default request value',
  } as const;
  type Bound = keyof typeof words;
  const compare = (low: Bound, high: Bound, at: Bound, text?: (a: string, b: string) => string): void => {
    const a = item[low]?.[name];
    const b = item[high]?.[name];
    if (a === undefined || b === undefined || exact(a).nano <= exact(b).nano) return;
    const detail = text?.(a, b) ?? `${words[low]} ${a} is greater than ${words[high]} ${b}`;
    issues.push({ type: 'Invalid', path: `${path}.${at}[${name}]`, value: item[at]?.[name], detail });
  };
  compare('min', 'max', 'min');
  compare('min', 'defaultRequest', 'defaultRequest');
  compare('defaultRequest', 'max', 'defaultRequest');
  compare(
    'defaultRequest',
    'default',
    'defaultRequest',
    (request, limit) => `default request value ${request} is greater than default limit value ${limit}`,
  );
  compare('min', 'default', 'default');
  compare('default', 'max', 'default');
  const ratio = item.maxLimitRequestRatio?.[name];
  if (ratio === undefined) return issues;
  const at = `${path}.maxLimitRequestRatio[${name}]`;
  if (exact(ratio).nano < one) {
    issues.push({ type: 'Invalid', path: at, value: ratio, detail: `ratio ${ratio} is less than 1` });
  }
  const low = item.min?.[name];
  const high = item.max?.[name];
  if (low !== undefined && high !== undefined && exact(low).nano > 0n) {
    const most = Number(exact(high).nano) / Number(exact(low).nano);
    if (Number(exact(ratio).nano) / Number(one) > most) {
      const detail = `ratio ${ratio} is greater than max/min = ${most.toFixed(6)}`;
      issues.push({ type: 'Invalid', path: at, value: ratio, detail });
    }
  }
  return issues;
}

export const limitRanges = kubernetesResource('core.v1.LimitRange', {
  plural: 'limitranges',
  shortNames: ['limits'],
  tracksGeneration: false,
  columns: [nameColumn, column('Created At')],
  cells: (range) => [range.metadata.name, range.metadata.creationTimestamp ?? ''],
  mutate: (range) => range.spec?.limits?.forEach(fillItem),
  issues(range) {
    const seen = new Set<string>();
    return (range.spec?.limits ?? []).flatMap((item, i) => {
      const path = `spec.limits[${i}]`;
      const issues = itemIssues(item, path);
      if (seen.has(item.type))
        issues.push({ type: 'Duplicate', path: `${path}.type`, value: item.type, detail: '' });
      seen.add(item.type);
      return issues;
    });
  },
});
