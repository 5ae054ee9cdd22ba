/** The admission plugins of the embedded API, in the order in which they are asked. */
import type { AdmissionPlugin } from '../service/admission-plugin.ts';
import { defaultTolerations } from './default-tolerations.ts';
import { limitRanger } from './limit-ranger.ts';
import { matchConditions } from './match-conditions.ts';
import { namespaceLifecycle } from './namespace-lifecycle.ts';
import { podSecurity } from './pod-security/index.ts';
import { policyExpressions } from './policy-expressions.ts';
import { priority } from './priority.ts';
import { resourceQuota } from './resource-quota.ts';
import { runtimeClass } from './runtime-class.ts';

/** Quota comes last: it counts what is about to be stored. */
export const admissionPlugins: readonly AdmissionPlugin[] = [
  namespaceLifecycle,
  limitRanger,
  priority,
  defaultTolerations,
  podSecurity,
  runtimeClass,
  matchConditions,
  policyExpressions,
  resourceQuota,
];
