/**
 * autoscaling/v1 of HorizontalPodAutoscaler: the same objects as v2, where all that v1 has no field for travels in
 * annotations (kubernetes pkg/apis/autoscaling/v1 conversion).
 */
import { isMembers } from '../structural-members.ts';
import {
  defaultMetric,
  type HorizontalPodAutoscaler,
  type HpaBehavior,
  type MetricSpec,
  type MetricStatus,
  type ScalingRules,
} from './autoscaling-defaults.ts';
import type { KubernetesObject } from './define.ts';

export type HorizontalPodAutoscalerV1 = KubernetesObject<'autoscaling.v1.HorizontalPodAutoscaler'>;

const prefix = 'autoscaling.alpha.kubernetes.io/';
const annotations = {
  metrics: `${prefix}metrics`,
  currentMetrics: `${prefix}current-metrics`,
  conditions: `${prefix}conditions`,
  behavior: `${prefix}behavior`,
} as const;

type Members = Record<string, unknown>;

/** CPU as a share of what was asked for: the one metric that v1 has a field for. */
function isCpuUtilization({ type, resource }: MetricSpec): boolean {
  return type === 'Resource' && resource?.name === 'cpu' && resource.target.averageUtilization !== undefined;
}

/** The v1 form of a v2 object. Pure; shares members with it. */
export function toV1(hpa: HorizontalPodAutoscaler): HorizontalPodAutoscalerV1 {
  const { spec, status, metadata } = hpa;
  const metrics = spec?.metrics ?? [];
  const cpu = metrics.findLast(isCpuUtilization)?.resource?.target.averageUtilization;
  const others = metrics.filter((metric) => !isCpuUtilization(metric)).map(metricToV1);
  const encoded: Record<string, string> = {
    ...(others.length > 0 ? { [annotations.metrics]: JSON.stringify(others) } : {}),
    ...(status?.currentMetrics?.length
      ? { [annotations.currentMetrics]: JSON.stringify(status.currentMetrics.map(statusToV1)) }
      : {}),
    ...(status?.conditions?.length ? { [annotations.conditions]: JSON.stringify(status.conditions) } : {}),
    ...(spec?.behavior ? { [annotations.behavior]: JSON.stringify(behaviorToV1(spec.behavior)) } : {}),
  };
  const kept = { ...withoutEncoded(metadata.annotations), ...encoded };
  const { annotations: _, ...rest } = metadata;
  const currentCpu = status?.currentMetrics?.find(({ resource }) => resource?.name === 'cpu')?.resource
    ?.current.averageUtilization;
  return {
    apiVersion: 'autoscaling/v1',
    kind: 'HorizontalPodAutoscaler',
    metadata: { ...rest, ...(Object.keys(kept).length > 0 ? { annotations: kept } : {}) },
    spec: {
      scaleTargetRef: spec?.scaleTargetRef ?? { kind: '', name: '' },
      ...(spec?.minReplicas === undefined ? {} : { minReplicas: spec.minReplicas }),
      maxReplicas: spec?.maxReplicas ?? 0,
      ...(cpu === undefined ? {} : { targetCPUUtilizationPercentage: cpu }),
    },
    ...(status
      ? {
          status: {
            ...(status.observedGeneration === undefined
              ? {}
              : { observedGeneration: status.observedGeneration }),
            ...(status.lastScaleTime === undefined ? {} : { lastScaleTime: status.lastScaleTime }),
            currentReplicas: status.currentReplicas ?? 0,
            desiredReplicas: status.desiredReplicas,
            ...(currentCpu === undefined ? {} : { currentCPUUtilizationPercentage: currentCpu }),
          },
        }
      : {}),
  };
}

