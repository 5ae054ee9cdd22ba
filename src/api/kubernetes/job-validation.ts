/** Faults of Jobs (kubernetes pkg/apis/batch/validation). */
import { deepEqual } from '../../base/json.ts';
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { Issue } from '../resource.ts';
import { immutable, notNegative, notSupported, oneOf } from './field-issues.ts';
import { dnsLabelFault, labelKeyFault } from './names.ts';
import type { PodTemplateSpec } from './pod-defaults.ts';
import { podTemplateIssues } from './pod-validation.ts';
import { matchesSelector, selectorIssues } from './selectors.ts';

export type JobSpec = KubernetesTypes['batch.v1.JobSpec'];
type Job = KubernetesTypes['batch.v1.Job'];
type FailureRule = KubernetesTypes['batch.v1.PodFailurePolicyRule'];

const maxIndexed = 100_000;
const maxFailedOfMany = 10_000;
const maxRules = 20;
const maxExitCodes = 255;
const maxConditions = 20;

/** Labels that tie a job's pods to it; the old names are still what most selectors in the wild use. */
export function jobLabels({ metadata: { uid = '', name } }: Pick<Job, 'metadata'>): {
  [key: string]: string;
} {
  return {
    'batch.kubernetes.io/controller-uid': uid,
    'batch.kubernetes.io/job-name': name,
    'controller-uid': uid,
    'job-name': name,
  };
}

/** Faults of a new Job, or of one whose spec has changed. */
export function jobIssues(job: Job): Issue[] {
  const spec = job.spec;
  if (!spec) return jobSpecIssues(undefined, 'spec');
  const issues = jobSpecIssues(spec, 'spec');
  const { selector, template, completions } = spec;
  if (!selector) issues.push({ type: 'Required', path: 'spec.selector', detail: '' });
  else {
    issues.push(...selectorIssues(selector, 'spec.selector'));
    const labels = template?.metadata?.labels ?? {};
    if (!spec.manualSelector) issues.push(...generatedIssues(job, labels));
    if (!matchesSelector(selector, labels)) {
      const detail = '`selector` does not match template `labels`';
      issues.push({ type: 'Invalid', path: 'spec.template.metadata.labels', value: labels, detail });
    }
  }
  if (spec.completionMode === 'Indexed' && completions !== undefined && completions > 0) {
    const { name } = job.metadata;
    const fault = dnsLabelFault(`${name}-${completions - 1}`);
    const detail = `will not able to create pod with invalid DNS hostname: ${name}-${completions - 1}: ${fault}`;
    if (fault) issues.push({ type: 'Invalid', path: 'metadata.name', value: name, detail });
  }
  return issues;
}

/** A selector that the server made names this Job's uid, and so do the template's labels. */
function generatedIssues(job: Job, labels: { readonly [key: string]: string }): Issue[] {
  const issues: Issue[] = [];
  const wanted = jobLabels(job);
  for (const [key, value] of Object.entries(wanted)) {
    if (labels[key] === value) continue;
    const path = 'spec.template.metadata.labels';
    if (labels[key] === undefined) issues.push({ type: 'Required', path, detail: `must be '${value}'` });
    else issues.push({ type: 'Invalid', path, value: labels, detail: `must be '${value}'` });
  }
  const uid = job.metadata.uid ?? '';
  const selects = matchesSelector(job.spec?.selector, {
    'controller-uid': uid,
    'batch.kubernetes.io/controller-uid': uid,
  });
  if (!selects) {
    const detail = '`selector` not auto-generated';
    issues.push({ type: 'Invalid', path: 'spec.selector', value: job.spec?.selector, detail });
  }
  return issues;
}

