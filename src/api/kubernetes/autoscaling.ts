/** HorizontalPodAutoscaler: autoscaling/v2, which is stored, and autoscaling/v1. */
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { UntypedObject } from '../object.ts';
import type { Conversion, Issue, ResourceDef } from '../resource.ts';
import { fromV1, toV1, type HorizontalPodAutoscalerV1 } from './autoscaling-conversion.ts';
import {
  defaultBehavior,
  defaultMetric,
  type HorizontalPodAutoscaler,
  type MetricSpec,
  type MetricStatus,
  type MetricTarget,
  type ScalingRules,
} from './autoscaling-defaults.ts';
import { ageColumn, ageOf, column, integerColumn } from './cells.ts';
import { kubernetesResource } from './define.ts';
import { parseQuantity } from './quantity.ts';

const maxStabilizationSeconds = 3600;
const maxPeriodSeconds = 1800;

function metricTarget(metric: MetricSpec): MetricTarget | undefined {
  const { resource, containerResource, pods, object, external } = metric;
  return (resource ?? containerResource ?? pods ?? object ?? external)?.target;
}

function currentOf(status: MetricStatus | undefined): KubernetesTypes['autoscaling.v2.MetricValueStatus'] {
  const { resource, containerResource, pods, object, external } = status ?? {};
  return (resource ?? containerResource ?? pods ?? object ?? external)?.current ?? {};
}

function formatMetric(metric: MetricSpec, status: MetricStatus | undefined): string {
  const target = metricTarget(metric);
  const current = currentOf(status);
  const unknown = '<unknown>';
  const { averageValue, averageUtilization, value } = target ?? {};
  switch (metric.type) {
    case 'Pods':
      return `${current.averageValue ?? unknown}/${averageValue}`;
    case 'Object':
    case 'External':
      return averageValue === undefined
        ? `${current.value ?? unknown}/${value}`
        : `${current.averageValue ?? unknown}/${averageValue} (avg)`;
    case 'Resource':
    case 'ContainerResource': {
      const name = metric.resource?.name ?? metric.containerResource?.name ?? '';
      if (averageValue !== undefined) return `${name}: ${current.averageValue ?? unknown}/${averageValue}`;
      const found = current.averageUtilization === undefined ? unknown : `${current.averageUtilization}%`;
      const wanted = averageUtilization === undefined ? '<auto>' : `${averageUtilization}%`;
      return `${name}: ${found}/${wanted}`;
    }
    default:
      return '<unknown type>';
  }
}

const shownMetrics = 2;

function formatMetrics(hpa: HorizontalPodAutoscaler): string {
  const metrics = hpa.spec?.metrics ?? [];
  if (metrics.length === 0) return '<none>';
  const texts = metrics.map((metric, i) => formatMetric(metric, hpa.status?.currentMetrics?.[i]));
  const shown = texts.slice(0, shownMetrics).join(', ');
  return texts.length > shownMetrics ? `${shown} + ${texts.length - shownMetrics} more...` : shown;
}

const hpaColumns = [
  column('Reference'),
  column('Targets'),
  column('MinPods'),
  column('MaxPods'),
  integerColumn('Replicas'),
  ageColumn,
];

/** The row of {@link hpaColumns}. */
function hpaCells(hpa: HorizontalPodAutoscaler, now: number): (string | number)[] {
  const { spec, status } = hpa;
  return [
    `${spec?.scaleTargetRef?.kind}/${spec?.scaleTargetRef?.name}`,
    formatMetrics(hpa),
    String(spec?.minReplicas ?? '<unset>'),
    String(spec?.maxReplicas ?? ''),
    status?.currentReplicas ?? 0,
    ageOf(hpa, now),
  ];
}

class Faults {
  readonly issues: Issue[] = [];
  required(path: string, detail: string): void {
    this.issues.push({ type: 'Required', path, detail });
  }
  invalid(path: string, value: unknown, detail: string): void {
    this.issues.push({ type: 'Invalid', path, value, detail });
  }
  forbidden(path: string, detail: string): void {
    this.issues.push({ type: 'Forbidden', path, detail });
  }
  oneOf(path: string, value: string | undefined, supported: readonly string[]): void {
    if (value !== undefined && supported.includes(value)) return;
    const names = supported.map((name) => JSON.stringify(name)).join(', ');
    this.issues.push({
      type: 'NotSupported',
      path,
      value: value ?? '',
      detail: `supported values: ${names}`,
    });
  }
}

