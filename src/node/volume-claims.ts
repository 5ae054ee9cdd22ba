/** What the pods of this node want of PersistentVolumeClaims: whether they can start, and where the data is. */
import { join } from 'node:path';
import type { KubernetesTypes } from '../api/generated/kubernetes-types.ts';
import {
  classNameOf,
  isProvisionedHere,
  noProvisioner,
  persistentVolumeClaims,
  persistentVolumes,
  storageClasses,
  type PersistentVolumeClaim,
} from '../api/kubernetes/storage.ts';
import { claimNameOf, type Pod } from '../api/pods.ts';
import { KnapsackError } from '../base/errors.ts';
import { isNotFound } from '../kube/api-error.ts';
import type { Client } from '../kube/client/client.ts';
import type { Informers } from '../kube/client/informer.ts';
import type { ClaimSource } from './volumes.ts';

/** A pod may go on, or must wait: with a reason that people should see, or for a moment only. */
export type ClaimState = { readonly waits: false } | { readonly waits: true; readonly why?: string };

const ready: ClaimState = { waits: false };

export class VolumeClaims {
  readonly #informers: Informers;

  constructor(informers: Informers) {
    this.#informers = informers;
  }

  async synced(): Promise<void> {
    await Promise.all(
      [persistentVolumeClaims, persistentVolumes, storageClasses].map((def) =>
        this.#informers.for(def).synced(),
      ),
    );
  }

  /** Calls back when a pod that waits may look again. Returns the unsubscription. */
  onChange(listener: () => void): () => void {
    return this.#informers.for(persistentVolumeClaims).onChange(listener);
  }

  /** `running`: the other pods of this node. */
  stateFor(pod: Pod, running: () => readonly Pod[]): ClaimState {
    let state = ready;
    for (const name of claimNames(pod)) {
      const one = this.#stateOf(pod, name, running);
      if (one.waits && one.why !== undefined) return one;
      if (one.waits) state = one;
    }
    return state;
  }

  #stateOf(pod: Pod, name: string, running: () => readonly Pod[]): ClaimState {
    const { namespace = '' } = pod.metadata;
    const claim = this.#informers.for(persistentVolumeClaims).get(`${namespace}/${name}`);
    if (!claim) return waits(`persistentvolumeclaim ${JSON.stringify(name)} not found`);
    if (claim.metadata.deletionTimestamp) {
      return waits(`persistentvolumeclaim ${JSON.stringify(name)} is being deleted`);
    }
    const { phase = 'Pending' } = claim.status ?? {};
    if (phase === 'Lost') {
      const volume = claim.spec?.volumeName ?? '';
      return waits(
        `persistentvolumeclaim ${JSON.stringify(name)} bound to non-existent persistentvolume ${JSON.stringify(volume)}`,
      );
    }
    if (phase !== 'Bound') return this.#unbound(claim);
    if (!claim.spec?.accessModes?.includes('ReadWriteOncePod')) return ready;
    const taken = running().some(
      (other) => other.metadata.namespace === namespace && claimNames(other).includes(name),
    );
    return taken
      ? waits('node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode')
      : ready;
  }

  #unbound(claim: PersistentVolumeClaim): ClaimState {
    const storageClass = this.#informers.for(storageClasses).get(classNameOf(claim));
    if (storageClass?.volumeBindingMode !== 'WaitForFirstConsumer') {
      return waits('pod has unbound immediate PersistentVolumeClaims');
    }
    // A claim that waits for its first consumer is being bound because this pod is there.
    return storageClass.provisioner === noProvisioner
      ? waits("1 node(s) didn't find available persistent volumes to bind")
      : { waits: true };
  }
}

function waits(why: string): ClaimState {
  return { waits: true, why: `0/1 nodes are available: ${why}.` };
}

function claimNames(pod: Pod): string[] {
  return (pod.spec?.volumes ?? []).flatMap((volume) => claimNameOf(pod, volume) ?? []);
}

/** Reads claim and volume when a pod is prepared. `volumesDir`: where the provisioner of this machine makes volumes. */
export function claimSource(client: Client, volumesDir: string): ClaimSource {
  return async (namespace, name) => {
    const fail = (why: string): never => {
      throw new KnapsackError('NODE_CONTAINER_CONFIG', why);
    };
    try {
      const claim = await client.get(persistentVolumeClaims, { namespace, name });
      const { volumeName = '' } = claim.spec ?? {};
      const volume = await client.get(persistentVolumes, { name: volumeName });
      const { spec } = volume;
      if (isProvisionedHere(volume)) return { path: join(volumesDir, volumeName), type: 'DirectoryOrCreate' };
      if (spec?.volumeMode === 'Block')
        fail(`claim "${name}" is for a block device, which this node has none of`);
      return (
        pathOf(spec) ??
        fail(`volume "${volumeName}" of claim "${name}" is of a type not supported on this node`)
      );
    } catch (error) {
      if (isNotFound(error)) return fail(`claim "${name}" or its volume was not found`);
      throw error;
    }
  };
}

function pathOf(
  spec: KubernetesTypes['core.v1.PersistentVolumeSpec'] | undefined,
): KubernetesTypes['core.v1.HostPathVolumeSource'] | undefined {
  if (spec?.hostPath) return spec.hostPath;
  // What a local volume names must be there: making it would hide a disk that is not mounted.
  return spec?.local && { path: spec.local.path, type: 'Directory' };
}
