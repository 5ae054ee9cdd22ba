/**
 * Defaults of CustomResourceDefinitions, and their status. The status is decided in the write that brings the definition:
 * what is accepted is served as soon as it is stored, so there is no moment at which one is true and the other not.
 */
import { deepEqual } from '../../../base/json.ts';
import { timestamp } from '../../../api/object.ts';
import {
  storageVersion,
  type Definition,
  type DefinitionCondition,
  type DefinitionNames,
} from './definition.ts';

/** Fills in what apiextensions.k8s.io/v1 defaults. In place. */
export function defaultDefinition(definition: Definition): void {
  const { spec } = definition;
  if (spec?.names) {
    spec.names.singular ||= (spec.names.kind ?? '').toLowerCase();
    spec.names.listKind ||= `${spec.names.kind ?? ''}List`;
  }
  if (!spec) return;
  spec.conversion ??= { strategy: 'None' };
  const service = spec.conversion.webhook?.clientConfig?.service;
  if (service) service.port ??= 443;
  // The only value that v1 allows is not written down.
  if (spec.preserveUnknownFields === false) delete spec.preserveUnknownFields;
}

/** Names that are taken in a group, by whom. */
export interface TakenNames {
  /** Plurals, singulars and short names. */
  readonly resources: ReadonlyMap<string, string>;
  /** Kinds and list kinds. */
  readonly kinds: ReadonlyMap<string, string>;
}

/** What the names of a definition run into, by member of `spec.names`; the first that counts is reported. */
function conflictOf(
  names: DefinitionNames,
  taken: TakenNames,
): { reason: string; message: string } | undefined {
  const inUse = (text: string): string => `${JSON.stringify(text)} is already in use`;
  const { plural, singular = '', shortNames = [], kind, listKind = '' } = names;
  if (taken.resources.has(plural)) return { reason: 'PluralConflict', message: inUse(plural) };
  if (taken.resources.has(singular)) return { reason: 'SingularConflict', message: inUse(singular) };
  const short = shortNames.find((name) => taken.resources.has(name));
  if (short !== undefined) return { reason: 'ShortNamesConflict', message: inUse(short) };
  if (taken.kinds.has(kind)) return { reason: 'KindConflict', message: inUse(kind) };
  if (taken.kinds.has(listKind)) return { reason: 'ListKindConflict', message: inUse(listKind) };
  return undefined;
}

/**
 * The status after a write: names accepted or not, established, versions that were ever stored. In place.
 * `now` is milliseconds since the epoch.
 */
export function updateStatus(definition: Definition, taken: TakenNames, now: number): void {
  const { spec } = definition;
  const names: DefinitionNames = spec.names;
  const status = { ...definition.status };
  definition.status = status;
  const conditions = [...(status.conditions ?? [])];
  status.conditions = conditions;
  const conflict = conflictOf(names, taken);
  if (conflict) {
    setCondition(conditions, { type: 'NamesAccepted', status: 'False', ...conflict }, now);
    status.acceptedNames ??= { plural: '', kind: '' };
  } else {
    const message = 'no conflicts found';
    setCondition(conditions, { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts', message }, now);
    status.acceptedNames = structuredClone(names);
  }
  // What was established once stays so: objects may exist.
  const established = conditions.some((c) => c.type === 'Established' && c.status === 'True');
  if (!established) {
    setCondition(
      conditions,
      conflict
        ? {
            type: 'Established',
            status: 'False',
            reason: 'NotAccepted',
            message: 'not all names are accepted',
          }
        : {
            type: 'Established',
            status: 'True',
            reason: 'InitialNamesAccepted',
            message: 'the initial names have been accepted',
          },
      now,
    );
  }
  setApproval(definition, conditions, now);
  const storage = storageVersion(definition)?.name;
  const stored = status.storedVersions ?? [];
  status.storedVersions =
    storage === undefined || stored.includes(storage) ? [...stored] : [...stored, storage];
}

/** Groups of the Kubernetes project show who has approved the definition. */
function setApproval(definition: Definition, conditions: DefinitionCondition[], now: number): void {
  if (!/(^|\.)(k8s|kubernetes)\.io$/.test(definition.spec.group)) return;
  const approval = definition.metadata.annotations?.['api-approved.kubernetes.io'] ?? '';
  const isApproved = URL.canParse(approval);
  setCondition(
    conditions,
    isApproved
      ? {
          type: 'KubernetesAPIApprovalPolicyConformant',
          status: 'True',
          reason: 'ApprovedAnnotation',
          message: `approved in ${approval}`,
        }
      : {
          type: 'KubernetesAPIApprovalPolicyConformant',
          status: 'False',
          reason: 'UnapprovedAnnotation',
          message: `not approved: ${JSON.stringify(approval)}`,
        },
    now,
  );
}

/** Sets a condition; its transition time moves only with its status. In place. */
export function setCondition(
  conditions: DefinitionCondition[],
  condition: DefinitionCondition,
  now: number,
): void {
  const at = conditions.findIndex(({ type }) => type === condition.type);
  const before = conditions[at];
  const lastTransitionTime =
    before?.status === condition.status && before.lastTransitionTime
      ? before.lastTransitionTime
      : timestamp(now);
  const next = { lastTransitionTime, ...condition };
  if (at < 0) conditions.push(next);
  else if (!deepEqual(before, next)) conditions[at] = next;
}