/** kubernetes pkg/apis/autoscaling/validation. */
function hpaIssues(hpa: HorizontalPodAutoscaler): readonly Issue[] {
  const faults = new Faults();
  const { spec } = hpa;
  const { minReplicas, scaleTargetRef } = spec ?? {};
  const maxReplicas = spec?.maxReplicas ?? 0;
  if (minReplicas !== undefined && minReplicas < 1) {
    faults.invalid('spec.minReplicas', minReplicas, 'must be greater than or equal to 1');
  }
  if (maxReplicas < 1) faults.invalid('spec.maxReplicas', maxReplicas, 'must be greater than 0');
  if (minReplicas !== undefined && maxReplicas < minReplicas) {
    faults.invalid('spec.maxReplicas', maxReplicas, 'must be greater than or equal to `minReplicas`');
  }
  if (!scaleTargetRef?.kind) faults.required('spec.scaleTargetRef.kind', '');
  if (!scaleTargetRef?.name) faults.required('spec.scaleTargetRef.name', '');
  for (const [i, metric] of (spec?.metrics ?? []).entries())
    checkMetric(faults, metric, `spec.metrics[${i}]`);
  const { scaleUp, scaleDown } = spec?.behavior ?? {};
  if (scaleUp) checkRules(faults, scaleUp, 'spec.behavior.scaleUp');
  if (scaleDown) checkRules(faults, scaleDown, 'spec.behavior.scaleDown');
  return faults.issues;
}

const sources = {
  ContainerResource: 'containerResource',
  External: 'external',
  Object: 'object',
  Pods: 'pods',
  Resource: 'resource',
} as const;

function isSourceType(type: string): type is keyof typeof sources {
  return Object.hasOwn(sources, type);
}

function checkMetric(faults: Faults, metric: MetricSpec, at: string): void {
  if (!metric.type) return faults.required(`${at}.type`, 'must specify a metric source type');
  if (!isSourceType(metric.type)) return faults.oneOf(`${at}.type`, metric.type, Object.keys(sources));
  const expected = sources[metric.type];
  if (!metric[expected]) {
    faults.required(`${at}.${expected}`, 'must populate information for the given metric source');
  }
  for (const other of Object.values(sources)) {
    if (other !== expected && metric[other]) {
      faults.forbidden(`${at}.${other}`, 'must populate the given metric source only');
    }
  }
  if (metric[expected]) checkSource(faults, metric, `${at}.${expected}`);
}

function checkSource(faults: Faults, metric: MetricSpec, at: string): void {
  const target = metricTarget(metric);
  const resource = metric.resource ?? metric.containerResource;
  if (resource) {
    if (!resource.name) faults.required(`${at}.name`, 'must specify a resource name');
    if (metric.containerResource && !metric.containerResource.container) {
      faults.required(`${at}.container`, 'must specify a container');
    }
    checkTarget(faults, target, `${at}.target`);
    if (target?.averageUtilization === undefined && target?.averageValue === undefined) {
      faults.required(
        `${at}.target.averageUtilization`,
        'must set either a target raw value or a target utilization',
      );
    }
    if (target?.averageUtilization !== undefined && target.averageValue !== undefined) {
      faults.forbidden(
        `${at}.target.averageValue`,
        'may not set both a target raw value and a target utilization',
      );
    }
    return;
  }
  const named = metric.pods ?? metric.object ?? metric.external;
  if (!named?.metric?.name) faults.required(`${at}.metric.name`, 'must specify a metric name');
  checkTarget(faults, target, `${at}.target`);
  if (metric.pods && target?.averageValue === undefined) {
    faults.required(`${at}.target.averageValue`, 'must specify a positive target averageValue');
  } else if (!metric.pods && target?.averageValue === undefined && target?.value === undefined) {
    faults.required(`${at}.target.averageValue`, 'must set either a target value or averageValue');
  }
}

