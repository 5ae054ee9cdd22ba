/** Faults of builds and templates, in the words of knative/build's webhook. */
import { formatDuration, parseDuration } from '../../base/duration.ts';
import {
  fault,
  invalidKey,
  invalidValue,
  missingField,
  missingOneOf,
  multipleOneOf,
} from '../knative/field-errors.ts';
import { wordFaults } from '../knative/field-errors.ts';
import type { Issue } from '../resource.ts';
import type { Build } from './build.ts';
import type { BuildSource, BuildStep, TemplateSpec } from './schemas.ts';

const maxNameLength = 63;
const maxTimeoutMs = 24 * 3_600_000;

export function buildDenial(issues: readonly Issue[]): string {
  return `admission webhook "webhook.build.knative.dev" denied the request: mutation failed: ${wordFaults(issues)}`;
}

/** Names become parts of pod and volume names, so neither dots nor long ones do. */
export function validateName(name: string): Issue[] {
  if (name.includes('.')) {
    return [fault('Invalid resource name: special character . must not be present', 'metadata.name')];
  }
  return name.length > maxNameLength
    ? [
        fault(
          `Invalid resource name: length must be no more than ${maxNameLength} characters`,
          'metadata.name',
        ),
      ]
    : [];
}

export function validateBuild(build: Build): Issue[] {
  const issues = validateName(build.metadata.name);
  const { spec = {} } = build;
  const { template, steps = [] } = spec;
  if (!template && steps.length === 0) return [...issues, missingOneOf('spec.steps', 'spec.template')];
  if (template && steps.length > 0) return [...issues, multipleOneOf('spec.steps', 'spec.template')];
  if (template) {
    if (!template.name) issues.push(missingField('spec.template.name'));
    if (template.kind && template.kind !== 'BuildTemplate' && template.kind !== 'ClusterBuildTemplate') {
      issues.push(invalidValue(template.kind, 'spec.template.kind'));
    }
  }
  return [
    ...issues,
    ...validateSources(spec),
    ...duplicates(spec.volumes, 'spec.volumes.name'),
    ...validateSteps(steps, 'spec.steps'),
    ...validateTimeout(spec.timeout),
  ];
}

export function validateTemplate(name: string, spec: TemplateSpec | undefined): Issue[] {
  const seen = new Set<string>();
  const issues: Issue[] = [];
  for (const parameter of spec?.parameters ?? []) {
    if (seen.has(parameter.name)) issues.push(invalidKey('ParamName', 'spec.b.spec.params'));
    seen.add(parameter.name);
  }
  return [
    ...validateName(name),
    ...validateSteps(spec?.steps, 'spec'),
    ...duplicates(spec?.volumes, 'spec.name'),
    ...issues,
  ];
}

function validateSteps(steps: readonly BuildStep[] | undefined, path: string): Issue[] {
  const missing = (steps ?? []).some((step) => !step.image);
  return [...duplicates(steps, `${path}.name`), ...(missing ? [missingField(`${path}.Image`)] : [])];
}

/** Unnamed items never collide. */
function duplicates(items: readonly { readonly name?: string }[] | undefined, path: string): Issue[] {
  const names = (items ?? []).map((item) => item.name).filter((name) => name);
  return new Set(names).size === names.length ? [] : [multipleOneOf(path)];
}

function validateSources(spec: NonNullable<Build['spec']>): Issue[] {
  const { source, sources = [] } = spec;
  if (source && sources.length > 0) return [multipleOneOf('spec.source', 'spec.sources')];
  const issues: Issue[] = [];
  // Without names nobody could tell their containers apart.
  const names = sources.map((item) => item.name ?? '');
  if (new Set(names).size !== names.length) issues.push(multipleOneOf('spec.sources.name'));
  if (sources.filter((item) => item.subPath).length > 1) issues.push(multipleOneOf('spec.sources.subpath'));
  return [...issues, ...validateTargets(sources)];
}

function validateTargets(sources: readonly BuildSource[]): Issue[] {
  const path = 'spec.sources.targetPath';
  const issues: Issue[] = [];
  const targets: string[] = [];
  let untargeted = false;
  for (const { custom, targetPath } of sources) {
    if (custom) {
      if (targetPath) issues.push(invalidValue(targetPath, path));
      continue;
    }
    if (!targetPath) {
      if (untargeted) issues.push(invalidValue('Empty Target Path', path));
      untargeted = true;
      continue;
    }
    const normal = `${targetPath.replace(/^\/+|\/+$/g, '')}/`;
    if (normal.split('/').includes('..')) issues.push(invalidValue(targetPath, path));
    if (targets.some((other) => other.startsWith(normal) || normal.startsWith(other))) {
      issues.push(fault('Overlapping Target Paths', path));
    }
    targets.push(normal);
  }
  return issues;
}

function validateTimeout(timeout: string | undefined): Issue[] {
  if (timeout === undefined || timeout === '') return [];
  const ms = parseDuration(timeout);
  if (ms === undefined) return [invalidValue(timeout, 'spec.timeout')];
  return ms < 0 || ms > maxTimeoutMs
    ? [fault(`expected 0 <= ${formatDuration(ms)} <= 24`, 'spec.timeout')]
    : [];
}
