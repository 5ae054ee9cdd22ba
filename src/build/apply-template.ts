/** A build's steps and volumes, taken from its template with the arguments put in. Pure. */
import type { BuildSpec } from '../api/build/build.ts';
import type { BuildStep, TemplateSpec } from '../api/build/schemas.ts';
import type { KubernetesTypes } from '../api/generated/kubernetes-types.ts';
import { InvalidBuildError } from './invalid.ts';

type Volume = KubernetesTypes['core.v1.Volume'];

/** What a pod is made from, once templates are out of the way. */
export interface ResolvedSteps {
  readonly steps: readonly BuildStep[];
  readonly volumes: readonly Volume[];
}

/** A placeholder inside of another: `${A${B}}`. */
const nestedPlaceholder = /\$\{[^}]+\$/;

/** Throws {@link InvalidBuildError} when arguments and template do not fit. */
export function applyTemplate(spec: BuildSpec, template: TemplateSpec | undefined): ResolvedSteps {
  const volumes = spec.volumes ?? [];
  if (!spec.template) return { steps: spec.steps ?? [], volumes };
  const { steps = [], parameters = [], volumes: templateVolumes = [] } = template ?? {};
  requireNoNesting(steps);
  const values = new Map<string, string>();
  for (const { name, default: value } of parameters) if (value !== undefined) values.set(name, value);
  const given = new Set<string>();
  for (const { name, value } of spec.template.arguments ?? []) {
    if (given.has(name))
      throw new InvalidBuildError(`duplicate argument name ${JSON.stringify(name)}`, 'DuplicateArgName');
    given.add(name);
    values.set(name, value);
  }
  const missing = parameters.filter(({ name }) => !values.has(name));
  if (missing.length > 0) {
    const list = missing.map(({ name, description }) => (description ? `${name} (${description})` : name));
    throw new InvalidBuildError(
      `build template parameters without value: ${list.join(', ')}`,
      'UnsatisfiedParameter',
    );
  }
  const replace = substitution(values);
  const env = (spec.template.env ?? []).map((entry) => replaceIn(entry, ['value'], replace));
  return {
    steps: steps.map((step) => withEnv(replaceInStep(step, replace), env)),
    volumes: [...volumes, ...templateVolumes.map((volume) => replaceInVolume(volume, replace))],
  };
}

function requireNoNesting(steps: readonly BuildStep[]): void {
  for (const step of steps) {
    const texts = [
      step.name,
      step.workingDir,
      ...(step.args ?? []),
      ...(step.command ?? []),
      ...(step.env ?? []).map((entry) => entry.value),
    ];
    const bad = texts.find((text) => text !== undefined && nestedPlaceholder.test(text));
    if (bad === undefined) continue;
    throw new InvalidBuildError(`nested placeholder in ${JSON.stringify(bad)}`, 'NestedPlaceholder');
  }
}

type Replace = (text: string) => string;

/** `${NAME}` by its value, in one pass: a value is never looked into. Unknown placeholders stay as they are. */
export function substitution(values: ReadonlyMap<string, string>): Replace {
  return (text) => text.replaceAll(/\$\{([^{}]+)\}/g, (whole, name: string) => values.get(name) ?? whole);
}

/** A copy with the named members replaced where they are set. */
function replaceIn<T extends object>(object: T, members: readonly (keyof T)[], replace: Replace): T {
  const copy = { ...object };
  for (const member of members) {
    const text = copy[member];
    if (typeof text === 'string') Object.assign(copy, { [member]: replace(text) });
  }
  return copy;
}

function replaceInStep(step: BuildStep, replace: Replace): BuildStep {
  return {
    ...replaceIn(step, ['name', 'image', 'workingDir'], replace),
    ...(step.command && { command: step.command.map(replace) }),
    ...(step.args && { args: step.args.map(replace) }),
    ...(step.env && { env: step.env.map((entry) => replaceIn(entry, ['value'], replace)) }),
    ...(step.volumeMounts && {
      volumeMounts: step.volumeMounts.map((mount) =>
        replaceIn(mount, ['name', 'mountPath', 'subPath'], replace),
      ),
    }),
  };
}

function replaceInVolume(volume: Volume, replace: Replace): Volume {
  const { configMap, secret, persistentVolumeClaim } = volume;
  return {
    ...replaceIn(volume, ['name'], replace),
    ...(configMap && { configMap: replaceIn(configMap, ['name'], replace) }),
    ...(secret && { secret: replaceIn(secret, ['secretName'], replace) }),
    ...(persistentVolumeClaim && {
      persistentVolumeClaim: replaceIn(persistentVolumeClaim, ['claimName'], replace),
    }),
  };
}

/** The template reference's variables win over those of the template's steps. */
function withEnv(step: BuildStep, env: NonNullable<BuildStep['env']>): BuildStep {
  if (env.length === 0) return step;
  const names = new Set(env.map((entry) => entry.name));
  return { ...step, env: [...(step.env ?? []).filter((entry) => !names.has(entry.name)), ...env] };
}
