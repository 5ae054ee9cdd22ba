import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Build, BuildSpec } from '../../src/api/build/build.ts';
import type { Pod } from '../../src/api/pods.ts';
import { applyTemplate } from '../../src/build/apply-template.ts';
import type { BuildConfig } from '../../src/build/config.ts';
import { makeCredentials } from '../../src/build/credentials.ts';
import { InvalidBuildError } from '../../src/build/invalid.ts';
import { localPath, makePod } from '../../src/build/resources/pod.ts';
import { statusFromPod } from '../../src/build/status.ts';

const config: BuildConfig = {
  images: { git: 'tools/git', credentials: 'tools/git', nop: 'base/node' },
  registryEndpoint: () => 'http://10.0.0.1:5',
  registryAliases: () => ['localhost:5', '127.0.0.1:5'],
  localSources: true,
};

function makeBuild(spec: BuildSpec): Build {
  return {
    apiVersion: 'build.knative.dev/v1alpha1',
    kind: 'Build',
    metadata: {
      name: 'b',
      namespace: 'ns',
      uid: 'u-1',
      generation: 3,
      labels: { own: 'label' },
      annotations: { own: 'annotation' },
    },
    spec,
  };
}

function podOf(spec: BuildSpec, over: Partial<BuildConfig> = {}): Pod {
  const build = makeBuild(spec);
  const resolved = applyTemplate(spec, undefined);
  const credentials = makeCredentials([]);
  return makePod({ build, name: 'b-pod-abc123', resolved, credentials, config: { ...config, ...over } });
}

const initNames = (pod: Pod): string[] => (pod.spec?.initContainers ?? []).map((container) => container.name);

const toolEnv = [
  { name: 'HOME', value: '/builder/home' },
  { name: 'KNAPSACK_REGISTRY', value: 'http://10.0.0.1:5' },
  { name: 'KNAPSACK_REGISTRY_ALIASES', value: 'localhost:5,127.0.0.1:5' },
];
const log = { name: 'KNAPSACK_TERMINATION_LOG', value: '/dev/termination-log' };
const mounts = [
  { name: 'workspace', mountPath: '/workspace' },
  { name: 'home', mountPath: '/builder/home' },
];