/** The v2 form of a v1 object. Annotations that do not parse are left out, as upstream does. */
export function fromV1(hpa: HorizontalPodAutoscalerV1): HorizontalPodAutoscaler {
  const { spec, status, metadata } = hpa;
  const read = (name: string): unknown => parse(metadata.annotations?.[name]);
  const cpu = spec?.targetCPUUtilizationPercentage;
  const others = list(read(annotations.metrics)).map(metricFromV1);
  const first =
    cpu === undefined
      ? []
      : [
          {
            type: 'Resource',
            resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: cpu } },
          },
        ];
  const metrics = [...first, ...others];
  const behavior = read(annotations.behavior);
  const currentMetrics = list(read(annotations.currentMetrics)).map(statusFromV1);
  const conditions = list(read(annotations.conditions)) as NonNullable<
    HorizontalPodAutoscaler['status']
  >['conditions'];
  const kept = withoutEncoded(metadata.annotations);
  const { annotations: _, ...rest } = metadata;
  return {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: { ...rest, ...(Object.keys(kept).length > 0 ? { annotations: kept } : {}) },
    spec: {
      scaleTargetRef: spec?.scaleTargetRef ?? { kind: '', name: '' },
      ...(spec?.minReplicas === undefined ? {} : { minReplicas: spec.minReplicas }),
      maxReplicas: spec?.maxReplicas ?? 0,
      metrics: metrics.length > 0 ? metrics : [defaultMetric()],
      ...(isMembers(behavior) ? { behavior: behaviorFromV1(behavior) } : {}),
    },
    ...(status
      ? {
          status: {
            ...(status.observedGeneration === undefined
              ? {}
              : { observedGeneration: status.observedGeneration }),
            ...(status.lastScaleTime === undefined ? {} : { lastScaleTime: status.lastScaleTime }),
            currentReplicas: status.currentReplicas,
            desiredReplicas: status.desiredReplicas,
            ...(currentMetrics.length > 0 ? { currentMetrics } : {}),
            ...(conditions?.length ? { conditions } : {}),
          },
        }
      : {}),
  };
}

function withoutEncoded(all: { readonly [key: string]: string } | undefined): Record<string, string> {
  const own: readonly string[] = Object.values(annotations);
  return Object.fromEntries(Object.entries(all ?? {}).filter(([name]) => !own.includes(name)));
}

