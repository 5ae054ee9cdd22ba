/** Validation of Service, Configuration, Route and Revision (knative/serving pkg/apis/serving/v1 `Validate`). */
import { deepEqual } from '../../../base/json.ts';
import { parseDuration } from '../../../base/duration.ts';
import { misplacedScalingAnnotations, validateScalingAnnotations } from '../../autoscaling/annotations.ts';
import { fault, invalidValue, join, missingField, outOfBounds } from '../../knative/field-errors.ts';
import { validateUserAnnotations } from '../../knative/users.ts';
import type { KubeObject } from '../../object.ts';
import type { AdmissionContext, Issue } from '../../resource.ts';
import { admissionConfig } from '../config/admission.ts';
import { annotations, labels, servingGroup } from '../labels.ts';
import type { RevisionSpec, RevisionTemplate, TrafficTarget } from '../pod-spec.ts';
import { shortDiff } from './diff.ts';
import { validatePodSpec } from './pod-spec.ts';
import { validateTraffic } from './traffic.ts';

const dns1035 = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;

interface Templated extends KubeObject {
  spec?: { template?: RevisionTemplate; traffic?: TrafficTarget[] };
}

interface WithTraffic extends KubeObject {
  spec?: { traffic?: TrafficTarget[] };
}

interface RevisionLike extends KubeObject {
  spec?: RevisionSpec;
}

export function validateService(service: Templated, context: AdmissionContext): readonly Issue[] {
  return [
    ...validateName(service),
    ...validateUserAnnotations(service, context, servingGroup),
    ...misplacedScalingAnnotations(service.metadata.annotations ?? {}),
    ...validateRolloutDuration(service),
    ...validateVisibility(service),
    ...validateTemplate(service, context),
    ...validateTraffic(service.spec?.traffic ?? [], true, 'spec.traffic'),
  ];
}

export function validateConfiguration(configuration: Templated, context: AdmissionContext): readonly Issue[] {
  return [
    ...validateName(configuration),
    ...validateUserAnnotations(configuration, context, servingGroup),
    ...misplacedScalingAnnotations(configuration.metadata.annotations ?? {}),
    ...validateOwnerLabel(configuration, labels.service, 'Service'),
    ...validateTemplate(configuration, context),
  ];
}

export function validateRoute(route: WithTraffic, context: AdmissionContext): readonly Issue[] {
  const owned = validateOwnerLabel(route, labels.service, 'Service');
  return [
    ...validateName(route),
    ...validateUserAnnotations(route, context, servingGroup),
    ...misplacedScalingAnnotations(route.metadata.annotations ?? {}),
    ...validateRolloutDuration(route),
    ...validateVisibility(route),
    ...owned,
    ...(route.spec?.traffic?.length
      ? validateTraffic(route.spec.traffic, false, 'spec.traffic')
      : [missingField('spec.traffic')]),
  ];
}

export function validateRevision(revision: RevisionLike, context: AdmissionContext): readonly Issue[] {
  const old: RevisionLike | undefined = context.old;
  if (old) {
    if (deepEqual(old.spec, revision.spec)) return [];
    return [fault('Immutable fields changed (-old +new)', 'spec', shortDiff(old.spec, revision.spec))];
  }
  return [
    ...validateName(revision),
    ...validateOwnerLabel(revision, labels.configuration, 'Configuration'),
    ...validateRevisionSpec(revision.spec ?? {}, context, 'spec'),
    ...validateTemplateAnnotations(revision.metadata.annotations ?? {}, context, 'metadata.annotations'),
  ];
}

function validateName({ metadata: { name, generateName } }: KubeObject): Issue[] {
  if (!name && generateName) return [];
  if (name.length <= 63 && dns1035.test(name)) return [];
  return [
    fault(
      'not a DNS 1035 label',
      'metadata.name',
      "[a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, " +
        "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is " +
        "'[a-z]([-a-z0-9]*[a-z0-9])?')]",
    ),
  ];
}

/** A label that says who made the object is only true beside the matching owner reference. */
function validateOwnerLabel({ metadata }: KubeObject, label: string, kind: string): Issue[] {
  const value = metadata.labels?.[label];
  if (value === undefined) return [];
  const owned = metadata.ownerReferences?.some((owner) => owner.kind === kind && owner.name === value);
  return owned ? [] : [missingField(`metadata.labels.${label}`)];
}

function validateVisibility({ metadata }: KubeObject): Issue[] {
  const value = metadata.labels?.[labels.visibility];
  if (value === undefined || value === 'cluster-local') return [];
  return [invalidValue(value, `metadata.labels.${labels.visibility}`)];
}

