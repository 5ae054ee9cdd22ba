/** The Revision of a Configuration's current template. */
import { controllerRef, timestamp } from '../../../api/object.ts';
import { annotations, labels } from '../../../api/serving/labels.ts';
import type { Configuration, Revision } from '../../../api/serving/index.ts';
import { childName } from '../../../base/names.ts';

/** The chosen name, or `<configuration>-<generation, five digits>`. */
export function revisionName({ metadata, spec }: Configuration): string {
  const number = String(metadata.generation ?? 0).padStart(5, '0');
  return spec?.template?.metadata?.name ?? childName(metadata.name, `-${number}`);
}

/** `now` is ms since the epoch. */
export function makeRevision(configuration: Configuration, now: number): Revision {
  const { name, namespace, uid = '', generation = 0 } = configuration.metadata;
  const parentLabels = configuration.metadata.labels ?? {};
  const template = configuration.spec?.template ?? {};
  const service = parentLabels[labels.service];
  const creator = configuration.metadata.annotations?.[annotations.lastModifier];
  const routes = configuration.metadata.annotations?.[annotations.routes];
  return {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Revision',
    metadata: {
      name: revisionName(configuration),
      ...(namespace ? { namespace } : {}),
      ownerReferences: [controllerRef(configuration)],
      labels: {
        ...template.metadata?.labels,
        [labels.configuration]: name,
        [labels.configurationGeneration]: String(generation),
        [labels.configurationUid]: uid,
        ...(service
          ? { [labels.service]: service, [labels.serviceUid]: parentLabels[labels.serviceUid] ?? '' }
          : {}),
        [labels.routingState]: 'pending',
      },
      annotations: {
        ...template.metadata?.annotations,
        ...(creator ? { [annotations.creator]: creator } : {}),
        ...(routes ? { [annotations.routes]: routes } : {}),
        [annotations.routingStateModified]: timestamp(now),
      },
    },
    spec: structuredClone(template.spec ?? {}),
  };
}
