/** PersistentVolumeClaims: bound to a volume that suits, or to one that is made for them. */
import { messageOf } from '../../base/errors.ts';
import { keyOf } from '../../api/object.ts';
import { claimNameOf, isPodTerminal, type Pod } from '../../api/pods.ts';
import { nodes, type Node } from '../../api/kubernetes/nodes.ts';
import { pods } from '../../api/kubernetes/pods.ts';
import { compareQuantities } from '../../api/kubernetes/quantity.ts';
import {
  claimProtection,
  classNameOf,
  defaultClass,
  hostPathProvisioner,
  isProvisionedHere,
  noProvisioner,
  persistentVolumeClaims,
  persistentVolumes,
  storageClasses,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type StorageClass,
} from '../../api/kubernetes/storage.ts';
import { hasReason, isAlreadyExists } from '../../kube/api-error.ts';
import { objectKey, type ObjectKey } from '../../kube/client/client.ts';
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
import { capacityOf, findVolume, isClaimedBy, isReservedFor, mismatch, requestOf } from './match.ts';

const annotations = {
  bindCompleted: 'pv.kubernetes.io/bind-completed',
  boundByController: 'pv.kubernetes.io/bound-by-controller',
  provisioner: 'volume.kubernetes.io/storage-provisioner',
  selectedNode: 'volume.kubernetes.io/selected-node',
} as const;

/** A claim whose volume nobody has made yet is looked at again after this time, ms. */
const retryMs = 15_000;

export function claimController(
  env: ControllerEnv,
  recorder: EventRecorder,
  provisioner: HostPathVolumes | undefined,
): Controller {
  return new ClaimController(env, recorder, provisioner);
}

class ClaimController implements Controller {
  readonly name = 'persistent volume claim';
  readonly root = persistentVolumeClaims;
  readonly watches = [
    watches(persistentVolumes, (volume) => this.#concernedBy(volume)),
    watches(storageClasses, () => this.#waiting()),
    watches(pods, (pod) => claimsOf(pod)),
  ];
  /** One at a time: two claims must not choose the same volume. */
  readonly concurrency = 1;
  readonly #env: ControllerEnv;
  readonly #recorder: EventRecorder;
  readonly #provisioner: HostPathVolumes | undefined;
  readonly #claims: Informer<PersistentVolumeClaim>;
  readonly #volumes: Informer<PersistentVolume>;
  readonly #classes: Informer<StorageClass>;
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;

  constructor(env: ControllerEnv, recorder: EventRecorder, provisioner: HostPathVolumes | undefined) {
    this.#env = env;
    this.#recorder = recorder;
    this.#provisioner = provisioner;
    this.#claims = env.informers.for(persistentVolumeClaims);
    this.#volumes = env.informers.for(persistentVolumes);
    this.#classes = env.informers.for(storageClasses);
    this.#pods = env.informers.for(pods);
    this.#nodes = env.informers.for(nodes);
  }

  async reconcile(key: ObjectKey): Promise<Outcome> {
    const claim = this.#claims.get(`${key.namespace ?? ''}/${key.name}`);
    if (!claim) return;
    if (claim.metadata.deletionTimestamp) return this.#release(claim);
    if (claim.metadata.annotations?.[annotations.bindCompleted]) return this.#keep(claim);
    return this.#find(claim);
  }

  /** The claim that the volume is reserved for, and those that wait for any. */
  #concernedBy(volume: PersistentVolume): string[] {
    const { claimRef } = volume.spec ?? {};
    return claimRef ? [`${claimRef.namespace}/${claimRef.name}`] : this.#waiting();
  }

  #waiting(): string[] {
    return this.#claims
      .list()
      .filter(({ status }) => (status?.phase ?? 'Pending') === 'Pending')
      .map(keyOf);
  }

