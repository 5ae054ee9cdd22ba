/**
 * Pod Security Admission: what the labels of a namespace say about the pods in it
 * (k8s.io/pod-security-admission; labels `pod-security.kubernetes.io/enforce`, `warn`, `audit`).
 */
import { deepEqual } from '../../../../base/json.ts';
import type { KubeObject } from '../../../../api/object.ts';
import type { Pod } from '../../../../api/pods.ts';
import type { Issue } from '../../../../api/resource.ts';
import { namespaces } from '../../../../api/kubernetes/core.ts';
import { pods } from '../../../../api/kubernetes/pods.ts';
import type { PodTemplateSpec } from '../../../../api/kubernetes/pod-defaults.ts';
import { isMembers } from '../../../../api/structural-members.ts';
import type { AdmissionAttributes, AdmissionPlugin } from '../../service/admission-plugin.ts';
import { forbidden, invalid } from '../../service/errors.ts';
import { isNamespace } from '../../service/deletion.ts';
import * as baseline from './baseline.ts';
import * as restricted from './restricted.ts';
import { describeViolations, type Violation } from './violations.ts';

const prefix = 'pod-security.kubernetes.io/';
const levels = ['privileged', 'baseline', 'restricted'] as const;
type Level = (typeof levels)[number];
const modes = ['enforce', 'audit', 'warn'] as const;
type Mode = (typeof modes)[number];
type Spec = NonNullable<Pod['spec']>;

interface Policy {
  readonly level: Level;
  /** `latest` or `v1.30`. The checks are those of the newest version in any case. */
  readonly version: string;
}

/** What breaks a level, in the order of the checks' names. */
export function podSecurityViolations(
  level: Level,
  spec: Spec,
  annotations: Readonly<Record<string, string>> = {},
): Violation[] {
  if (level === 'privileged') return [];
  const strict = level === 'restricted';
  const found = [
    strict && spec.os?.name !== 'windows' && restricted.allowPrivilegeEscalation(spec),
    baseline.appArmorProfile(spec, annotations),
    strict && spec.os?.name !== 'windows' ? restricted.capabilities(spec) : baseline.capabilities(spec),
    baseline.hostNamespaces(spec),
    !strict && baseline.hostPathVolumes(spec),
    baseline.hostPorts(spec),
    baseline.privileged(spec),
    baseline.procMount(spec),
    strict && restricted.volumeTypes(spec),
    strict && restricted.runAsNonRoot(spec),
    strict && restricted.runAsUser(spec),
    baseline.seLinuxOptions(spec),
    strict && spec.os?.name !== 'windows' ? restricted.seccompProfile(spec) : baseline.seccompProfile(spec),
    baseline.sysctls(spec),
    baseline.windowsHostProcess(spec),
  ];
  return found.flatMap((violation) => violation || []);
}

function policyOf(labels: Readonly<Record<string, string>> | undefined, mode: Mode): Policy {
  const level = levels.find((word) => word === labels?.[`${prefix}${mode}`]) ?? 'privileged';
  return { level, version: labels?.[`${prefix}${mode}-version`] ?? 'latest' };
}

const shown = ({ level, version }: Policy): string => `"${level}:${version}"`;

export const podSecurity: AdmissionPlugin = {
  name: 'PodSecurity',
  validate(attributes) {
    const { def, operation, object } = attributes;
    if (!object || operation === 'DELETE' || operation === 'CONNECT') return;
    if (isNamespace(def)) {
      if (!attributes.subresource) checkNamespace(attributes, object);
      return;
    }
    const subject = subjectOf(attributes, object);
    if (subject) checkPod(attributes, subject);
  },
};

// ---- pods ----------------------------------------------------------------------------------------------------

interface Subject {
  readonly spec: Spec;
  readonly annotations: Readonly<Record<string, string>>;
  /** A pod itself, which may be refused; makers of pods are only warned about. */
  readonly isPod: boolean;
}

/** The pod that a write is about: the pod itself, or the template in what makes pods. */
function subjectOf({ def, subresource, old }: AdmissionAttributes, object: KubeObject): Subject | undefined {
  if (def.group === pods.group && def.plural === pods.plural) {
    if (subresource && subresource !== 'ephemeralcontainers') return undefined;
    const pod: Pod = object;
    const before: Pod | undefined = old;
    // Most updates of pods are about labels, or put it on a node.
    if (!pod.spec || (before && sameForSecurity(before.spec, pod.spec))) return undefined;
    return { spec: pod.spec, annotations: pod.metadata.annotations ?? {}, isPod: true };
  }
  if (!def.builtin || subresource) return undefined;
  const template = templateOf(object);
  if (!template?.spec) return undefined;
  return { spec: template.spec, annotations: template.metadata?.annotations ?? {}, isPod: false };
}

