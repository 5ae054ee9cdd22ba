/** Revision → digests, Deployment, PodAutoscaler and image caches; becomes ready with its first pods. */
import { podAutoscalers, type PodAutoscaler } from '../../api/autoscaling/index.ts';
import { images as imageCaches } from '../../api/caching/index.ts';
import { pods as podResource } from '../../api/kubernetes/pods.ts';
import { deployments, type Deployment } from '../../api/kubernetes/workloads.ts';
import { conditionUnknown, nextConditions, type ConditionValue } from '../../api/knative/conditions.ts';
import type { ServingConfig } from '../../api/serving/config/index.ts';
import { annotations, labels } from '../../api/serving/labels.ts';
import { revisions, type Revision } from '../../api/serving/index.ts';
import { isPodReady, type Pod } from '../../api/pods.ts';
import { deepEqual } from '../../base/json.ts';
import { watches, type Controller } from '../../kube/controller/controller.ts';
import { writeStatus } from '../../kube/controller/write-status.ts';
import { createOrGet, includesAll, isControlledBy, patchChild } from '../apply.ts';
import type { ImageResolver, ServingEnv } from '../env.ts';
import { resolveDigests, type ContainerDigest } from './digests.ts';
import { initialReplicas, makeDeployment } from './resources/deployment.ts';
import { deploymentName, imageCacheName } from './resources/names.ts';
import { makeImageCache, makePodAutoscaler, reachabilityOf } from './resources/pod-autoscaler.ts';
import {
  containerMissing,
  isFailed,
  judgeRevision,
  notOwned,
  resolvingDigests,
  revisionConditions,
  type RevisionVerdict,
} from './status.ts';

/** Wait before asking again for an image that was not there, ms: a quarter of the revision's age within these. */
const imageRetry = { min: 1_000, max: 60_000 };

interface Images {
  readonly containers: ContainerDigest[];
  readonly initContainers: ContainerDigest[];
}