  /** A deleted claim stays while a pod uses it; one that is on no node yet waits for the next claim of the name. */
  async #release(claim: PersistentVolumeClaim): Promise<void> {
    const finalizers = claim.metadata.finalizers ?? [];
    const isUsed = this.#users(claim).some(({ spec }) => spec?.nodeName);
    if (!finalizers.includes(claimProtection) || isUsed) return;
    const metadata = {
      ...claim.metadata,
      finalizers: finalizers.filter((name) => name !== claimProtection),
    };
    try {
      await this.#env.client.update(persistentVolumeClaims, { ...claim, metadata });
    } catch (error) {
      if (!hasReason(error, 'NotFound')) throw error;
    }
  }

  #users(claim: PersistentVolumeClaim): Pod[] {
    const key = keyOf(claim);
    return this.#pods
      .list({ namespace: claim.metadata.namespace ?? '' })
      .filter((pod) => !isPodTerminal(pod) && claimsOf(pod).includes(key));
  }

  /** Bound before: still so, and as large as was asked for. */
  async #keep(claim: PersistentVolumeClaim): Promise<void> {
    const volume = this.#volumes.get(claim.spec?.volumeName ?? '');
    if (!volume)
      return this.#lose(claim, 'Bound claim has lost its PersistentVolume. Data on the volume is lost!');
    if (volume.spec?.claimRef && !isClaimedBy(volume, claim)) {
      const message = 'Two claims are bound to the same volume, this one is bound incorrectly';
      return this.#lose(claim, message, 'ClaimMisbound');
    }
    const grown = await this.#grow(claim, volume);
    await this.#bind(grown, claim);
  }

  async #lose(claim: PersistentVolumeClaim, message: string, reason = 'ClaimLost'): Promise<void> {
    const changed = await writeStatus(this.#env.client, persistentVolumeClaims, claim, { phase: 'Lost' });
    if (changed) this.#recorder.event(claim, 'Warning', reason, message);
  }

  /** Whether a claim may grow was decided when it was written; a directory has room for it. */
  async #grow(claim: PersistentVolumeClaim, volume: PersistentVolume): Promise<PersistentVolume> {
    const wanted = requestOf(claim);
    if (!isProvisionedHere(volume) || compareQuantities(wanted, capacityOf(volume)) <= 0) return volume;
    const spec = { ...volume.spec, capacity: { ...volume.spec?.capacity, storage: wanted } };
    const grown = await this.#env.client.update(persistentVolumes, { ...volume, spec });
    this.#recorder.event(claim, 'Normal', 'VolumeResizeSuccessful', 'Resize volume succeeded');
    return grown;
  }

  async #find(claim: PersistentVolumeClaim): Promise<Outcome> {
    const { volumeName } = claim.spec ?? {};
    if (volumeName) return this.#bindNamed(claim, volumeName);
    if (claim.spec?.storageClassName === undefined && (await this.#takeDefaultClass(claim))) return;
    const storageClass = this.#classes.get(classNameOf(claim));
    const waits = storageClass?.volumeBindingMode === 'WaitForFirstConsumer';
    const node = waits ? this.#firstConsumer(claim) : undefined;
    const found = findVolume(this.#volumes.list(), claim);
    if (found?.spec?.claimRef) return this.#bind(found, claim);
    if (waits && node === undefined) {
      const message = 'waiting for first consumer to be created before binding';
      this.#recorder.event(claim, 'Normal', 'WaitForFirstConsumer', message);
      return;
    }
    if (found) return this.#bind(found, claim);
    const className = classNameOf(claim);
    if (className === '') {
      const message = 'no persistent volumes available for this claim and no storage class is set';
      this.#recorder.event(claim, 'Normal', 'FailedBinding', message);
      return;
    }
    if (!storageClass) {
      const message = `storageclass.storage.k8s.io "${className}" not found`;
      this.#recorder.event(claim, 'Warning', 'ProvisioningFailed', message);
      return;
    }
    return this.#provision(claim, storageClass, node);
  }

  /** A claim from before there was a default class. True when it was given one. */
  async #takeDefaultClass(claim: PersistentVolumeClaim): Promise<boolean> {
    const name = defaultClass(this.#classes.list())?.metadata.name;
    if (name === undefined || classNameOf(claim) !== '') return false;
    await this.#patch(claim, { spec: { storageClassName: name } });
    return true;
  }

  async #bindNamed(claim: PersistentVolumeClaim, name: string): Promise<void> {
    const volume = this.#volumes.get(name);
    if (!volume) {
      this.#recorder.event(claim, 'Warning', 'FailedBinding', `volume "${name}" not found.`);
      return;
    }
    if (volume.spec?.claimRef && !isReservedFor(volume, claim)) {
      const message = `volume "${name}" already bound to a different claim.`;
      this.#recorder.event(claim, 'Warning', 'FailedBinding', message);
      return;
    }
    // Who reserved it for the claim has decided.
    const why = volume.spec?.claimRef ? undefined : mismatch(volume, claim);
    if (why !== undefined) {
      const message = `Cannot bind to requested volume "${name}": ${why}`;
      this.#recorder.event(claim, 'Warning', 'VolumeMismatch', message);
      return;
    }
    return this.#bind(volume, claim);
  }

  /** The node of the first pod that wants the claim. There is one node here: a pod need not be on it yet. */
  #firstConsumer(claim: PersistentVolumeClaim): string | undefined {
    const chosen = claim.metadata.annotations?.[annotations.selectedNode];
    if (chosen !== undefined) return chosen;
    const [pod] = this.#users(claim).filter(
      ({ metadata, spec }) => !metadata.deletionTimestamp && !spec?.schedulingGates?.length,
    );
    return pod && (pod.spec?.nodeName ?? this.#nodes.list()[0]?.metadata.name ?? '');
  }

  async #provision(
    claim: PersistentVolumeClaim,
    storageClass: StorageClass,
    node: string | undefined,
  ): Promise<Outcome> {
    const { provisioner } = storageClass;
    // A volume that comes brings the claim back; the pod that wants it says what is missing.
    if (provisioner === noProvisioner) return;
    if (provisioner !== hostPathProvisioner || !this.#provisioner) {
      await this.#annotate(claim, provisioner, node);
      const message = `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.`;
      this.#recorder.event(claim, 'Normal', 'ExternalProvisioning', message);
      return { requeueAfter: retryMs };
    }
    const refusal = whyNotProvisioned(claim);
    if (refusal !== undefined) {
      this.#recorder.event(claim, 'Warning', 'ProvisioningFailed', refusal);
      return;
    }
    await this.#annotate(claim, provisioner, node);
    try {
      const volume = this.#provisioner.provision(claim, storageClass);
      try {
        const made = await this.#env.client.create(persistentVolumes, volume);
        const message = `Successfully provisioned volume ${made.metadata.name}`;
        this.#recorder.event(claim, 'Normal', 'ProvisioningSucceeded', message);
        await this.#bind(made, claim);
      } catch (error) {
        // Made before, not seen yet: its arrival brings the claim back.
        if (!isAlreadyExists(error)) throw error;
      }
    } catch (error) {
      const message = `failed to provision volume with StorageClass "${storageClass.metadata.name}": ${messageOf(error)}`;
      this.#recorder.event(claim, 'Warning', 'ProvisioningFailed', message);
      throw error;
    }
    return;
  }

  async #annotate(
    claim: PersistentVolumeClaim,
    provisioner: string,
    node: string | undefined,
  ): Promise<void> {
    const wanted = {
      [annotations.provisioner]: provisioner,
      ...(node ? { [annotations.selectedNode]: node } : {}),
    };
    const present = claim.metadata.annotations ?? {};
    if (Object.entries(wanted).every(([name, value]) => present[name] === value)) return;
    await this.#patch(claim, { metadata: { annotations: wanted } });
  }

  /** Volume first: from then on no other claim can get it, and what a crash leaves undone is done on the next look. */
  async #bind(volume: PersistentVolume, claim: PersistentVolumeClaim): Promise<void> {
    const { client } = this.#env;
    const { name, namespace = '', uid = '' } = claim.metadata;
    let bound = volume;
    if (!isClaimedBy(volume, claim)) {
      const byUs: Record<string, string> = volume.spec?.claimRef
        ? {}
        : { [annotations.boundByController]: 'yes' };
      const claimRef = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name, uid };
      bound = await client.update(persistentVolumes, {
        ...volume,
        metadata: { ...volume.metadata, annotations: { ...volume.metadata.annotations, ...byUs } },
        spec: { ...volume.spec, claimRef },
      });
    }
    if (!claim.metadata.annotations?.[annotations.bindCompleted]) {
      const byUs = claim.spec?.volumeName ? {} : { [annotations.boundByController]: 'yes' };
      await this.#patch(claim, {
        metadata: { annotations: { [annotations.bindCompleted]: 'yes', ...byUs } },
        spec: { volumeName: bound.metadata.name },
      });
    }
    await writeStatus(client, persistentVolumeClaims, claim, {
      phase: 'Bound',
      accessModes: bound.spec?.accessModes ?? [],
      capacity: bound.spec?.capacity ?? {},
    });
  }

  async #patch(claim: PersistentVolumeClaim, body: { metadata?: object; spec?: object }): Promise<void> {
    const metadata = { ...body.metadata, uid: claim.metadata.uid };
    await this.#env.client.patch(persistentVolumeClaims, objectKey(claim), {
      type: 'merge',
      body: { ...body, metadata },
    });
  }
}

function whyNotProvisioned(claim: PersistentVolumeClaim): string | undefined {
  const { selector, volumeMode, dataSource, dataSourceRef } = claim.spec ?? {};
  if (selector) return 'claim Selector is not supported';
  if (volumeMode === 'Block') return `block volumes are not supported by ${hostPathProvisioner}`;
  if (dataSource ?? dataSourceRef) return `data sources are not supported by ${hostPathProvisioner}`;
  return undefined;
}

/** Keys of the claims that a pod uses. */
function claimsOf(pod: Pod): string[] {
  const names = (pod.spec?.volumes ?? []).flatMap((volume) => claimNameOf(pod, volume) ?? []);
  return names.map((name) => `${pod.metadata.namespace}/${name}`);
}
