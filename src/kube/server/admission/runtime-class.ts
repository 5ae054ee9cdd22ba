/** Pods get what their RuntimeClass says (kubernetes plugin/pkg/admission/runtimeclass). */
import { deepEqual } from '../../../base/json.ts';
import { pods } from '../../../api/kubernetes/pods.ts';
import { runtimeClasses, type RuntimeClass } from '../../../api/kubernetes/runtime-classes.ts';
import type { Pod } from '../../../api/pods.ts';
import type { AdmissionAttributes, AdmissionPlugin } from '../service/admission-plugin.ts';
import { forbidden } from '../service/errors.ts';

type PodSpec = NonNullable<Pod['spec']>;

export const runtimeClass: AdmissionPlugin = {
  name: 'RuntimeClass',
  mutate(attributes) {
    const { def, subresource, operation, object } = attributes;
    if (operation !== 'CREATE' || subresource || def.group !== pods.group || def.plural !== pods.plural)
      return;
    const pod = object as unknown as Pod | undefined;
    if (!pod?.spec) return;
    const found = classOf(attributes, pod.spec.runtimeClassName);
    setOverhead(attributes, pod.spec, found);
    if (found?.scheduling) setScheduling(attributes, pod.spec, found.scheduling);
  },
};

function refuse({ def, name }: AdmissionAttributes, why: string): never {
  throw forbidden(def, name, `pod rejected: ${why}`);
}

function classOf(attributes: AdmissionAttributes, name: string | undefined): RuntimeClass | undefined {
  if (!name) return undefined;
  for (const one of attributes.stored(runtimeClasses)) if (one.metadata.name === name) return one;
  return refuse(attributes, `RuntimeClass "${name}" not found`);
}

function setOverhead(attributes: AdmissionAttributes, spec: PodSpec, found: RuntimeClass | undefined): void {
  const fixed = found?.overhead?.podFixed;
  if (!fixed) {
    if (spec.overhead && Object.keys(spec.overhead).length > 0) {
      refuse(attributes, 'Pod Overhead set without corresponding RuntimeClass defined Overhead');
    }
    return;
  }
  if (spec.overhead && !deepEqual(spec.overhead, fixed)) {
    refuse(attributes, "Pod's Overhead doesn't match RuntimeClass's defined Overhead");
  }
  spec.overhead = { ...fixed };
}

function setScheduling(
  attributes: AdmissionAttributes,
  spec: PodSpec,
  { nodeSelector, tolerations }: NonNullable<RuntimeClass['scheduling']>,
): void {
  for (const [key, value] of Object.entries(nodeSelector ?? {})) {
    const own = spec.nodeSelector?.[key];
    if (own !== undefined && own !== value) {
      refuse(
        attributes,
        `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`,
      );
    }
    spec.nodeSelector = { ...spec.nodeSelector, [key]: value };
  }
  for (const toleration of tolerations ?? []) {
    if (spec.tolerations?.some((own) => deepEqual(own, toleration))) continue;
    spec.tolerations = [...(spec.tolerations ?? []), { ...toleration }];
  }
}