function sameForSecurity(before: Spec | undefined, after: Spec): boolean {
  const relevant = (spec: Spec | undefined): unknown => [
    spec?.containers,
    spec?.initContainers,
    spec?.ephemeralContainers,
    spec?.securityContext,
  ];
  return deepEqual(relevant(before), relevant(after));
}

/** `template`, `spec.template` or `spec.jobTemplate.spec.template`. */
function templateOf(object: KubeObject): PodTemplateSpec | undefined {
  const { spec, template } = object as KubeObject & { spec?: unknown; template?: unknown };
  const members = isMembers(spec) ? spec : {};
  const job = isMembers(members['jobTemplate']) ? members['jobTemplate']['spec'] : undefined;
  const found = [template, members['template'], isMembers(job) ? job['template'] : undefined].find(isMembers);
  return found;
}

function checkPod(attributes: AdmissionAttributes, { spec, annotations, isPod }: Subject): void {
  const { def, name, namespace = '', request, stored } = attributes;
  const labels = labelsOf(stored(namespaces), namespace);
  const text = (mode: Mode): string => {
    const policy = policyOf(labels, mode);
    const violations = podSecurityViolations(policy.level, spec, annotations);
    return violations.length > 0 ? `PodSecurity ${shown(policy)}: ${describeViolations(violations)}` : '';
  };
  if (isPod) {
    const { level, version } = policyOf(labels, 'enforce');
    if (level !== 'privileged') request.annotate?.(`${prefix}enforce-policy`, `${level}:${version}`);
    const refusal = text('enforce');
    if (refusal) throw forbidden(def, name, `violates ${refusal}`);
  }
  const audit = text('audit');
  if (audit) request.annotate?.(`${prefix}audit-violations`, `would violate ${audit}`);
  const warning = text('warn');
  if (warning) attributes.warn(`would violate ${warning}`);
}

function labelsOf(all: Iterable<KubeObject>, name: string): KubeObject['metadata']['labels'] {
  for (const { metadata } of all) if (metadata.name === name) return metadata.labels;
  return undefined;
}

// ---- namespaces ----------------------------------------------------------------------------------------------

function checkNamespace(attributes: AdmissionAttributes, object: KubeObject): void {
  const { def, name, old, stored } = attributes;
  const { labels } = object.metadata;
  if (deepEqual(labels, old?.metadata.labels)) return;
  const issues = modes.flatMap((mode) => labelIssues(labels, mode));
  if (issues.length > 0) throw invalid(def, name, issues);
  const policy = policyOf(labels, 'enforce');
  const before = policyOf(old?.metadata.labels, 'enforce');
  if (!old || levels.indexOf(policy.level) <= levels.indexOf(before.level)) return;
  const warnings = new Map<string, string[]>();
  for (const pod of stored(pods, name)) {
    if (!pod.spec) continue;
    const violations = podSecurityViolations(policy.level, pod.spec, pod.metadata.annotations);
    if (violations.length === 0) continue;
    const reasons = violations.map(({ reason }) => reason).join(', ');
    warnings.set(reasons, [...(warnings.get(reasons) ?? []), pod.metadata.name]);
  }
  if (warnings.size === 0) return;
  attributes.warn(
    `existing pods in namespace "${name}" violate the new PodSecurity enforce level ${shown(policy)}`,
  );
  for (const [reasons, [first, ...others]] of warnings) {
    const rest =
      others.length > 0 ? ` (and ${others.length} other pod${others.length === 1 ? '' : 's'})` : '';
    attributes.warn(`${first}${rest}: ${reasons}`);
  }
}

function labelIssues(labels: Readonly<Record<string, string>> | undefined, mode: Mode): Issue[] {
  const issues: Issue[] = [];
  const check = (key: string, isValid: (value: string) => boolean, detail: string): void => {
    const value = labels?.[key];
    if (value === undefined || isValid(value)) return;
    issues.push({ type: 'Invalid', path: `metadata.labels[${key}]`, value, detail });
  };
  check(
    `${prefix}${mode}`,
    (value) => levels.some((level) => level === value),
    'must be one of privileged, baseline, restricted',
  );
  check(
    `${prefix}${mode}-version`,
    (value) => value === 'latest' || /^v1\.([0-9]|[1-9][0-9]*)$/.test(value),
    'must be "latest" or "v1.x"',
  );
  return issues;
}
