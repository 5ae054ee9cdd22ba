/** What the traffic of a Service or Route may not say. */
import {
  disallowedField,
  fault,
  invalidValue,
  join,
  missingOneOf,
  multipleOneOf,
  outOfBounds,
} from '../../knative/field-errors.ts';
import type { Issue } from '../../resource.ts';
import type { TrafficTarget } from '../pod-spec.ts';

const tagName = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** `inService`: the Service's own configuration is meant, so `configurationName` may not be set. */
export function validateTraffic(
  traffic: readonly TrafficTarget[],
  inService: boolean,
  path: string,
): Issue[] {
  const issues: Issue[] = [];
  const tags = new Map<string, string>();
  let sum = 0;
  traffic.forEach((target, i) => {
    const at = join(path, i);
    issues.push(...validateTarget(target, inService, at));
    sum += target.percent ?? 0;
    const { tag } = target;
    if (!tag) return;
    const first = tags.get(tag);
    if (first === undefined) tags.set(tag, join(at, 'tag'));
    else {
      issues.push({
        type: 'Duplicate',
        path: [first, join(at, 'tag')].join(', '),
        detail: `Multiple definitions for ${JSON.stringify(tag)}`,
      });
    }
  });
  if (sum !== 100) issues.push(fault(`Traffic targets sum to ${sum}, want 100`, path));
  return issues;
}

function validateTarget(target: TrafficTarget, inService: boolean, at: string): Issue[] {
  const issues: Issue[] = [];
  const { revisionName, configurationName, latestRevision, percent, tag, url } = target;
  if (percent !== undefined && (percent < 0 || percent > 100)) {
    issues.push(outOfBounds(percent, 0, 100, join(at, 'percent')));
  }
  if (revisionName && latestRevision === true) {
    issues.push(
      fault(
        `may not set revisionName ${JSON.stringify(revisionName)} when latestRevision is true`,
        join(at, 'latestRevision'),
      ),
    );
  }
  if (!revisionName && latestRevision === false) {
    issues.push(invalidValue(false, join(at, 'latestRevision')));
  }
  if (inService && configurationName) issues.push(disallowedField(join(at, 'configurationName')));
  if (!inService) {
    const both = [join(at, 'revisionName'), join(at, 'configurationName')];
    if (!revisionName && !configurationName) issues.push(missingOneOf(...both));
    if (revisionName && configurationName) issues.push(multipleOneOf(...both));
  }
  if (tag && !tagName.test(tag)) {
    issues.push(
      invalidValue(tag, join(at, 'tag'), 'not a DNS 1035 label prefix: a tag is part of a host name'),
    );
  }
  if (url) issues.push(disallowedField(join(at, 'url')));
  return issues;
}