function checkTarget(faults: Faults, target: MetricTarget | undefined, at: string): void {
  if (!target) return faults.required(at, '');
  if (!target.type) faults.required(`${at}.type`, 'must specify a metric target type');
  else if (!['AverageValue', 'Utilization', 'Value'].includes(target.type)) {
    faults.invalid(`${at}.type`, target.type, 'must be either Utilization, Value, or AverageValue');
  }
  if (target.averageUtilization !== undefined && target.averageUtilization < 1) {
    faults.invalid(`${at}.averageUtilization`, target.averageUtilization, 'must be greater than 0');
  }
  for (const member of ['value', 'averageValue'] as const) {
    const text = target[member];
    if (text !== undefined && (parseQuantity(text) ?? 0) <= 0) {
      faults.invalid(`${at}.${member}`, text, 'must be positive');
    }
  }
}

function checkRules(faults: Faults, rules: ScalingRules, at: string): void {
  const seconds = rules.stabilizationWindowSeconds;
  if (seconds !== undefined && seconds < 0) {
    faults.invalid(`${at}.stabilizationWindowSeconds`, seconds, 'must be greater than or equal to zero');
  }
  if (seconds !== undefined && seconds > maxStabilizationSeconds) {
    const detail = `must be less than or equal to ${maxStabilizationSeconds}`;
    faults.invalid(`${at}.stabilizationWindowSeconds`, seconds, detail);
  }
  if (rules.selectPolicy !== undefined) {
    faults.oneOf(`${at}.selectPolicy`, rules.selectPolicy, ['Disabled', 'Max', 'Min']);
  }
  if (rules.tolerance !== undefined && (parseQuantity(rules.tolerance) ?? -1) < 0) {
    faults.invalid(`${at}.tolerance`, rules.tolerance, 'must be greater or equal to 0');
  }
  if (!rules.policies?.length) faults.required(`${at}.policies`, 'must specify at least one Policy');
  for (const [i, policy] of (rules.policies ?? []).entries()) {
    const path = `${at}.policies[${i}]`;
    faults.oneOf(`${path}.type`, policy.type, ['Percent', 'Pods']);
    if (policy.value <= 0) faults.invalid(`${path}.value`, policy.value, 'must be greater than zero');
    if (policy.periodSeconds <= 0) {
      faults.invalid(`${path}.periodSeconds`, policy.periodSeconds, 'must be greater than zero');
    } else if (policy.periodSeconds > maxPeriodSeconds) {
      const detail = `must be less than or equal to ${maxPeriodSeconds}`;
      faults.invalid(`${path}.periodSeconds`, policy.periodSeconds, detail);
    }
  }
}

/** autoscaling/v1 is kept as v2: all that it lacks travels in annotations. */
const conversion: Conversion = {
  stored: () => horizontalPodAutoscalers,
  convert: (objects, to) => objects.map((object) => structuredClone(inVersion(object, to))),
};

function inVersion(object: UntypedObject, to: ResourceDef): UntypedObject {
  const isV1 = object.apiVersion === 'autoscaling/v1';
  if (isV1 === (to.version === 'v1')) return object;
  const converted = isV1
    ? fromV1(object as unknown as HorizontalPodAutoscalerV1)
    : toV1(object as unknown as HorizontalPodAutoscaler);
  return converted as unknown as UntypedObject;
}

export const horizontalPodAutoscalers = kubernetesResource('autoscaling.v2.HorizontalPodAutoscaler', {
  group: 'autoscaling',
  plural: 'horizontalpodautoscalers',
  shortNames: ['hpa'],
  categories: ['all'],
  subresources: { status: true },
  tracksGeneration: false,
  columns: hpaColumns,
  cells: hpaCells,
  mutate(hpa) {
    const { spec } = hpa;
    if (!spec) return;
    spec.minReplicas ??= 1;
    if (!spec.metrics?.length) spec.metrics = [defaultMetric()];
    if (spec.behavior) defaultBehavior(spec.behavior);
  },
  issues: hpaIssues,
  conversion,
});

export const horizontalPodAutoscalersV1 = kubernetesResource('autoscaling.v1.HorizontalPodAutoscaler', {
  group: 'autoscaling',
  plural: 'horizontalpodautoscalers',
  shortNames: ['hpa'],
  categories: ['all'],
  subresources: { status: true },
  tracksGeneration: false,
  columns: hpaColumns,
  cells: (hpa, now) => hpaCells(fromV1(hpa), now),
  mutate(hpa) {
    if (hpa.spec) hpa.spec.minReplicas ??= 1;
  },
  issues: (hpa) => hpaIssues(fromV1(hpa)),
  conversion,
});
