/** The Configuration and Route of a Service. */
import { controllerRef } from '../../../api/object.ts';
import { annotations, labels } from '../../../api/serving/labels.ts';
import type { Configuration, KnativeService, Route, TrafficTarget } from '../../../api/serving/index.ts';

/** Without the keys that are `dropped`. */
function without(
  map: Readonly<Record<string, string>> | undefined,
  ...dropped: readonly string[]
): Record<string, string> {
  return Object.fromEntries(Object.entries(map ?? {}).filter(([key]) => !dropped.includes(key)));
}

/** `existing` keeps the annotation that routes write on it. */
export function makeConfiguration(service: KnativeService, existing?: Configuration): Configuration {
  const { name, namespace, uid = '' } = service.metadata;
  const routes = existing?.metadata.annotations?.[annotations.routes];
  return {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Configuration',
    metadata: {
      name,
      ...(namespace ? { namespace } : {}),
      ownerReferences: [controllerRef(service)],
      labels: { ...service.metadata.labels, [labels.service]: name, [labels.serviceUid]: uid },
      annotations: {
        ...without(service.metadata.annotations, annotations.lastApplied, annotations.rolloutDuration),
        ...(routes ? { [annotations.routes]: routes } : {}),
      },
    },
    spec: structuredClone({ template: service.spec?.template ?? {} }),
  };
}

export function makeRoute(service: KnativeService): Route {
  const { name, namespace } = service.metadata;
  return {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Route',
    metadata: {
      name,
      ...(namespace ? { namespace } : {}),
      ownerReferences: [controllerRef(service)],
      labels: { ...service.metadata.labels, [labels.service]: name },
      annotations: without(service.metadata.annotations, annotations.lastApplied),
    },
    spec: { traffic: (service.spec?.traffic ?? []).map((target) => routeTarget(target, name)) },
  };
}

/** A target without a revision means the Service's own Configuration. */
function routeTarget(target: TrafficTarget, configuration: string): TrafficTarget {
  return target.revisionName ? { ...target } : { ...target, configurationName: configuration };
}
