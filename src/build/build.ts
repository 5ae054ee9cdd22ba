/** The Build reconciler. */
import { randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { parseDuration } from '../base/duration.ts';
import { messageOf } from '../base/errors.ts';
import { deepEqual } from '../base/json.ts';
import {
  builds,
  defaultBuildTimeout,
  isCancelled,
  sourcesOf,
  type Build,
  type BuildStatus,
} from '../api/build/build.ts';
import { buildTemplates, clusterBuildTemplates, type BuildTemplate } from '../api/build/template.ts';
import { conditionFalse, conditionUnknown } from '../api/knative/conditions.ts';
import { pods, secrets, serviceAccounts } from '../api/kubernetes/index.ts';
import { controllerOf } from '../api/object.ts';
import type { Pod } from '../api/pods.ts';
import { ApiError, isAlreadyExists, isNotFound } from '../kube/api-error.ts';
import type { ObjectKey } from '../kube/client/client.ts';
import type { Controller, ControllerEnv, Outcome } from '../kube/controller/controller.ts';
import { applyTemplate } from './apply-template.ts';
import type { BuildConfig } from './config.ts';
import { makeCredentials, type BuildCredentials } from './credentials.ts';
import { InvalidBuildError } from './invalid.ts';
import { localPath, makePod } from './resources/pod.ts';
import { isDone, isStopped, statusFromPod, withSucceeded } from './status.ts';

/** A namespace's `default` ServiceAccount is made a moment after the namespace: so long is it waited for, ms. */
const serviceAccountGraceMs = 10_000;

export function buildController(env: ControllerEnv, config: BuildConfig): Controller {
  const reconciler = new BuildReconciler(env, config);
  return {
    name: 'build',
    root: builds,
    owns: [pods],
    reconcile: (key) => reconciler.reconcile(key),
  };
}

class BuildReconciler {
  readonly #env: ControllerEnv;
  readonly #config: BuildConfig;

  constructor(env: ControllerEnv, config: BuildConfig) {
    this.#env = env;
    this.#config = config;
  }

  /** Ends, then waits for the first of: refused, named, cancelled, timed out, ended. */
  async reconcile(key: ObjectKey): Promise<Outcome> {
    const build = this.#env.informers.for(builds).get(`${key.namespace}/${key.name}`);
    if (!build || build.metadata.deletionTimestamp) return undefined;
    if (isDone(build)) {
      if (isStopped(build)) await this.#deletePod(build);
      return undefined;
    }
    if (isCancelled(build)) {
      return await this.#stop(build, 'BuildCancelled', `Build "${key.name}" was cancelled`);
    }
    try {
      return build.status?.cluster?.podName ? await this.#follow(build) : await this.#begin(build);
    } catch (error) {
      if (!(error instanceof InvalidBuildError)) throw error;
      const refusal = conditionFalse('BuildValidationFailed', error.message);
      await this.#write(
        build,
        withSucceeded(build, refusal, this.#env.clock.now(), {
          builder: 'Cluster',
          cluster: { namespace: key.namespace ?? '', podName: '' },
        }),
      );
      return undefined;
    }
  }

  /** Gives the pod its name in the status before it exists, so that a build can never get two pods. */
  async #begin(build: Build): Promise<Outcome> {
    const { name, namespace = '' } = build.metadata;
    const podName = `${name}-pod-${randomBytes(3).toString('hex')}`;
    const made = await this.#makePod(build, podName);
    if (!made) return { requeueAfter: 500 };
    const status = withSucceeded(build, conditionUnknown('Pending', 'Pending'), this.#env.clock.now(), {
      builder: 'Cluster',
      cluster: { namespace, podName },
    });
    await this.#write(build, status);
    // The write comes back as a change of the build, and the pod is made then.
    return undefined;
  }

  async #follow(build: Build): Promise<Outcome> {
    const now = this.#env.clock.now();
    const pod = await this.#pod(build);
    if (!pod) return { requeueAfter: 500 };
    const status = statusFromPod(build, pod, now);
    const timeout = parseDuration(build.spec?.timeout || defaultBuildTimeout) ?? 0;
    const left = Date.parse(status.startTime ?? '') + timeout - now;
    const ended = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
    if (!ended && left <= 0) {
      const limit = build.spec?.timeout || defaultBuildTimeout;
      const message = `Build "${build.metadata.name}" failed to finish within "${limit}"`;
      return await this.#stop(
        { ...build, status: { ...status, conditions: build.status?.conditions ?? [] } },
        'BuildTimeout',
        message,
      );
    }
    await this.#write(build, status);
    return ended || Number.isNaN(left) ? undefined : { requeueAfter: left };
  }

  /** The pod, made when it is missing. Undefined: the build has been refused, or has to be looked at again. */
  async #pod(build: Build): Promise<Pod | undefined> {
    const { namespace = '' } = build.metadata;
    const name = build.status?.cluster?.podName ?? '';
    const known = this.#env.informers.for(pods).get(`${namespace}/${name}`);
    if (known) return known;
    const wanted = await this.#makePod(build, name);
    if (!wanted) return undefined;
    try {
      return await this.#env.client.create(pods, wanted);
    } catch (error) {
      if (isAlreadyExists(error)) {
        const found = await this.#env.client.get(pods, { namespace, name });
        if (controllerOf(found)?.uid === build.metadata.uid) return found;
      } else if (!(error instanceof ApiError) || error.code >= 500 || error.code === 429) {
        throw error;
      }
      const refusal = conditionFalse('BuildExecuteFailed', messageOf(error));
      await this.#write(build, withSucceeded(build, refusal, this.#env.clock.now()));
      return undefined;
    }
  }

  async #makePod(build: Build, name: string): Promise<Pod | undefined> {
    const credentials = await this.#credentials(build);
    if (!credentials) return undefined;
    const template = await this.#template(build);
    const resolved = applyTemplate(build.spec ?? {}, template?.spec);
    if (this.#config.localSources) await refuseMissingPaths(build);
    return makePod({ build, name, resolved, credentials, config: this.#config });
  }

  async #template(build: Build): Promise<BuildTemplate | undefined> {
    const reference = build.spec?.template;
    if (!reference) return undefined;
    const { name = '', kind = 'BuildTemplate' } = reference;
    const { namespace = '' } = build.metadata;
    const { client } = this.#env;
    if (kind === 'ClusterBuildTemplate') return await orInvalid(client.get(clusterBuildTemplates, { name }));
    if (kind === 'BuildTemplate') return await orInvalid(client.get(buildTemplates, { namespace, name }));
    throw new InvalidBuildError(
      `${kind} is neither BuildTemplate nor ClusterBuildTemplate`,
      'Incorrect Template Kind',
    );
  }

  /** Undefined: the ServiceAccount is still to come. */
  async #credentials(build: Build): Promise<BuildCredentials | undefined> {
    const { namespace = '', creationTimestamp = '' } = build.metadata;
    const name = build.spec?.serviceAccountName || 'default';
    const { client, clock } = this.#env;
    let account;
    try {
      account = await client.get(serviceAccounts, { namespace, name });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      const age = clock.now() - Date.parse(creationTimestamp);
      if (name === 'default' && age < serviceAccountGraceMs) return undefined;
      throw new InvalidBuildError(messageOf(error));
    }
    const names = (account.secrets ?? [])
      .map((secret) => secret.name)
      .filter((secret) => secret !== undefined);
    return makeCredentials(
      await Promise.all(names.map((secret) => orInvalid(client.get(secrets, { namespace, name: secret })))),
    );
  }

  /** The condition first: should this process end between the two, the next one still deletes the pod. */
  async #stop(build: Build, reason: string, message: string): Promise<Outcome> {
    await this.#write(build, withSucceeded(build, conditionFalse(reason, message), this.#env.clock.now()));
    await this.#deletePod(build);
    return undefined;
  }

  async #deletePod(build: Build): Promise<void> {
    const { namespace = '', uid } = build.metadata;
    const name = build.status?.cluster?.podName;
    if (!name) return;
    const pod = this.#env.informers.for(pods).get(`${namespace}/${name}`);
    if (pod?.metadata.deletionTimestamp || (pod && controllerOf(pod)?.uid !== uid)) return;
    try {
      await this.#env.client.delete(pods, { namespace, name });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async #write(build: Build, status: BuildStatus): Promise<void> {
    const stored = this.#env.informers.for(builds).get(`${build.metadata.namespace}/${build.metadata.name}`);
    if (deepEqual(stored?.status, status)) return;
    await this.#env.client.update(builds, { ...build, status }, { subresource: 'status' });
  }
}

/** What the build names has to exist. */
async function orInvalid<T>(getting: Promise<T>): Promise<T> {
  try {
    return await getting;
  } catch (error) {
    if (isNotFound(error)) throw new InvalidBuildError(messageOf(error));
    throw error;
  }
}

/** A path of this machine that is not there: its volume would keep the pod waiting until the build times out. */
async function refuseMissingPaths(build: Build): Promise<void> {
  for (const { git } of sourcesOf(build)) {
    const path = git?.url === undefined ? undefined : localPath(git.url);
    if (path === undefined) continue;
    const found = await stat(path).catch(() => undefined);
    if (!found?.isDirectory())
      throw new InvalidBuildError(`${path} is not a directory of this machine`, 'MissingSource');
  }
}
