/** Keeps the Node object and its Lease true. */
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { nodes, type Node } from '../api/kubernetes/nodes.ts';
import { leases } from '../api/kubernetes/leases.ts';
import { isAlreadyExists, isNotFound } from '../kube/api-error.ts';
import type { Client } from '../kube/client/client.ts';
import { makeNode, type Machine } from './node-object.ts';

/** Nothing on one machine waits for the lease: rare renewals keep the store and the disk quiet, ms. */
const renewMs = 60_000;
const leaseNamespace = 'kube-node-lease';

export class NodeKeeper {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #machine: Machine;
  readonly #runtimeVersion: string;
  #cancel: (() => void) | undefined;
  #beat: Promise<void> = Promise.resolve();
  #hasLease = true;

  constructor(
    options: { client: Client; clock: Clock; log: Logger },
    machine: Machine,
    runtimeVersion: string,
  ) {
    this.#client = options.client;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#machine = machine;
    this.#runtimeVersion = runtimeVersion;
  }

  /** Creates the Node, or brings it up to date: labels of others and cordons stay. */
  async register(): Promise<Node> {
    const wanted = makeNode(this.#machine, this.#runtimeVersion, this.#clock.now());
    const key = { name: this.#machine.name };
    try {
      await this.#client.create(nodes, wanted);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      const body = { metadata: { labels: wanted.metadata.labels } };
      await this.#client.patch(nodes, key, { type: 'merge', body });
    }
    const status = { status: wanted.status };
    const node = await this.#client.patch(
      nodes,
      key,
      { type: 'merge', body: status },
      { subresource: 'status' },
    );
    this.#arm(0);
    return node;
  }

  #arm(ms: number): void {
    this.#cancel = this.#clock.after(ms, () => {
      this.#beat = this.#renew().catch((error: unknown) => {
        this.#log.warn({ error: messageOf(error) }, 'node lease not renewed');
      });
      if (this.#hasLease) this.#arm(renewMs);
    });
  }

  async #renew(): Promise<void> {
    const { name } = this.#machine;
    const renewTime = new Date(this.#clock.now()).toISOString().replace('Z', '000Z');
    const spec = { holderIdentity: name, leaseDurationSeconds: (2 * renewMs) / 1000, renewTime };
    try {
      await this.#client.patch(
        leases,
        { namespace: leaseNamespace, name },
        { type: 'merge', body: { spec } },
      );
    } catch (error) {
      if (!isNotFound(error)) throw error;
      try {
        await this.#client.create(leases, {
          apiVersion: 'coordination.k8s.io/v1',
          kind: 'Lease',
          metadata: { name, namespace: leaseNamespace },
          spec,
        });
      } catch (createError) {
        // No such namespace: this cluster keeps no node leases.
        if (!isNotFound(createError)) throw createError;
        this.#hasLease = false;
      }
    }
  }

  async close(): Promise<void> {
    this.#cancel?.();
    await this.#beat;
  }
}
