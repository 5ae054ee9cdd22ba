/** Comparison of templates. */
import { deepEqual } from '../../base/json.ts';
import { defaultConfigurationSpec } from '../../api/serving/defaults.ts';
import type { RevisionTemplate } from '../../api/serving/index.ts';

/**
 * True when two templates mean the same revision. Both are defaulted first: some defaults are only set when an object is
 * created, so the child may have what the parent lacks, and that must not look like an edit.
 */
export function sameTemplate(a: RevisionTemplate | undefined, b: RevisionTemplate | undefined): boolean {
  return deepEqual(a, b) || deepEqual(defaulted(a), defaulted(b));
}

function defaulted(template: RevisionTemplate | undefined): RevisionTemplate {
  const object = {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Configuration',
    metadata: { name: '' },
    spec: { template: structuredClone(template ?? {}) },
  };
  defaultConfigurationSpec(object, { operation: 'CREATE', user: '', dryRun: false, now: 0 });
  return object.spec.template;
}
