/** Pods get the number of their priority class; there is one default class at most (kubernetes plugin/pkg/admission/priority). */
import type { KubeObject } from '../../../api/object.ts';
import type { Pod } from '../../../api/pods.ts';
import { pods } from '../../../api/kubernetes/pods.ts';
import { priorityClasses, type PriorityClass } from '../../../api/kubernetes/priority-classes.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import type { AdmissionAttributes, AdmissionPlugin } from '../service/admission-plugin.ts';
import { forbidden } from '../service/errors.ts';

const isOf = (def: ResourceDef, wanted: ResourceDef): boolean =>
  def.group === wanted.group && def.plural === wanted.plural;

export const priority: AdmissionPlugin = {
  name: 'Priority',
  mutate(attributes) {
    const { def, subresource, operation, object, old } = attributes;
    if (!isOf(def, pods) || subresource || !object) return;
    const spec = podSpec(object);
    if (!spec) return;
    if (operation === 'CREATE') return setPriority(attributes, spec);
    // Set on creation and immutable since: clients that send the pod without it mean no change.
    const before = podSpec(old);
    if (before?.priority !== undefined) spec.priority ??= before.priority;
    if (before?.preemptionPolicy !== undefined) spec.preemptionPolicy ??= before.preemptionPolicy;
  },
  validate(attributes) {
    const { def, operation, object, stored, name } = attributes;
    if (operation === 'DELETE' || !isOf(def, priorityClasses) || !object) return;
    if (!(object as unknown as PriorityClass).globalDefault) return;
    const other = defaultClass(stored(priorityClasses));
    if (!other || other.metadata.name === name) return;
    const why = `PriorityClass ${other.metadata.name} is already marked as default. Only one default can exist`;
    throw forbidden(def, name, why);
  },
};

function podSpec(object: KubeObject | undefined): Pod['spec'] {
  const pod: Pod | undefined = object;
  return pod?.spec;
}

function setPriority({ def, name, stored }: AdmissionAttributes, spec: NonNullable<Pod['spec']>): void {
  const chosen = spec.priorityClassName
    ? classNamed(stored(priorityClasses), spec.priorityClassName)
    : defaultClass(stored(priorityClasses));
  if (!chosen && spec.priorityClassName) {
    throw forbidden(def, name, `no PriorityClass with name ${spec.priorityClassName} was found`);
  }
  const value = chosen?.value ?? 0;
  const policy = chosen?.preemptionPolicy ?? 'PreemptLowerPriority';
  if (spec.priority !== undefined && spec.priority !== value) {
    throw forbidden(
      def,
      name,
      `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`,
    );
  }
  if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== policy) {
    throw forbidden(
      def,
      name,
      `the string value of PreemptionPolicy (${spec.preemptionPolicy}) must not be provided in pod spec; priority admission controller computed ${policy} from the given PriorityClass name`,
    );
  }
  if (chosen) spec.priorityClassName = chosen.metadata.name;
  spec.priority = value;
  spec.preemptionPolicy = policy;
}

function classNamed(classes: Iterable<PriorityClass>, name: string): PriorityClass | undefined {
  for (const item of classes) if (item.metadata.name === name) return item;
  return undefined;
}

/** Of several, which only races of other servers can leave, the least important one. */
function defaultClass(classes: Iterable<PriorityClass>): PriorityClass | undefined {
  let found: PriorityClass | undefined;
  for (const item of classes) {
    if (item.globalDefault && (!found || (item.value ?? 0) < (found.value ?? 0))) found = item;
  }
  return found;
}