/** Faults of a Job's spec by itself, in a Job or in a CronJob's template. */
export function jobSpecIssues(spec: JobSpec | undefined, path: string): Issue[] {
  const issues: Issue[] = [];
  const numbers = [
    'parallelism',
    'completions',
    'activeDeadlineSeconds',
    'backoffLimit',
    'ttlSecondsAfterFinished',
    'backoffLimitPerIndex',
    'maxFailedIndexes',
  ] as const;
  for (const member of numbers) issues.push(...notNegative(spec?.[member], `${path}.${member}`));
  issues.push(...oneOf(spec?.completionMode, `${path}.completionMode`, ['Indexed', 'NonIndexed']));
  if (spec) issues.push(...indexIssues(spec, path), ...managerIssues(spec.managedBy, `${path}.managedBy`));
  issues.push(...podTemplateIssues(spec?.template, `${path}.template`));
  const policy = spec?.template?.spec?.restartPolicy;
  const policyPath = `${path}.template.spec.restartPolicy`;
  if (policy === 'Always') {
    issues.push({ type: 'Required', path: policyPath, detail: 'valid values: "OnFailure", "Never"' });
  }
  if (!spec) return issues;
  if (spec.podFailurePolicy) {
    if (policy !== 'Never') {
      const detail = 'only "Never" is supported when podFailurePolicy is specified';
      issues.push({ type: 'Invalid', path: policyPath, value: policy, detail });
    }
    issues.push(...failurePolicyIssues(spec, `${path}.podFailurePolicy`));
  }
  const replacement = spec.podFailurePolicy ? ['Failed'] : ['Failed', 'TerminatingOrFailed'];
  issues.push(...oneOf(spec.podReplacementPolicy, `${path}.podReplacementPolicy`, replacement));
  if (spec.successPolicy) issues.push(...successPolicyIssues(spec, `${path}.successPolicy`));
  return issues;
}

function indexIssues(spec: JobSpec, path: string): Issue[] {
  const issues: Issue[] = [];
  const { completions, parallelism = 0, backoffLimitPerIndex, maxFailedIndexes } = spec;
  const invalid = (member: keyof JobSpec, detail: string): void => {
    issues.push({ type: 'Invalid', path: `${path}.${member}`, value: spec[member], detail });
  };
  if (spec.completionMode !== 'Indexed') {
    if (backoffLimitPerIndex !== undefined)
      invalid('backoffLimitPerIndex', 'requires indexed completion mode');
    if (maxFailedIndexes !== undefined) invalid('maxFailedIndexes', 'requires indexed completion mode');
    return issues;
  }
  if (completions === undefined) {
    const detail = 'when completion mode is Indexed';
    issues.push({ type: 'Required', path: `${path}.completions`, detail });
  }
  if (parallelism > maxIndexed) {
    invalid('parallelism', `must be less than or equal to ${maxIndexed} when completion mode is Indexed`);
  }
  if (maxFailedIndexes !== undefined) {
    if (completions !== undefined && maxFailedIndexes > completions) {
      invalid('maxFailedIndexes', 'must be less than or equal to completions');
    }
    if (maxFailedIndexes > maxIndexed) {
      invalid('maxFailedIndexes', `must be less than or equal to ${maxIndexed}`);
    }
    if (backoffLimitPerIndex === undefined) {
      const detail = 'when maxFailedIndexes is specified';
      issues.push({ type: 'Required', path: `${path}.backoffLimitPerIndex`, detail });
    }
  }
  if (completions !== undefined && completions > maxIndexed && backoffLimitPerIndex !== undefined) {
    const when = `when completions are above ${maxIndexed}`;
    if (maxFailedIndexes === undefined) {
      const detail = `must be specified ${when}`;
      issues.push({ type: 'Required', path: `${path}.maxFailedIndexes`, detail });
    } else if (maxFailedIndexes > maxFailedOfMany) {
      invalid('maxFailedIndexes', `must be less than or equal to ${maxFailedOfMany} ${when}`);
    }
    if (parallelism > maxFailedOfMany) {
      const detail = `must be less than or equal to ${maxFailedOfMany} ${when} and used with backoff limit per index`;
      invalid('parallelism', detail);
    }
  }
  return issues;
}

function managerIssues(value: string | undefined, path: string): Issue[] {
  if (value === undefined) return [];
  if (value.length > 63) return [{ type: 'TooLong', path, value, detail: 'may not be more than 63 bytes' }];
  const detail = value.includes('/')
    ? labelKeyFault(value)
    : 'must be a domain-prefixed path (such as "acme.io/foo")';
  return detail ? [{ type: 'Invalid', path, value, detail }] : [];
}

function failurePolicyIssues(spec: JobSpec, path: string): Issue[] {
  const rules = spec.podFailurePolicy?.rules ?? [];
  const issues: Issue[] = [];
  if (rules.length > maxRules) {
    const detail = `must have at most ${maxRules} items`;
    issues.push({ type: 'TooMany', path: `${path}.rules`, value: rules.length, detail });
  }
  rules.forEach((rule, i) => issues.push(...failureRuleIssues(rule, spec, `${path}.rules[${i}]`)));
  return issues;
}