function parse(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function list(value: unknown): Members[] {
  return Array.isArray(value) ? value.filter(isMembers) : [];
}

/** Drops undefined members. */
function compact(members: Members): Members {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

/** In v1's own words targets are flat: `targetAverageValue` and so on. */
function metricToV1(metric: MetricSpec): Members {
  const { type, resource, containerResource, pods, object, external } = metric;
  const ofResource = (source: NonNullable<typeof resource>): Members => ({
    name: source.name,
    targetAverageUtilization: source.target.averageUtilization,
    targetAverageValue: source.target.averageValue,
  });
  return compact({
    type,
    resource: resource && compact(ofResource(resource)),
    containerResource:
      containerResource &&
      compact({ ...ofResource(containerResource), container: containerResource.container }),
    pods:
      pods &&
      compact({
        metricName: pods.metric.name,
        targetAverageValue: pods.target.averageValue,
        selector: pods.metric.selector,
      }),
    object:
      object &&
      compact({
        target: object.describedObject,
        metricName: object.metric.name,
        targetValue: object.target.value,
        selector: object.metric.selector,
        averageValue: object.target.averageValue,
      }),
    external:
      external &&
      compact({
        metricName: external.metric.name,
        metricSelector: external.metric.selector,
        targetValue: external.target.value,
        targetAverageValue: external.target.averageValue,
      }),
  });
}

function metricFromV1(metric: Members): MetricSpec {
  const { type, resource, containerResource, pods, object, external } = metric;
  const target = (value: unknown, averageValue: unknown, averageUtilization: unknown): Members =>
    compact({
      type:
        averageUtilization === undefined
          ? averageValue === undefined
            ? 'Value'
            : 'AverageValue'
          : 'Utilization',
      value,
      averageValue,
      averageUtilization,
    });
  const ofResource = (source: Members): Members => ({
    name: source['name'],
    target: target(undefined, source['targetAverageValue'], source['targetAverageUtilization']),
  });
  const out = compact({
    type,
    resource: isMembers(resource) ? ofResource(resource) : undefined,
    containerResource: isMembers(containerResource)
      ? { ...ofResource(containerResource), container: containerResource['container'] }
      : undefined,
    pods: isMembers(pods)
      ? {
          metric: compact({ name: pods['metricName'], selector: pods['selector'] }),
          target: target(undefined, pods['targetAverageValue'], undefined),
        }
      : undefined,
    object: isMembers(object)
      ? {
          describedObject: object['target'],
          metric: compact({ name: object['metricName'], selector: object['selector'] }),
          target: target(
            object['averageValue'] === undefined ? object['targetValue'] : undefined,
            object['averageValue'],
            undefined,
          ),
        }
      : undefined,
    external: isMembers(external)
      ? {
          metric: compact({ name: external['metricName'], selector: external['metricSelector'] }),
          target: target(external['targetValue'], external['targetAverageValue'], undefined),
        }
      : undefined,
  });
  return out as unknown as MetricSpec;
}

function statusToV1(status: MetricStatus): Members {
  const { type, resource, containerResource, pods, object, external } = status;
  const ofResource = (source: NonNullable<typeof resource>): Members => ({
    name: source.name,
    currentAverageUtilization: source.current.averageUtilization,
    currentAverageValue: source.current.averageValue,
  });
  return compact({
    type,
    resource: resource && compact(ofResource(resource)),
    containerResource:
      containerResource &&
      compact({ ...ofResource(containerResource), container: containerResource.container }),
    pods: pods && compact({ metricName: pods.metric.name, currentAverageValue: pods.current.averageValue }),
    object:
      object &&
      compact({
        target: object.describedObject,
        metricName: object.metric.name,
        currentValue: object.current.value,
        averageValue: object.current.averageValue,
      }),
    external:
      external &&
      compact({
        metricName: external.metric.name,
        currentValue: external.current.value,
        currentAverageValue: external.current.averageValue,
      }),
  });
}

function statusFromV1(status: Members): MetricStatus {
  const { type, resource, containerResource, pods, object, external } = status;
  const current = (value: unknown, averageValue: unknown, averageUtilization: unknown): Members =>
    compact({ value, averageValue, averageUtilization });
  const ofResource = (source: Members): Members => ({
    name: source['name'],
    current: current(undefined, source['currentAverageValue'], source['currentAverageUtilization']),
  });
  const named = (source: Members): Members => ({ metric: compact({ name: source['metricName'] }) });
  const out = compact({
    type,
    resource: isMembers(resource) ? ofResource(resource) : undefined,
    containerResource: isMembers(containerResource)
      ? { ...ofResource(containerResource), container: containerResource['container'] }
      : undefined,
    pods: isMembers(pods)
      ? { ...named(pods), current: current(undefined, pods['currentAverageValue'], undefined) }
      : undefined,
    object: isMembers(object)
      ? {
          ...named(object),
          describedObject: object['target'],
          current: current(object['currentValue'], object['averageValue'], undefined),
        }
      : undefined,
    external: isMembers(external)
      ? {
          ...named(external),
          current: current(external['currentValue'], external['currentAverageValue'], undefined),
        }
      : undefined,
  });
  return out as unknown as MetricStatus;
}

/** Upstream's annotation holds its internal type, whose members begin with capitals. */
function behaviorToV1({ scaleUp, scaleDown }: HpaBehavior): Members {
  return { ScaleUp: rulesToV1(scaleUp), ScaleDown: rulesToV1(scaleDown) };
}

function rulesToV1(rules: ScalingRules | undefined): Members | null {
  if (!rules) return null;
  return compact({
    StabilizationWindowSeconds: rules.stabilizationWindowSeconds ?? null,
    SelectPolicy: rules.selectPolicy ?? null,
    Policies: (rules.policies ?? []).map(({ type, value, periodSeconds }) => ({
      Type: type,
      Value: value,
      PeriodSeconds: periodSeconds,
    })),
    Tolerance: rules.tolerance,
  });
}

function behaviorFromV1(behavior: Members): HpaBehavior {
  const up = rulesFromV1(behavior['ScaleUp']);
  const down = rulesFromV1(behavior['ScaleDown']);
  return { ...(up ? { scaleUp: up } : {}), ...(down ? { scaleDown: down } : {}) };
}

function rulesFromV1(rules: unknown): ScalingRules | undefined {
  if (!isMembers(rules)) return undefined;
  return compact({
    stabilizationWindowSeconds: rules['StabilizationWindowSeconds'] ?? undefined,
    selectPolicy: rules['SelectPolicy'] ?? undefined,
    policies: list(rules['Policies']).map((policy) => ({
      type: policy['Type'],
      value: policy['Value'],
      periodSeconds: policy['PeriodSeconds'],
    })),
    tolerance: rules['Tolerance'],
  });
}
