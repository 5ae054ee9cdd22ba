/** Keeps the Node object and its Lease true. */
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { leases } from '../api/kubernetes/leases.ts';
import { nodes, type Node } from '../api/kubernetes/nodes.ts';
import { isAlreadyExists, isConflict, isNotFound } from '../kube/api-error.ts';
import type { Client } from '../kube/client/client.ts';
import { hasTurned, makeConditions, type Headroom, type NodeCondition } from './node-conditions.ts';
import { extendedAllocatable, makeNode, type Machine } from './node-object.ts';

/**
 * Half as often as a kubelet: each renewal is a durable write, and on one machine nothing waits for it. The lease is as
 * long as a kubelet's, so that whoever watches it by the usual rules sees a living node.
 */
const renewMs = 20_000;
const leaseSeconds = 40;
/** Between two looks at what the machine is short of, and between two statuses that say nothing new; as a kubelet, ms. */
const lookMs = 60_000;
const heartbeatMs = 5 * 60_000;
const leaseNamespace = 'kube-node-lease';

export interface NodeKeeperOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  /** Looks at the machine. */
  readonly headroom: () => Headroom;
}

export class NodeKeeper {
  readonly #options: NodeKeeperOptions;
  readonly #machine: Machine;
  readonly #runtimeVersion: string;
  readonly #cancels = new Set<() => void>();
  #beat: Promise<void> = Promise.resolve();
  #hasLease = true;
  #conditions: readonly NodeCondition[] = [];
  #reportedAt = -Infinity;
  #uid = '';
  #isOpen = true;

  constructor(options: NodeKeeperOptions, machine: Machine, runtimeVersion: string) {
    this.#options = options;
    this.#machine = machine;
    this.#runtimeVersion = runtimeVersion;
  }

  /** Creates the Node, or brings it up to date: labels of others and cordons stay. */
  async register(): Promise<Node> {
    const { client, clock } = this.#options;
    const wanted = makeNode(this.#machine, this.#runtimeVersion);
    const key = { name: this.#machine.name };
    let before: Node | undefined;
    try {
      await client.create(nodes, wanted);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      const body = { metadata: { labels: wanted.metadata.labels } };
      before = await client.patch(nodes, key, { type: 'merge', body });
    }
    this.#conditions = makeConditions(this.#options.headroom(), before?.status?.conditions, clock.now());
    this.#reportedAt = clock.now();
    const body = { status: { ...wanted.status, conditions: this.#conditions } };
    const node = await client.patch(nodes, key, { type: 'merge', body }, { subresource: 'status' });
    this.#uid = node.metadata.uid ?? '';
    this.#repeat(0, renewMs, () => this.#renew(), 'node lease not renewed');
    this.#repeat(lookMs, lookMs, () => this.#look(), 'node status not written');
    return node;
  }

  /** The Node has changed: pods may have what others advertise in its capacity. */
  follow(node: Node): void {
    const allocatable = extendedAllocatable(node);
    if (!allocatable) return;
    this.#beat = this.#allocate(this.#beat, node, allocatable);
  }

  async #allocate(before: Promise<void>, { metadata }: Node, allocatable: object): Promise<void> {
    await before;
    const { client, log } = this.#options;
    const body = { metadata: { resourceVersion: metadata.resourceVersion }, status: { allocatable } };
    try {
      const key = { name: this.#machine.name };
      await client.patch(nodes, key, { type: 'merge', body }, { subresource: 'status' });
    } catch (error) {
      // One that has changed again comes here again.
      if (!isConflict(error)) log.warn({ error: messageOf(error) }, 'node status not written');
    }
  }

  /** One run after the other, the next timed when the last has begun. */
  #repeat(firstMs: number, everyMs: number, task: () => Promise<boolean>, failure: string): void {
    const cancel = this.#options.clock.after(firstMs, () => {
      this.#cancels.delete(cancel);
      this.#beat = this.#inTurn(this.#beat, everyMs, task, failure);
    });
    this.#cancels.add(cancel);
  }

  async #inTurn(
    before: Promise<void>,
    everyMs: number,
    task: () => Promise<boolean>,
    failure: string,
  ): Promise<void> {
    await before;
    try {
      if (!(await task())) return;
    } catch (error) {
      this.#options.log.warn({ error: messageOf(error) }, failure);
    }
    if (this.#isOpen) this.#repeat(everyMs, everyMs, task, failure);
  }

  /** Writes the status when a condition has turned, and now and then. */
  async #look(): Promise<boolean> {
    const { client, clock } = this.#options;
    const now = clock.now();
    const conditions = makeConditions(this.#options.headroom(), this.#conditions, now);
    if (!hasTurned(this.#conditions, conditions) && now - this.#reportedAt < heartbeatMs) return true;
    const key = { name: this.#machine.name };
    await client.patch(
      nodes,
      key,
      { type: 'merge', body: { status: { conditions } } },
      { subresource: 'status' },
    );
    this.#conditions = conditions;
    this.#reportedAt = now;
    return true;
  }

  /** False when this cluster keeps no node leases. */
  async #renew(): Promise<boolean> {
    if (!this.#hasLease) return false;
    const { client, clock } = this.#options;
    const { name } = this.#machine;
    const renewTime = new Date(clock.now()).toISOString().replace('Z', '000Z');
    const spec = { holderIdentity: name, leaseDurationSeconds: leaseSeconds, renewTime };
    try {
      const key = { namespace: leaseNamespace, name };
      await client.patch(leases, key, { type: 'merge', body: { spec } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      this.#hasLease = await this.#createLease(spec);
    }
    return this.#hasLease;
  }

  async #createLease(spec: object): Promise<boolean> {
    const { name } = this.#machine;
    try {
      await this.#options.client.create(leases, {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: {
          name,
          namespace: leaseNamespace,
          ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid: this.#uid }],
        },
        spec,
      });
      return true;
    } catch (error) {
      if (!isNotFound(error)) throw error;
      return false;
    }
  }

  async close(): Promise<void> {
    this.#isOpen = false;
    for (const cancel of this.#cancels) cancel();
    await this.#beat;
  }
}