function failureRuleIssues(rule: FailureRule, spec: JobSpec, path: string): Issue[] {
  const issues: Issue[] = [];
  const actions = ['Count', 'FailIndex', 'FailJob', 'Ignore'];
  if (!rule.action) {
    const detail = `valid values: ${actions.map((action) => `"${action}"`).join(', ')}`;
    issues.push({ type: 'Required', path: `${path}.action`, detail });
  } else if (rule.action === 'FailIndex' && spec.backoffLimitPerIndex === undefined) {
    const detail = 'requires the backoffLimitPerIndex to be set';
    issues.push({ type: 'Invalid', path: `${path}.action`, value: rule.action, detail });
  } else issues.push(...oneOf(rule.action, `${path}.action`, actions));
  const conditions = rule.onPodConditions?.length ? rule.onPodConditions : undefined;
  if (rule.onExitCodes && conditions) {
    const detail = 'specifying both OnExitCodes and OnPodConditions is not supported';
    issues.push({ type: 'Invalid', path, value: '', detail });
  }
  if (!rule.onExitCodes && !conditions) {
    const detail = 'specifying one of OnExitCodes and OnPodConditions is required';
    issues.push({ type: 'Invalid', path, value: '', detail });
  }
  if (rule.onExitCodes)
    issues.push(...exitCodeIssues(rule.onExitCodes, spec.template, `${path}.onExitCodes`));
  if ((conditions?.length ?? 0) > maxConditions) {
    const detail = `must have at most ${maxConditions} items`;
    issues.push({ type: 'TooMany', path: `${path}.onPodConditions`, value: conditions?.length, detail });
  }
  conditions?.forEach((condition, i) => {
    const at = `${path}.onPodConditions[${i}]`;
    const given: Partial<typeof condition> = condition;
    const { type = '', status } = given;
    const fault = labelKeyFault(type);
    if (fault) issues.push({ type: 'Invalid', path: `${at}.type`, value: type, detail: fault });
    if (!['False', 'True', 'Unknown'].includes(status ?? '')) {
      issues.push(notSupported(status, `${at}.status`, ['False', 'True', 'Unknown']));
    }
  });
  return issues;
}

function exitCodeIssues(
  wanted: NonNullable<FailureRule['onExitCodes']>,
  template: PodTemplateSpec | undefined,
  path: string,
): Issue[] {
  const issues: Issue[] = [];
  const { operator, containerName } = wanted;
  // Form and content are checked together: what has to be there may still be missing.
  const values = (wanted.values as number[] | undefined) ?? [];
  if (!operator) {
    issues.push({ type: 'Required', path: `${path}.operator`, detail: 'valid values: "In", "NotIn"' });
  } else issues.push(...oneOf(operator, `${path}.operator`, ['In', 'NotIn']));
  const { containers = [], initContainers = [] } = template?.spec ?? {};
  const names = [...containers, ...initContainers].map((container) => container.name);
  if (containerName !== undefined && !names.includes(containerName)) {
    const detail = 'must be one of the container or initContainer names in the pod template';
    issues.push({ type: 'Invalid', path: `${path}.containerName`, value: containerName, detail });
  }
  const at = `${path}.values`;
  if (values.length === 0) {
    issues.push({ type: 'Invalid', path: at, value: values, detail: 'at least one value is required' });
  } else if (values.length > maxExitCodes) {
    const detail = `must have at most ${maxExitCodes} items`;
    issues.push({ type: 'TooMany', path: at, value: values.length, detail });
  }
  const seen = new Set<number>();
  values.forEach((value, i) => {
    if (value === 0 && operator === 'In') {
      const detail = 'must not be 0 for the In operator';
      issues.push({ type: 'Invalid', path: `${at}[${i}]`, value, detail });
    }
    if (seen.has(value)) issues.push({ type: 'Duplicate', path: `${at}[${i}]`, value, detail: '' });
    seen.add(value);
  });
  if (values.some((value, i) => value < (values[i - 1] ?? value))) {
    issues.push({ type: 'Invalid', path: at, value: values, detail: 'must be ordered' });
  }
  return issues;
}

