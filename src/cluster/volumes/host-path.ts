/** The provisioner of this machine: a volume is a directory. Its size is noted, not enforced. */
import { chmodSync, mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  defaultClassAnnotation,
  hostPathProvisioner,
  isProvisionedHere,
  provisionedByAnnotation,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type StorageClass,
} from '../../api/kubernetes/storage.ts';
import { requestOf } from './match.ts';

/** The class of claims that name none. A volume is made when the first pod wants it. */
export function makeDefaultClass(): StorageClass {
  return {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name: 'standard', annotations: { [defaultClassAnnotation]: 'true' } },
    provisioner: hostPathProvisioner,
    reclaimPolicy: 'Delete',
    volumeBindingMode: 'WaitForFirstConsumer',
    allowVolumeExpansion: true,
  };
}

export class HostPathVolumes {
  readonly #root: string;

  /** `root`: the directory that holds one directory per volume. */
  constructor(root: string) {
    this.#root = root;
  }

  /** Makes the directory of a claim's volume, and the object that tells of it. */
  provision(claim: PersistentVolumeClaim, storageClass: StorageClass): PersistentVolume {
    const { uid = '', name, namespace = '' } = claim.metadata;
    // A uid of the store, but it becomes a path: better to see than to trust.
    if (!/^[a-zA-Z0-9-]{1,64}$/.test(uid))
      throw new Error(`the uid of claim ${namespace}/${name} is not usable`);
    const volumeName = `pvc-${uid}`;
    const path = this.#pathOf(volumeName);
    // Passable from above, and open inside: containers run as any user.
    mkdirSync(this.#root, { recursive: true, mode: 0o711 });
    mkdirSync(path, { recursive: true });
    chmodSync(path, 0o777);
    return {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: volumeName, annotations: { [provisionedByAnnotation]: hostPathProvisioner } },
      spec: {
        capacity: { storage: requestOf(claim) },
        accessModes: claim.spec?.accessModes ?? [],
        persistentVolumeReclaimPolicy: storageClass.reclaimPolicy ?? 'Delete',
        storageClassName: storageClass.metadata.name,
        volumeMode: 'Filesystem',
        hostPath: { path, type: 'DirectoryOrCreate' },
        claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name, uid },
      },
    };
  }

  /** Deletes the directory with what is in it. Throws for a volume that was not made by {@link provision}. */
  async delete(volume: PersistentVolume): Promise<void> {
    if (!isProvisionedHere(volume)) throw new Error(`volume ${volume.metadata.name} was not made here`);
    // A container that was not waited for may still be writing.
    const patience = { maxRetries: 10, retryDelay: 100 };
    await rm(this.#pathOf(volume.metadata.name), { recursive: true, force: true, ...patience });
  }

  #pathOf(volumeName: string): string {
    return join(this.#root, volumeName);
  }
}