describe('the pod of a build', () => {
  it('fetches, runs the steps in order, and ends', () => {
    const pod = podOf({
      source: { git: { url: 'https://git.example/x', revision: 'main' }, targetPath: 'src' },
      steps: [
        { image: 'a', args: ['x'] },
        { name: 'two', image: 'b', env: [{ name: 'HOME', value: '/mine' }], workingDir: '/w' },
      ],
      serviceAccountName: 'sa',
      nodeSelector: { disk: 'ssd' },
    });
    assert.deepEqual(pod, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: 'b-pod-abc123',
        namespace: 'ns',
        labels: { own: 'label', 'build.knative.dev/buildName': 'b' },
        annotations: { own: 'annotation', 'sidecar.istio.io/inject': 'false' },
        ownerReferences: [
          {
            apiVersion: 'build.knative.dev/v1alpha1',
            kind: 'Build',
            name: 'b',
            uid: 'u-1',
            controller: true,
            blockOwnerDeletion: true,
          },
        ],
      },
      spec: {
        restartPolicy: 'Never',
        initContainers: [
          {
            name: 'build-step-credential-initializer',
            image: 'tools/git',
            command: ['node', 'src/build/steps/credentials.ts'],
            args: ['--home=/builder/home'],
            workingDir: '/opt/knapsack',
            env: [...toolEnv, log],
            volumeMounts: mounts,
          },
          {
            name: 'build-step-git-source-0',
            image: 'tools/git',
            command: ['node', 'src/build/steps/git-source.ts'],
            args: ['--url=https://git.example/x', '--revision=main', '--workspace=/workspace', '--path=src'],
            workingDir: '/opt/knapsack',
            env: [...toolEnv, log],
            volumeMounts: mounts,
          },
          {
            name: 'build-step-unnamed-0',
            image: 'a',
            args: ['x'],
            env: [...toolEnv, log],
            volumeMounts: mounts,
            workingDir: '/workspace',
          },
          {
            name: 'build-step-two',
            image: 'b',
            env: [...toolEnv.slice(1), { name: 'HOME', value: '/mine' }, log],
            volumeMounts: mounts,
            workingDir: '/w',
          },
        ],
        containers: [
          { name: 'nop', image: 'base/node', command: ['node', '-e', 'console.log("Build successful")'] },
        ],
        volumes: [
          { name: 'workspace', emptyDir: {} },
          { name: 'home', emptyDir: {} },
        ],
        serviceAccountName: 'sa',
        nodeSelector: { disk: 'ssd' },
      },
    });
  });

  it('names sources, and runs custom ones after all others', () => {
    const pod = podOf({
      sources: [
        { name: 'c1', custom: { image: 'c' } },
        { name: 'g', git: { url: 'https://x', revision: 'r' } },
        { name: 'c2', custom: { image: 'c' } },
      ],
      steps: [{ image: 'x' }],
    });
    assert.deepEqual(initNames(pod), [
      'build-step-credential-initializer',
      'build-step-git-source-g',
      'build-step-custom-source-c2',
      'build-step-custom-source-c1',
      'build-step-unnamed-2',
    ]);
  });

  it('shows steps the subdirectory of the source, and git the whole', () => {
    const pod = podOf({
      source: { git: { url: 'https://x', revision: 'r' }, subPath: 'dir' },
      steps: [{ image: 'x', volumeMounts: [{ name: 'other', mountPath: '/builder/home/' }] }],
      volumes: [{ name: 'other', emptyDir: {} }],
    });
    const [, source, step] = pod.spec?.initContainers ?? [];
    assert.deepEqual(source?.volumeMounts, mounts);
    assert.deepEqual(step?.volumeMounts, [
      { name: 'workspace', mountPath: '/workspace', subPath: 'dir' },
      { name: 'other', mountPath: '/builder/home/' },
    ]);
  });

  it('mounts a local repository read-only', () => {
    const pod = podOf({
      source: { git: { url: 'file:///srv/my%20repo', revision: 'r' } },
      steps: [{ image: 'x' }],
    });
    const source = pod.spec?.initContainers?.[1];
    assert.equal(source?.args?.[0], '--url=/var/build-sources/0');
    assert.deepEqual(source?.volumeMounts?.at(-1), {
      name: 'git-source-0',
      mountPath: '/var/build-sources/0',
      readOnly: true,
    });
    assert.deepEqual(pod.spec?.volumes?.at(-1), {
      name: 'git-source-0',
      hostPath: { path: '/srv/my repo', type: 'Directory' },
    });
  });

  it('tells paths of this machine from URLs', () => {
    const cases: { [url: string]: string | undefined } = {
      '/srv/x': '/srv/x',
      'file:///srv/x.git': '/srv/x.git',
      'file://localhost/srv': '/srv',
      'file://elsewhere/srv': undefined,
      'https://h/x': undefined,
      'git@h:x': undefined,
      'ssh://git@h/x': undefined,
    };
    for (const [url, path] of Object.entries(cases)) assert.equal(localPath(url), path, url);
  });

  const refused: [string, BuildSpec, Partial<BuildConfig>, RegExp][] = [
    ['a git source without URL', { source: { git: { revision: 'r' } } }, {}, /Url/],
    ['a git source without revision', { source: { git: { url: 'u' } } }, {}, /Revision/],
    [
      'a local path where the node is another machine',
      { source: { git: { url: '/x', revision: 'r' } } },
      { localSources: false },
      /UnsupportedSource/,
    ],
    ['an empty source', { source: {} }, {}, /git, gcs or custom/],
    [
      'a named custom source',
      { source: { custom: { name: 'n', image: 'x' } } },
      {},
      /its name must be empty/,
    ],
  ];
  for (const [what, spec, over, message] of refused) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => podOf({ ...spec, steps: [{ image: 'x' }] }, over),
        (error) => error instanceof InvalidBuildError && message.test(error.message),
      );
    });
  }

  it('mounts the secrets that are for builds', () => {
    const secret = (name: string, type: string, annotations: { [key: string]: string } = {}) => ({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name, annotations },
      type,
    });
    const found = makeCredentials([
      secret('basic', 'kubernetes.io/basic-auth', {
        'build.knative.dev/docker-1': 'https://b',
        'build.knative.dev/docker-0': 'https://a',
        'build.knative.dev/git-0': 'https://g',
      }),
      secret('ssh', 'kubernetes.io/ssh-auth', { 'build.knative.dev/git-0': 'g:22' }),
      secret('json', 'kubernetes.io/dockerconfigjson'),
      secret('other', 'Opaque', { 'build.knative.dev/git-0': 'x' }),
      secret('unused', 'kubernetes.io/basic-auth'),
    ]);
    assert.deepEqual(found.args, [
      '--secret=basic=/var/build-secrets/basic',
      '--basic-docker=basic=https://a',
      '--basic-docker=basic=https://b',
      '--basic-git=basic=https://g',
      '--secret=ssh=/var/build-secrets/ssh',
      '--ssh-git=ssh=g:22',
      '--secret=json=/var/build-secrets/json',
      '--docker-json=json',
    ]);
    assert.deepEqual(
      found.mounts.map((mount) => mount.mountPath),
      ['/var/build-secrets/basic', '/var/build-secrets/ssh', '/var/build-secrets/json'],
    );
    const bad = secret('hub', 'kubernetes.io/basic-auth', {
      'build.knative.dev/docker-0': 'index.docker.io',
    });
    assert.throws(() => makeCredentials([bad]), /BadSecretAnnotation: Secret hub/);
  });
});

