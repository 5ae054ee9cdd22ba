import type { KubeObject } from '../../../src/api/object.ts';
import type { AdmissionContext, Issue, ResourceDef } from '../../../src/api/resource.ts';
import { applyDefaults, resourceSchema, validateStructure } from '../../../src/api/structural.ts';
import { issueText } from '../../../src/kube/server/service/errors.ts';

export const now = Date.parse('2026-01-02T03:04:05Z');

export function context(more: Partial<AdmissionContext> = {}): AdmissionContext {
  return { operation: 'CREATE', user: 'test', dryRun: false, now, ...more };
}

/** What the server does between decoding and storing. */
export function admitted<T extends KubeObject>(
  def: ResourceDef<T>,
  object: object,
  more?: Partial<AdmissionContext>,
): T {
  const copy = structuredClone(object) as T;
  applyDefaults(resourceSchema(def), copy);
  def.mutate?.(copy, context(more));
  return copy;
}

/** All faults of an object after defaulting, as a 422 shows them. */
export function faults<T extends KubeObject>(
  def: ResourceDef<T>,
  object: object,
  more?: Partial<AdmissionContext>,
): string[] {
  const copy = admitted(def, object, more);
  const issues: Issue[] = [
    ...validateStructure(resourceSchema(def), copy, true),
    ...(def.validate?.(copy, context(more)) ?? []),
  ];
  return [...new Set(issues.map((issue) => `${issue.path}: ${issueText(issue)}`))];
}
