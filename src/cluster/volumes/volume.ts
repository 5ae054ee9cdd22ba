/** PersistentVolumes: their phase, and what becomes of them when their claim is gone. */
import { messageOf } from '../../base/errors.ts';
import { timestamp } from '../../api/object.ts';
import {
  isProvisionedHere,
  persistentVolumeClaims,
  persistentVolumes,
  volumeProtection,
  type PersistentVolume,
  type PersistentVolumeClaim,
} from '../../api/kubernetes/storage.ts';
import { hasReason, isNotFound } from '../../kube/api-error.ts';
import type { ObjectKey } from '../../kube/client/client.ts';
import type { Informer } from '../../kube/client/informer.ts';
import {
  watches,
  type Controller,
  type ControllerEnv,
  type Outcome,
} from '../../kube/controller/controller.ts';
import type { EventRecorder } from '../../kube/controller/recorder.ts';
import { writeStatus } from '../../kube/controller/write-status.ts';
import type { HostPathVolumes } from './host-path.ts';
import { isClaimedBy } from './match.ts';

export function volumeController(
  env: ControllerEnv,
  recorder: EventRecorder,
  provisioner: HostPathVolumes | undefined,
): Controller {
  return new VolumeController(env, recorder, provisioner);
}

class VolumeController implements Controller {
  readonly name = 'persistent volume';
  readonly root = persistentVolumes;
  readonly watches = [
    watches(persistentVolumeClaims, ({ spec }) => (spec?.volumeName ? [spec.volumeName] : [])),
    watches(persistentVolumeClaims, (claim) => this.#reservedFor(claim)),
  ];
  readonly #env: ControllerEnv;
  readonly #recorder: EventRecorder;
  readonly #provisioner: HostPathVolumes | undefined;
  readonly #volumes: Informer<PersistentVolume>;

  constructor(env: ControllerEnv, recorder: EventRecorder, provisioner: HostPathVolumes | undefined) {
    this.#env = env;
    this.#recorder = recorder;
    this.#provisioner = provisioner;
    this.#volumes = env.informers.for(persistentVolumes);
  }

  async reconcile(key: ObjectKey): Promise<Outcome> {
    const volume = this.#volumes.get(key.name);
    if (!volume) return;
    const claim = await this.#claimOf(volume);
    const isBound = claim !== undefined && claim.spec?.volumeName === volume.metadata.name;
    if (volume.metadata.deletionTimestamp) {
      if (!isBound) await this.#letGo(volume);
      return;
    }
    if (!volume.spec?.claimRef?.uid) return this.#report(volume, 'Available');
    // Until the claim names the volume it is on its way to it.
    if (claim) return isBound ? this.#report(volume, 'Bound') : undefined;
    return this.#reclaim(volume);
  }

  #reservedFor(claim: PersistentVolumeClaim): string[] {
    const { name, namespace } = claim.metadata;
    return this.#volumes
      .list()
      .filter(({ spec }) => spec?.claimRef?.name === name && spec.claimRef.namespace === namespace)
      .map((volume) => volume.metadata.name);
  }

  /** Asked of the API, not of a cache that may be behind: what follows may delete data. */
  async #claimOf(volume: PersistentVolume): Promise<PersistentVolumeClaim | undefined> {
    const { claimRef } = volume.spec ?? {};
    if (!claimRef?.name) return undefined;
    try {
      const key = { namespace: claimRef.namespace ?? '', name: claimRef.name };
      const claim = await this.#env.client.get(persistentVolumeClaims, key);
      return isClaimedBy(volume, claim) ? claim : undefined;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async #reclaim(volume: PersistentVolume): Promise<void> {
    const failed = volume.status?.phase === 'Failed';
    if (failed && !isProvisionedHere(volume)) return;
    if (!failed) await this.#report(volume, 'Released');
    const policy = volume.spec?.persistentVolumeReclaimPolicy;
    if (policy === 'Retain') return;
    if (policy === 'Recycle') return this.#fail(volume, 'VolumeFailedRecycle', 'recycling is not supported');
    if (!this.#provisioner || !isProvisionedHere(volume)) {
      // Whoever made it deletes it, as an external provisioner does; a hand-made path of the machine nobody does.
      const { hostPath, local } = volume.spec ?? {};
      if (!hostPath && !local) return;
      const message = 'only volumes made by knapsack.dev/host-path are deleted with their data';
      return this.#fail(volume, 'VolumeFailedDelete', message);
    }
    try {
      await this.#provisioner.delete(volume);
    } catch (error) {
      await this.#fail(volume, 'VolumeFailedDelete', messageOf(error));
      throw error;
    }
    const { name, uid = '' } = volume.metadata;
    try {
      await this.#env.client.delete(persistentVolumes, { name }, { preconditions: { uid } });
    } catch (error) {
      if (!hasReason(error, 'NotFound', 'Conflict')) throw error;
    }
  }

  async #fail(volume: PersistentVolume, reason: string, message: string): Promise<void> {
    await this.#report(volume, 'Failed', reason, message);
    this.#recorder.event(volume, 'Warning', reason, message);
  }

  async #letGo(volume: PersistentVolume): Promise<void> {
    const finalizers = volume.metadata.finalizers ?? [];
    if (!finalizers.includes(volumeProtection)) return;
    const metadata = {
      ...volume.metadata,
      finalizers: finalizers.filter((name) => name !== volumeProtection),
    };
    try {
      await this.#env.client.update(persistentVolumes, { ...volume, metadata });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async #report(volume: PersistentVolume, phase: string, reason?: string, message?: string): Promise<void> {
    const at =
      volume.status?.phase === phase
        ? volume.status.lastPhaseTransitionTime
        : timestamp(this.#env.clock.now());
    await writeStatus(this.#env.client, persistentVolumes, volume, {
      phase,
      ...(reason === undefined ? {} : { reason }),
      ...(message === undefined ? {} : { message }),
      ...(at === undefined ? {} : { lastPhaseTransitionTime: at }),
    });
  }
}