export function revisionController(env: ServingEnv, resolver: ImageResolver): Controller {
  const { client, clock, informers } = env;
  const revisionInformer = informers.for(revisions);
  const deploymentInformer = informers.for(deployments);
  const autoscalerInformer = informers.for(podAutoscalers);
  const cacheInformer = informers.for(imageCaches);
  const podInformer = informers.for(podResource);

  return {
    name: 'revision',
    // A starting pod changes several times within milliseconds; one look at the end of that is enough.
    restMs: 5,
    root: revisions,
    owns: [deployments, podAutoscalers],
    watches: [
      watches(podResource, ({ metadata }) => {
        const name = metadata.labels?.[labels.revision];
        return name ? [`${metadata.namespace}/${name}`] : [];
      }),
    ],
    concurrency: 16,
    async reconcile({ namespace, name }, { signal }) {
      const revision = revisionInformer.get(`${namespace}/${name}`);
      if (!revision || revision.metadata.deletionTimestamp) return undefined;
      const config = env.config.current;

      const digests = await resolveDigests(revision, resolver, config, signal);
      if ('missing' in digests) {
        const missing = containerMissing(digests.missing, digests.message);
        await say(revision, { ResourcesAvailable: missing, ContainerHealthy: missing }, config);
        return { requeueAfter: retryDelay(revision) };
      }
      const pods = podsOf(revision);
      const autoscalerBefore = autoscalerInformer.get(`${namespace}/${name}`);
      const deploymentBefore = deploymentInformer.get(`${namespace}/${deploymentName(name)}`);
      const [deployment, autoscaler] = await Promise.all([
        applyDeployment(revision, deploymentBefore, digests, config),
        applyAutoscaler(revision, autoscalerBefore, pods, config),
        applyImageCaches(revision, digests),
      ]);
      if (!isControlledBy(deployment, revision)) {
        const foreign = notOwned('Deployment', deployment.metadata.name);
        await say(revision, { ResourcesAvailable: foreign }, config, digests);
        return undefined;
      }
      if (!isControlledBy(autoscaler, revision)) {
        await say(revision, { ResourcesAvailable: notOwned('PodAutoscaler', name) }, config, digests);
        return undefined;
      }
      const verdict = judge(revision, deployment, autoscaler, pods, config);
      await say(revision, verdict, config, digests, autoscaler);
      return undefined;
    },
  };

  function podsOf({ metadata }: Revision): Pod[] {
    const filter = {
      namespace: metadata.namespace ?? '',
      labels: { [labels.revisionUid]: metadata.uid ?? '' },
    };
    return podInformer.list(filter).filter((pod) => !pod.metadata.deletionTimestamp);
  }

  function judge(
    revision: Revision,
    deployment: Deployment,
    autoscaler: PodAutoscaler | undefined,
    pods: readonly Pod[],
    config: ServingConfig,
  ): RevisionVerdict {
    const { containers = [], initContainers = [] } = revision.spec ?? {};
    return judgeRevision({
      deployment,
      pods,
      autoscaler,
      initialScale: initialReplicas(revision, config),
      containers: new Set([...containers, ...initContainers].map((container) => container.name ?? '')),
      alwaysSchedulable: config.deployment.podIsAlwaysSchedulable,
    });
  }

  async function applyDeployment(
    revision: Revision,
    existing: Deployment | undefined,
    images: Images,
    config: ServingConfig,
  ): Promise<Deployment> {
    const byName = new Map(
      [...images.containers, ...images.initContainers].map(({ name, imageDigest }) => [
        name,
        imageDigest ?? '',
      ]),
    );
    const desired = makeDeployment(revision, byName, config);
    if (!existing) return createOrGet(client, deployments, desired);
    const hash = annotations.deploymentHash;
    const same = existing.metadata.annotations?.[hash] === desired.metadata.annotations?.[hash];
    if (same || !isControlledBy(existing, revision)) return existing;
    // Everything but the number of pods, which belongs to the autoscaler.
    const spec = { ...desired.spec, replicas: existing.spec?.replicas };
    const metadata = {
      ...existing.metadata,
      labels: { ...existing.metadata.labels, ...desired.metadata.labels },
      annotations: { ...existing.metadata.annotations, ...desired.metadata.annotations },
    };
    return client.update(deployments, { ...desired, metadata, spec } as Deployment);
  }

  async function applyAutoscaler(
    revision: Revision,
    existing: PodAutoscaler | undefined,
    pods: readonly Pod[],
    config: ServingConfig,
  ): Promise<PodAutoscaler> {
    const deployment = deploymentInformer.get(
      `${revision.metadata.namespace}/${deploymentName(revision.metadata.name)}`,
    );
    const failed =
      deployment !== undefined &&
      !pods.some(isPodReady) &&
      isFailed(judge(revision, deployment, existing, pods, config));
    const desired = makePodAutoscaler(revision, reachabilityOf(revision, failed));
    if (!existing) return createOrGet(client, podAutoscalers, desired);
    const sameSpec = deepEqual(existing.spec, desired.spec);
    const sameAnnotations = includesAll(existing.metadata.annotations, desired.metadata.annotations);
    if ((sameSpec && sameAnnotations) || !isControlledBy(existing, revision)) return existing;
    const body = { metadata: { annotations: desired.metadata.annotations }, spec: desired.spec };
    return patchChild(client, podAutoscalers, existing, body);
  }

  async function applyImageCaches(revision: Revision, images: Images): Promise<void> {
    const { namespace, name } = revision.metadata;
    const all = [...(revision.spec?.containers ?? []), ...(revision.spec?.initContainers ?? [])];
    const digests = new Map(
      [...images.containers, ...images.initContainers].map((d) => [d.name, d.imageDigest]),
    );
    await Promise.all(
      all.map(async (container) => {
        const own = container.name ?? '';
        if (cacheInformer.get(`${namespace}/${imageCacheName(name, own)}`)) return;
        const image = digests.get(own) || container.image || '';
        await createOrGet(client, imageCaches, makeImageCache(revision, own, image));
      }),
    );
  }

  async function say(
    revision: Revision,
    values: { readonly [type: string]: ConditionValue },
    config: ServingConfig,
    images?: Images,
    autoscaler?: PodAutoscaler,
  ): Promise<void> {
    const { generation, uid = '' } = revision.metadata;
    const old = revision.status;
    const unjudged = images ? conditionUnknown('Deploying') : resolvingDigests;
    const logTemplate = config.observability.revisionUrlTemplate;
    const { actualScale, desiredScale } = autoscaler?.status ?? {};
    const status: Revision['status'] = {
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      conditions: nextConditions(
        revisionConditions,
        old?.conditions,
        { ResourcesAvailable: unjudged, ContainerHealthy: unjudged, ...values },
        clock.now(),
      ),
      containerStatuses: images?.containers ?? old?.containerStatuses ?? [],
      ...(images?.initContainers.length ? { initContainerStatuses: images.initContainers } : {}),
      ...(actualScale === undefined ? {} : { actualReplicas: actualScale }),
      ...(desiredScale === undefined || desiredScale < 0 ? {} : { desiredReplicas: desiredScale }),
      ...(logTemplate ? { logUrl: logTemplate.replaceAll('${REVISION_UID}', uid) } : {}),
    };
    await writeStatus(client, revisions, revision, status);
  }

  function retryDelay({ metadata }: Revision): number {
    const age = clock.now() - Date.parse(metadata.creationTimestamp ?? '');
    return Math.min(imageRetry.max, Math.max(imageRetry.min, (Number.isFinite(age) ? age : 0) / 4));
  }
}
