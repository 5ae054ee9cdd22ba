/** What a write to `pods/ephemeralcontainers` may do (kubernetes pkg/apis/core/validation). Pure. */
import { deepEqual } from '../../base/json.ts';
import type { EphemeralContainer } from '../pods.ts';
import type { Issue } from '../resource.ts';
import { dnsLabelFault } from './names.ts';
import type { PodSpec } from './pod-defaults.ts';

/** What only a container that belongs to the pod's work can have. */
const foreignFields = [
  'ports',
  'livenessProbe',
  'readinessProbe',
  'startupProbe',
  'lifecycle',
  'restartPolicy',
] as const;

/** Containers may be added; those that are there stay as they are. `path` is where they are. */
export function ephemeralContainerIssues(next: PodSpec, old: PodSpec, path: string): Issue[] {
  const issues: Issue[] = [];
  const containers = next.ephemeralContainers ?? [];
  const regular = new Set(
    [...(next.initContainers ?? []), ...(next.containers ?? [])].map((container) => container.name),
  );
  const before = new Map((old.ephemeralContainers ?? []).map((container) => [container.name, container]));
  const names = new Set(regular);
  containers.forEach((container, i) => {
    const at = `${path}[${i}]`;
    const stored = before.get(container.name);
    if (!stored) issues.push(...containerIssues(container, at, regular));
    else if (!deepEqual(stored, container)) {
      const detail = `existing ephemeral containers ${JSON.stringify(container.name)} may not be changed`;
      issues.push({ type: 'Forbidden', path, detail });
    }
    if (names.has(container.name)) {
      issues.push({ type: 'Duplicate', path: `${at}.name`, value: container.name, detail: '' });
    }
    names.add(container.name);
  });
  for (const name of before.keys()) {
    if (names.has(name)) continue;
    const detail = `existing ephemeral containers ${JSON.stringify(name)} may not be removed`;
    issues.push({ type: 'Forbidden', path, detail });
  }
  return issues;
}

function containerIssues(container: EphemeralContainer, at: string, regular: ReadonlySet<string>): Issue[] {
  const issues: Issue[] = [];
  if (!container.name) issues.push({ type: 'Required', path: `${at}.name`, detail: '' });
  else {
    const detail = dnsLabelFault(container.name);
    if (detail !== undefined) {
      issues.push({ type: 'Invalid', path: `${at}.name`, value: container.name, detail });
    }
  }
  if (!container.image) issues.push({ type: 'Required', path: `${at}.image`, detail: '' });
  const target = container.targetContainerName;
  if (target && !regular.has(target)) {
    issues.push({ type: 'NotFound', path: `${at}.targetContainerName`, value: target, detail: '' });
  }
  for (const field of foreignFields) {
    if (container[field] === undefined) continue;
    const detail = 'cannot be set for an Ephemeral Container';
    issues.push({ type: 'Forbidden', path: `${at}.${field}`, detail });
  }
  if (Object.keys(container.resources ?? {}).length > 0) {
    const detail = 'cannot be set for an Ephemeral Container';
    issues.push({ type: 'Forbidden', path: `${at}.resources`, detail });
  }
  return issues;
}
