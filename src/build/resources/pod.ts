/**
 * The pod of a build: credentials, sources and steps as init containers, so that they run in order, then a container that
 * does nothing. Pure.
 */
import { buildNameLabel, sourcesOf, type Build } from '../../api/build/build.ts';
import type { BuildSource, BuildStep } from '../../api/build/schemas.ts';
import type { KubernetesTypes } from '../../api/generated/kubernetes-types.ts';
import { controllerRef } from '../../api/object.ts';
import type { Container, Pod } from '../../api/pods.ts';
import { stepProgram, toolsDirectory } from '../../image/build/tools.ts';
import type { ResolvedSteps } from '../apply-template.ts';
import type { BuildConfig } from '../config.ts';
import type { BuildCredentials } from '../credentials.ts';
import { InvalidBuildError } from '../invalid.ts';

type Volume = KubernetesTypes['core.v1.Volume'];
type VolumeMount = KubernetesTypes['core.v1.VolumeMount'];
type EnvVar = KubernetesTypes['core.v1.EnvVar'];

export const workspaceDirectory = '/workspace';
const homeDirectory = '/builder/home';
/** Local repositories are mounted below this, read-only. */
const localSourcesDirectory = '/var/build-sources';
const terminationLog = '/dev/termination-log';

const workspaceMount: VolumeMount = { name: 'workspace', mountPath: workspaceDirectory };
const homeMount: VolumeMount = { name: 'home', mountPath: homeDirectory };

export interface PodParts {
  readonly build: Build;
  readonly name: string;
  readonly resolved: ResolvedSteps;
  readonly credentials: BuildCredentials;
  readonly config: BuildConfig;
}

/** Throws {@link InvalidBuildError} for a source that cannot be fetched. */
export function makePod({ build, name, resolved, credentials, config }: PodParts): Pod {
  const { metadata, spec = {} } = build;
  const sources = sourcesOf(build);
  const env = commonEnv(config);
  const fetched = sources.map((source, index) => makeSource(source, index, config, env));
  const custom = sources.filter((source) => source.custom).map((source) => customStep(source));
  // Each goes before those already there, so several custom sources run in reverse order.
  const steps = [...custom.reverse(), ...resolved.steps];
  const subPath = sources.findLast((source) => source.subPath)?.subPath;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      ...(metadata.namespace && { namespace: metadata.namespace }),
      labels: { ...metadata.labels, [buildNameLabel]: metadata.name },
      annotations: { ...metadata.annotations, 'sidecar.istio.io/inject': 'false' },
      ownerReferences: [controllerRef(build)],
    },
    spec: {
      restartPolicy: 'Never',
      initContainers: [
        makeCredentialContainer(credentials, config, env),
        ...fetched.map((part) => part.container).filter((container) => container !== undefined),
        ...steps.map((step, index) => makeStep(step, index, subPath, env)),
      ],
      containers: [
        {
          name: 'nop',
          image: config.images.nop,
          command: ['node', '-e', 'console.log("Build successful")'],
        },
      ],
      volumes: [
        { name: 'workspace', emptyDir: {} },
        { name: 'home', emptyDir: {} },
        ...credentials.volumes,
        ...fetched.map((part) => part.volume).filter((volume) => volume !== undefined),
        ...resolved.volumes,
      ],
      ...(spec.serviceAccountName && { serviceAccountName: spec.serviceAccountName }),
      ...(spec.nodeSelector && { nodeSelector: spec.nodeSelector }),
      ...(spec.affinity && { affinity: spec.affinity }),
    },
  };
}

function commonEnv(config: BuildConfig): EnvVar[] {
  const endpoint = config.registryEndpoint?.();
  const aliases = config.registryAliases?.() ?? [];
  return [
    { name: 'HOME', value: homeDirectory },
    ...(endpoint ? [{ name: 'KNAPSACK_REGISTRY', value: endpoint }] : []),
    ...(endpoint && aliases.length > 0
      ? [{ name: 'KNAPSACK_REGISTRY_ALIASES', value: aliases.join(',') }]
      : []),
  ];
}

/** One of Knapsack's own step programs. It runs where the code is; the workspace is told by argument. */
function makeTool(
  name: string,
  image: string,
  program: string,
  args: readonly string[],
  env: EnvVar[],
): Container {
  return {
    name,
    image,
    command: ['node', stepProgram(program)],
    args: [...args],
    workingDir: toolsDirectory,
    env: [...env, { name: 'KNAPSACK_TERMINATION_LOG', value: terminationLog }],
    volumeMounts: [workspaceMount, homeMount],
  };
}

