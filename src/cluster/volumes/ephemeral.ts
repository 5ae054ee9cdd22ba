/** Generic ephemeral volumes: each is a claim that lives and goes with its pod (pkg/controller/volume/ephemeral). */
import { controllerRef } from '../../api/object.ts';
import { claimNameOf, isPodTerminal, type Pod } from '../../api/pods.ts';
import { pods } from '../../api/kubernetes/pods.ts';
import { persistentVolumeClaims, type PersistentVolumeClaim } from '../../api/kubernetes/storage.ts';
import { isAlreadyExists } from '../../kube/api-error.ts';
import type { ObjectKey } from '../../kube/client/client.ts';
import type { Informer } from '../../kube/client/informer.ts';
import type { Controller, ControllerEnv } from '../../kube/controller/controller.ts';
import type { EventRecorder } from '../../kube/controller/recorder.ts';

export function ephemeralVolumeController(env: ControllerEnv, recorder: EventRecorder): Controller {
  return new EphemeralVolumeController(env, recorder);
}

class EphemeralVolumeController implements Controller {
  readonly name = 'ephemeral volume';
  readonly root = pods;
  readonly #env: ControllerEnv;
  readonly #recorder: EventRecorder;
  readonly #pods: Informer<Pod>;
  readonly #claims: Informer<PersistentVolumeClaim>;

  constructor(env: ControllerEnv, recorder: EventRecorder) {
    this.#env = env;
    this.#recorder = recorder;
    this.#pods = env.informers.for(pods);
    this.#claims = env.informers.for(persistentVolumeClaims);
  }

  async reconcile(key: ObjectKey): Promise<void> {
    const pod = this.#pods.get(`${key.namespace ?? ''}/${key.name}`);
    if (!pod || pod.metadata.deletionTimestamp || isPodTerminal(pod)) return;
    for (const volume of pod.spec?.volumes ?? []) {
      const template = volume.ephemeral?.volumeClaimTemplate;
      const name = claimNameOf(pod, volume);
      if (template === undefined || name === undefined) continue;
      const { namespace = '' } = pod.metadata;
      const present = this.#claims.get(`${namespace}/${name}`);
      if (present) {
        this.#checkOwner(pod, present);
        continue;
      }
      const { labels, annotations } = template.metadata ?? {};
      const claim: PersistentVolumeClaim = {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: {
          name,
          namespace,
          ...(labels ? { labels } : {}),
          ...(annotations ? { annotations } : {}),
          ownerReferences: [controllerRef(pod)],
        },
        spec: template.spec,
      };
      try {
        await this.#env.client.create(persistentVolumeClaims, claim);
      } catch (error) {
        // Ours, not seen yet; somebody else's is told about when it is seen.
        if (!isAlreadyExists(error)) throw error;
      }
    }
  }

  #checkOwner(pod: Pod, claim: PersistentVolumeClaim): void {
    if (claim.metadata.ownerReferences?.some((owner) => owner.uid === pod.metadata.uid)) return;
    const { name, namespace } = claim.metadata;
    const message = `PVC "${namespace}/${name}" was not created for pod "${pod.metadata.namespace}/${pod.metadata.name}" (pod is not owner)`;
    this.#recorder.event(pod, 'Warning', 'EphemeralVolumeFailed', message);
  }
}