function successPolicyIssues(spec: JobSpec, path: string): Issue[] {
  const rules = spec.successPolicy?.rules ?? [];
  if (spec.completionMode !== 'Indexed') {
    const detail = 'requires indexed completion mode';
    return [{ type: 'Invalid', path, value: spec.successPolicy, detail }];
  }
  const issues: Issue[] = [];
  if (rules.length === 0) {
    const detail = 'at least one rules must be specified when the successPolicy is specified';
    issues.push({ type: 'Required', path: `${path}.rules`, detail });
  } else if (rules.length > maxRules) {
    const detail = `must have at most ${maxRules} items`;
    issues.push({ type: 'TooMany', path: `${path}.rules`, value: rules.length, detail });
  }
  const completions = spec.completions ?? 0;
  rules.forEach(({ succeededCount, succeededIndexes }, i) => {
    const at = `${path}.rules[${i}]`;
    if (succeededCount === undefined && succeededIndexes === undefined) {
      const detail = 'at least one of succeededCount or succeededIndexes must be specified';
      issues.push({ type: 'Required', path: at, detail });
    }
    let listed: number | undefined;
    if (succeededIndexes !== undefined) {
      const read = readIndexList(succeededIndexes, completions);
      if (typeof read === 'string') {
        const detail = `error parsing succeededIndexes: ${read}`;
        issues.push({ type: 'Invalid', path: `${at}.succeededIndexes`, value: succeededIndexes, detail });
      } else listed = read;
    }
    if (succeededCount === undefined) return;
    const countPath = `${at}.succeededCount`;
    issues.push(...notNegative(succeededCount, countPath));
    if (succeededCount > completions) {
      const detail = `must be less than or equal to ${completions} (the number of specified completions)`;
      issues.push({ type: 'Invalid', path: countPath, value: succeededCount, detail });
    }
    if (listed !== undefined && succeededCount > listed) {
      const detail = `must be less than or equal to ${listed} (the number of indexes in the specified succeededIndexes field)`;
      issues.push({ type: 'Invalid', path: countPath, value: succeededCount, detail });
    }
  });
  return issues;
}

/** How many indexes an ordered list such as `0,2-4` has, or what is wrong with it. */
function readIndexList(text: string, completions: number): number | string {
  if (text === '') return 0;
  let count = 0;
  let last = -1;
  for (const part of text.split(',')) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part);
    if (!match) return `cannot convert string to integer for index: ${JSON.stringify(part)}`;
    const first = Number(match[1]);
    const end = Number(match[2] ?? match[1]);
    if (first >= completions || end >= completions) return 'too large index for succeededIndexes';
    if (end < first || (match[2] !== undefined && end === first)) {
      return `non-increasing order, previous: ${first}, current: ${end}`;
    }
    if (first <= last) return `non-increasing order, previous: ${last}, current: ${first}`;
    count += end - first + 1;
    last = end;
  }
  return count;
}

/** Faults of a change from one spec to another. */
export function jobUpdateIssues(job: Job, old: Job): Issue[] {
  const [next, before] = [job.spec, old.spec];
  if (!next || !before) return [];
  const issues: Issue[] = [];
  const fixed = [
    'selector',
    'completionMode',
    'podFailurePolicy',
    'backoffLimitPerIndex',
    'managedBy',
    'successPolicy',
  ] as const;
  if (!deepEqual(next.completions, before.completions)) {
    const elastic =
      next.completionMode === 'Indexed' &&
      next.completions !== undefined &&
      next.completions === next.parallelism;
    if (next.completionMode !== 'Indexed') issues.push(immutable(next.completions, 'spec.completions'));
    else if (!elastic) {
      const detail = 'may only be modified in tandem with spec.parallelism';
      issues.push({ type: 'Invalid', path: 'spec.completions', value: next.completions, detail });
    }
  }
  for (const member of fixed) {
    if (!deepEqual(next[member], before[member])) issues.push(immutable(next[member], `spec.${member}`));
  }
  // Until it runs, where and how a suspended Job will be scheduled is open to queueing controllers.
  const open = (before.suspend ?? false) && old.status?.startTime === undefined;
  const [now, then] = [next.template, before.template].map((template) =>
    open ? withoutScheduling(template) : template,
  );
  if (!deepEqual(now, then)) issues.push(immutable(next.template, 'spec.template'));
  return issues;
}

function withoutScheduling(template: PodTemplateSpec): unknown {
  const { labels: _labels, annotations: _annotations, ...metadata } = template.metadata ?? {};
  const {
    nodeSelector: _nodes,
    tolerations: _taints,
    schedulingGates: _gates,
    affinity,
    ...spec
  } = template.spec ?? {};
  const { nodeAffinity: _affinity, ...others } = affinity ?? {};
  return { metadata, spec: { ...spec, affinity: others } };
}