describe('the status of a build', () => {
  const now = Date.parse('2026-01-01T00:10:00Z');
  const build = makeBuild({ source: { git: { url: 'u', revision: 'r' } }, steps: [{ image: 'x' }] });
  const terminated = (exitCode: number, finishedAt: string, message = '') => ({
    terminated: { exitCode, finishedAt, ...(message && { message }) },
  });
  const status = (name: string, state: object) => ({
    name,
    image: 'i',
    imageID: 'i@sha256:1',
    ready: false,
    restartCount: 0,
    state,
  });

  function judge(podStatus: object): ReturnType<typeof statusFromPod> {
    const metadata = { name: 'p', namespace: 'ns', creationTimestamp: '2026-01-01T00:00:00Z' };
    return statusFromPod(build, { apiVersion: 'v1', kind: 'Pod', metadata, status: podStatus }, now);
  }

  const cases: [string, object, { status: string; reason?: string; message?: string }][] = [
    ['a pod without status', {}, { status: 'Unknown', reason: 'Pending', message: 'Pending' }],
    [
      'an init container that waits',
      {
        phase: 'Pending',
        initContainerStatuses: [
          status('build-step-x', { waiting: { reason: 'ErrImagePull', message: 'no such image' } }),
        ],
      },
      {
        status: 'Unknown',
        reason: 'Pending',
        message: 'build step "build-step-x" is pending with reason "no such image"',
      },
    ],
    [
      'a pod that is not scheduled',
      { phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', message: 'no node' }] },
      {
        status: 'Unknown',
        reason: 'Pending',
        message: 'pod status "PodScheduled":"False"; message: "no node"',
      },
    ],
    [
      'a pod with a message',
      { phase: 'Pending', message: 'm' },
      { status: 'Unknown', reason: 'Pending', message: 'm' },
    ],
    ['a running pod', { phase: 'Running' }, { status: 'Unknown', reason: 'Building' }],
    ['an ended pod', { phase: 'Succeeded' }, { status: 'True' }],
    [
      'a failed step',
      {
        phase: 'Failed',
        initContainerStatuses: [
          status('build-step-a', terminated(0, '2026-01-01T00:01:00Z')),
          status('build-step-b', terminated(2, '2026-01-01T00:02:00Z', 'why\n')),
        ],
      },
      {
        status: 'False',
        message:
          'build step "build-step-b" exited with code 2 (image: "i@sha256:1"); for logs run: kubectl -n ns logs p -c build-step-b; it said: why',
      },
    ],
    [
      'a failed pod with a message',
      { phase: 'Failed', message: 'evicted' },
      { status: 'False', message: 'evicted' },
    ],
    [
      'a failed pod',
      { phase: 'Failed' },
      { status: 'False', message: 'build failed for unspecified reasons.' },
    ],
  ];
  for (const [what, podStatus, expected] of cases) {
    it(`of ${what}`, () => {
      const [condition, ...others] = judge(podStatus).conditions ?? [];
      assert.deepEqual(others, []);
      const { type, lastTransitionTime, ...rest } = condition ?? {};
      assert.equal(type, 'Succeeded');
      assert.ok(lastTransitionTime);
      assert.deepEqual(rest, expected);
    });
  }

  it('lists the states of steps alone, and when it started and ended', () => {
    const result = judge({
      phase: 'Failed',
      initContainerStatuses: [
        status('build-step-credential-initializer', terminated(0, '2026-01-01T00:01:00Z')),
        status('build-step-git-source-0', terminated(0, '2026-01-01T00:02:00Z')),
        status('build-step-one', terminated(1, '2026-01-01T00:03:00Z')),
        status('build-step-two', { waiting: { reason: 'PodInitializing' } }),
      ],
    });
    assert.deepEqual(result.stepStates, [
      terminated(1, '2026-01-01T00:03:00Z'),
      { waiting: { reason: 'PodInitializing' } },
    ]);
    assert.deepEqual(result.stepsCompleted, ['build-step-one']);
    assert.equal(result.startTime, '2026-01-01T00:00:00Z');
    assert.equal(result.completionTime, '2026-01-01T00:03:00Z');
    assert.deepEqual(result.cluster, { namespace: 'ns', podName: 'p' });
    assert.equal(result.builder, 'Cluster');
    assert.equal(result.observedGeneration, 3);
  });

  it('has an end time also when no container says one', () => {
    assert.equal(judge({ phase: 'Failed' }).completionTime, '2026-01-01T00:10:00Z');
    assert.equal(judge({ phase: 'Running' }).completionTime, undefined);
  });
});