function makeCredentialContainer(
  credentials: BuildCredentials,
  config: BuildConfig,
  env: EnvVar[],
): Container {
  const args = [`--home=${homeDirectory}`, ...credentials.args];
  const tool = makeTool(
    'build-step-credential-initializer',
    config.images.credentials,
    'credentials',
    args,
    env,
  );
  return { ...tool, volumeMounts: [...(tool.volumeMounts ?? []), ...credentials.mounts] };
}

interface SourceParts {
  readonly container?: Container;
  readonly volume?: Volume;
}

function makeSource(source: BuildSource, index: number, config: BuildConfig, env: EnvVar[]): SourceParts {
  if (source.custom) {
    if (source.custom.name) {
      throw new InvalidBuildError('custom source: its name must be empty', 'UnexpectedName');
    }
    return {};
  }
  if (source.git) return makeGitSource(source, source.git, index, config, env);
  if (source.gcs) {
    throw new InvalidBuildError(
      'sources in Google Cloud Storage cannot be fetched here',
      'UnsupportedSource',
    );
  }
  throw new InvalidBuildError('a source needs git, gcs or custom', 'MissingSource');
}

function makeGitSource(
  source: BuildSource,
  git: NonNullable<BuildSource['git']>,
  index: number,
  config: BuildConfig,
  env: EnvVar[],
): SourceParts {
  if (!git.url) throw new InvalidBuildError('git sources are expected to specify a Url', 'MissingUrl');
  if (!git.revision) {
    throw new InvalidBuildError('git sources are expected to specify a Revision', 'MissingRevision');
  }
  const suffix = source.name || String(index);
  const local = localPath(git.url);
  if (local !== undefined && !config.localSources) {
    throw new InvalidBuildError(
      `${git.url} is a path of the machine; push it to a git server`,
      'UnsupportedSource',
    );
  }
  const mountPath = `${localSourcesDirectory}/${index}`;
  const args = [
    `--url=${local === undefined ? git.url : mountPath}`,
    `--revision=${git.revision}`,
    `--workspace=${workspaceDirectory}`,
    ...(source.targetPath ? [`--path=${source.targetPath}`] : []),
  ];
  const container = makeTool(`build-step-git-source-${suffix}`, config.images.git, 'git-source', args, env);
  if (local === undefined) return { container };
  const name = `git-source-${index}`;
  return {
    container: {
      ...container,
      volumeMounts: [...(container.volumeMounts ?? []), { name, mountPath, readOnly: true }],
    },
    volume: { name, hostPath: { path: local, type: 'Directory' } },
  };
}

/** The path of a `file:` URL or an absolute path; undefined for what lies elsewhere. */
export function localPath(url: string): string | undefined {
  if (url.startsWith('/')) return url;
  if (!url.startsWith('file:')) return undefined;
  const parsed = URL.parse(url);
  if (parsed?.protocol !== 'file:' || (parsed.host !== '' && parsed.host !== 'localhost')) return undefined;
  try {
    return decodeURIComponent(parsed.pathname);
  } catch {
    return undefined;
  }
}

function customStep(source: BuildSource): BuildStep {
  return { ...source.custom, name: source.name ? `custom-source-${source.name}` : 'custom-source' };
}

function makeStep(step: BuildStep, index: number, subPath: string | undefined, env: EnvVar[]): Container {
  const own = step.env ?? [];
  const mounted = new Set(
    (step.volumeMounts ?? []).map((mount) => mount.mountPath.replace(/(?<=.)\/+$/, '')),
  );
  const workspace = subPath ? { ...workspaceMount, subPath } : workspaceMount;
  const implicit = [workspace, homeMount].filter((mount) => !mounted.has(mount.mountPath));
  return {
    ...step,
    name: step.name ? `build-step-${step.name}` : `build-step-unnamed-${index}`,
    env: [
      ...env.filter(({ name }) => !own.some((entry) => entry.name === name)),
      ...own,
      // Knapsack's programs leave their results there; it means nothing to others.
      { name: 'KNAPSACK_TERMINATION_LOG', value: step.terminationMessagePath ?? terminationLog },
    ],
    volumeMounts: [...implicit, ...(step.volumeMounts ?? [])],
    workingDir: step.workingDir || workspaceDirectory,
  };
}