function validateRolloutDuration({ metadata }: KubeObject): Issue[] {
  const text = metadata.annotations?.[annotations.rolloutDuration];
  if (text === undefined) return [];
  const path = `metadata.annotations.${annotations.rolloutDuration}`;
  const ms = parseDuration(text);
  if (ms === undefined) return [invalidValue(text, path)];
  if (ms % 1000 !== 0) return [fault(`rolloutDuration=${text} is not at second precision`, path)];
  return ms < 0 ? [fault(`rolloutDuration=${text} must be positive`, path)] : [];
}

function validateTemplate(object: Templated, context: AdmissionContext): Issue[] {
  const template = object.spec?.template ?? {};
  const path = 'spec.template';
  return [
    ...validateRevisionSpec(template.spec ?? {}, context, join(path, 'spec')),
    ...validateTemplateAnnotations(
      template.metadata?.annotations ?? {},
      context,
      `${path}.metadata.annotations`,
    ),
    ...validateTemplateName(object, template, context),
  ];
}

/** A chosen revision name starts with its parent's and goes with one template for ever. */
function validateTemplateName(
  object: Templated,
  template: RevisionTemplate,
  context: AdmissionContext,
): Issue[] {
  const name = template.metadata?.name;
  if (!name) return [];
  const path = 'spec.template.metadata.name';
  const prefix = `${object.metadata.name || object.metadata.generateName || ''}-`;
  if (object.metadata.name && !name.startsWith(prefix)) {
    return [fault(`${JSON.stringify(name)} must have prefix ${JSON.stringify(prefix)}`, path)];
  }
  if (!dns1035.test(name)) return [fault('not a DNS 1035 label', path)];
  const stored: Templated | undefined = context.old;
  const old = stored?.spec?.template;
  if (old?.metadata?.name !== name || deepEqual(old.spec, template.spec)) return [];
  return [
    fault(
      'Saw the following changes without a name change (-old +new)',
      path,
      shortDiff(old, template, '{*v1.RevisionTemplateSpec}'),
    ),
  ];
}

function validateRevisionSpec(spec: RevisionSpec, context: AdmissionContext, path: string): Issue[] {
  const defaults = admissionConfig(context, 'defaults');
  const issues = validatePodSpec(spec, admissionConfig(context, 'features'), path);
  const timeout = spec.timeoutSeconds;
  if (timeout !== undefined && (timeout < 0 || timeout > defaults.maxTimeoutSeconds)) {
    issues.push(outOfBounds(timeout, 0, defaults.maxTimeoutSeconds, join(path, 'timeoutSeconds')));
  }
  const concurrency = spec.containerConcurrency;
  const lowest = defaults.allowContainerConcurrencyZero ? 0 : 1;
  const highest = defaults.containerConcurrencyMaxLimit;
  if (concurrency !== undefined && (concurrency < lowest || concurrency > highest)) {
    issues.push(outOfBounds(concurrency, lowest, highest, join(path, 'containerConcurrency')));
  }
  return issues;
}

function validateTemplateAnnotations(
  values: Readonly<Record<string, string>>,
  context: AdmissionContext,
  path: string,
): Issue[] {
  const issues = validateScalingAnnotations(values, admissionConfig(context, 'autoscaler'), path);
  const deadline = values[annotations.progressDeadline];
  if (deadline !== undefined) {
    const ms = parseDuration(deadline);
    const at = join(path, annotations.progressDeadline);
    if (ms === undefined) issues.push(invalidValue(deadline, at));
    else if (ms % 1000 !== 0 || ms <= 0) {
      issues.push(fault(`progress-deadline=${deadline} must be a positive whole number of seconds`, at));
    }
  }
  const sidecar = 'queue.sidecar.serving.knative.dev/';
  const quantity = /^(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$/;
  for (const [key, value] of Object.entries(values)) {
    if (!key.startsWith(sidecar)) continue;
    const member = key.slice(sidecar.length);
    if (member === 'resource-percentage') {
      const percentage = Number(value);
      if (value.trim() === '' || !Number.isFinite(percentage))
        issues.push(invalidValue(value, join(path, key)));
      else if (percentage < 0.1 || percentage > 100)
        issues.push(outOfBounds(value, 0.1, 100, join(path, key)));
    } else if (
      /^(cpu|memory|ephemeral-storage)-resource-(request|limit)$/.test(member) &&
      !quantity.test(value)
    ) {
      issues.push(invalidValue(value, join(path, key)));
    }
  }
  return issues;
}
