/** From a destination to a URL (knative.dev/pkg/resolver): by the `status.address` of whatever it refers to. */
import type { KubeObject } from '../api/object.ts';
import type { Addressable, Destination, Reference } from '../api/knative/duck.ts';
import { watches, type WatchSource } from '../kube/controller/controller.ts';
import { messageOf } from '../base/errors.ts';
import type { ResourceDef } from '../api/resource.ts';
import type { Client } from '../kube/client/client.ts';

/** A destination's URL is not known: the object is missing, or has no address (yet). */
export class UnresolvedError extends Error {
  override name = 'UnresolvedError';
}

export interface ResolvedAddress {
  readonly url: string;
  readonly caCerts?: string | undefined;
  readonly audience?: string | undefined;
}

interface WithAddress extends KubeObject {
  readonly status?: { readonly address?: Addressable; readonly addresses?: readonly Addressable[] };
}

export class AddressResolver {
  readonly #client: Client;
  readonly #resources: readonly ResourceDef[];

  /** `resources`: every kind that a reference may name. */
  constructor(client: Client, resources: readonly ResourceDef[]) {
    this.#client = client;
    this.#resources = resources;
  }

  /**
   * `namespace` is that of the object which has the destination.
   * @throws UnresolvedError in words for its status.
   */
  async resolve(destination: Destination, namespace: string): Promise<ResolvedAddress> {
    const { ref, uri, CACerts, audience } = destination;
    if (!ref) {
      if (!uri || !URL.canParse(uri))
        throw new UnresolvedError('destination missing Ref and URI, expected at least one');
      return { url: uri, caCerts: CACerts, audience };
    }
    const address = await this.#addressOf(ref, ref.namespace || namespace);
    return {
      url: uri ? new URL(uri, address.url).href : (address.url ?? ''),
      caCerts: CACerts ?? address.CACerts,
      audience: audience ?? address.audience,
    };
  }

  /** The object of a reference. @throws UnresolvedError */
  async get(ref: Reference, namespace: string): Promise<KubeObject> {
    const def = findResource(this.#resources, ref);
    if (!def) throw new UnresolvedError(`kind ${ref.apiVersion ?? ref.group}/${ref.kind} is not known`);
    const name = ref.name ?? '';
    try {
      return await this.#client.get(def, def.namespaced ? { namespace, name } : { name });
    } catch (error) {
      throw new UnresolvedError(`failed to get object ${namespace}/${name}: ${messageOf(error)}`);
    }
  }

  async #addressOf(ref: Reference, namespace: string): Promise<Addressable> {
    const object: WithAddress = await this.get(ref, namespace);
    if (ref.apiVersion === 'v1' && ref.kind === 'Service') {
      return { url: `http://${ref.name}.${namespace}.svc.cluster.local` };
    }
    const { address, addresses = [] } = object.status ?? {};
    const found = ref.address
      ? addresses.find(({ name }) => name === ref.address)
      : (addresses[0] ?? address);
    if (!found?.url) {
      const words = `Kind = ${ref.kind}, Namespace = ${namespace}, Name = ${ref.name}, APIVersion = ${ref.apiVersion}`;
      throw new UnresolvedError(`address not set for ${words}`);
    }
    return found;
  }
}

function findResource(resources: readonly ResourceDef[], ref: Reference): ResourceDef | undefined {
  const [group, version] = ref.apiVersion?.includes('/')
    ? ref.apiVersion.split('/')
    : ref.apiVersion
      ? ['', ref.apiVersion]
      : [ref.group, undefined];
  const kinds = resources.filter((def) => def.group === group && def.kind === ref.kind);
  // Another version than the one that is served has the same address.
  return kinds.find((def) => def.version === version) ?? kinds[0];
}

/**
 * Watches everything that a destination may refer to. `destinations` lists the destinations of an object and `all` the
 * objects that have any.
 */
export function watchAddressables<T extends KubeObject>(
  resources: readonly ResourceDef[],
  all: () => readonly T[],
  references: (object: T) => readonly (Reference | undefined)[],
): WatchSource[] {
  return resources.filter(isAddressable).map((def) =>
    watches(def, ({ metadata }) =>
      all()
        .filter((object) =>
          references(object).some(
            (ref) =>
              ref?.name === metadata.name &&
              ref.kind === def.kind &&
              (!def.namespaced || (ref.namespace || object.metadata.namespace) === metadata.namespace),
          ),
        )
        .map((object) => `${object.metadata.namespace}/${object.metadata.name}`),
    ),
  );
}

function isAddressable(def: ResourceDef): boolean {
  if (def.group === '' && def.kind === 'Service') return true;
  return def.crdLabels?.['duck.knative.dev/addressable'] === 'true';
}
