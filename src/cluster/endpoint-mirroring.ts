/**
 * Endpoints that people or other controllers write for services without a selector, mirrored as EndpointSlices: who reads
 * slices alone sees them too (kubernetes pkg/controller/endpointslicemirroring).
 */
import { keyOf } from '../api/object.ts';
import {
  endpoints,
  endpointSlices,
  services,
  type Endpoints,
  type EndpointSlice,
  type Service,
} from '../api/kubernetes/services.ts';
import type { ObjectKey } from '../kube/client/client.ts';
import type { Informer } from '../kube/client/informer.ts';
import { watches, type Controller, type ControllerEnv } from '../kube/controller/controller.ts';
import { putObject, removeObject } from './replace.ts';
import { isManagedEndpoints, managedByLabel, serviceNameLabel } from './resources/endpoints.ts';
import { makeMirrorSlices, mirrorManager, skipMirrorLabel } from './resources/mirror-slices.ts';

export function endpointMirroringController(env: ControllerEnv): Controller {
  return new EndpointMirroringController(env);
}

class EndpointMirroringController implements Controller {
  readonly name = 'endpoint slice mirroring';
  readonly root = endpoints;
  /** No request waits for these: a revision that wakes writes its Endpoints, and is served before they are mirrored. */
  readonly restMs = 200;
  readonly watches = [
    watches(services, (service) => [keyOf(service)]),
    watches(endpointSlices, ({ metadata: { namespace, labels } }) =>
      labels?.[managedByLabel] === mirrorManager ? [`${namespace}/${labels[serviceNameLabel]}`] : [],
    ),
  ];
  readonly #env: ControllerEnv;
  readonly #endpoints: Informer<Endpoints>;
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;

  constructor(env: ControllerEnv) {
    this.#env = env;
    this.#endpoints = env.informers.for(endpoints);
    this.#services = env.informers.for(services);
    this.#slices = env.informers.for(endpointSlices);
  }

  async reconcile({ namespace = '', name }: ObjectKey): Promise<void> {
    const { client } = this.#env;
    const key = `${namespace}/${name}`;
    const labels = { [serviceNameLabel]: name, [managedByLabel]: mirrorManager };
    const present = this.#slices.list({ namespace, labels });
    const source = this.#endpoints.get(key);
    const wanted =
      source && !source.metadata.deletionTimestamp && isMirrored(source, this.#services.get(key))
        ? makeMirrorSlices(source)
        : [];
    const names = new Set(wanted.map((slice) => slice.metadata.name));
    await Promise.all([
      ...wanted.map((slice) => {
        const before = present.find((one) => one.metadata.name === slice.metadata.name);
        return putObject(client, endpointSlices, before, slice, ({ ports, endpoints: list, metadata }) => [
          ports,
          list,
          metadata.annotations,
        ]);
      }),
      ...present
        .filter((slice) => !names.has(slice.metadata.name))
        .map((slice) => removeObject(client, endpointSlices, slice)),
    ]);
  }
}

/** Only for a service that has no selector; its own controller makes the slices of one that has. */
function isMirrored(source: Endpoints, service: Service | undefined): boolean {
  const { labels, annotations } = source.metadata;
  if (labels?.[skipMirrorLabel] === 'true' || isManagedEndpoints(source)) return false;
  // Locks of leader election as they once were.
  if (annotations?.['control-plane.alpha.kubernetes.io/leader'] !== undefined) return false;
  return service !== undefined && Object.keys(service.spec?.selector ?? {}).length === 0;
}
