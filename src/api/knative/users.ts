/** Who made an object and who changed its spec last: annotations that only the API server sets. */
import { deepEqual } from '../../base/json.ts';
import type { KubeObject } from '../object.ts';
import type { AdmissionContext, Issue } from '../resource.ts';
import { fault, invalidValue } from './field-errors.ts';

interface WithSpec extends KubeObject {
  spec?: unknown;
}

/**
 * Sets `<group>/creator` on creation and `<group>/lastModifier` whenever the spec changes
 * (knative.dev/pkg/apis `SetUserInfo`). An object that a controller owns is skipped: its user is the owner's.
 */
export function setUserAnnotations(object: WithSpec, context: AdmissionContext, group: string): void {
  if (object.metadata.ownerReferences?.some((owner) => owner.controller)) return;
  const annotations = (object.metadata.annotations ??= {});
  if (context.operation === 'CREATE') {
    annotations[`${group}/creator`] = context.user;
    annotations[`${group}/lastModifier`] = context.user;
    return;
  }
  const old: WithSpec | undefined = context.old;
  if (old && !deepEqual(old.spec, object.spec)) annotations[`${group}/lastModifier`] = context.user;
}

/** Refuses edits of the creator, and of the modifier without a change of the spec. */
export function validateUserAnnotations(
  object: WithSpec,
  context: AdmissionContext,
  group: string,
): readonly Issue[] {
  const old: WithSpec | undefined = context.old;
  if (!old || object.metadata.ownerReferences?.some((owner) => owner.controller)) return [];
  const issues: Issue[] = [];
  const creator = `${group}/creator`;
  const modifier = `${group}/lastModifier`;
  const value = (from: KubeObject, key: string): string => from.metadata.annotations?.[key] ?? '';
  if (value(old, creator) !== value(object, creator)) {
    issues.push(fault('annotation value is immutable', `metadata.annotations.${creator}`));
  }
  if (value(old, modifier) !== value(object, modifier) && deepEqual(old.spec, object.spec)) {
    issues.push(invalidValue(value(object, modifier), `metadata.annotations.${modifier}`));
  }
  return issues;
}
