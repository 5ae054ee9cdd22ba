/** Service → Endpoints and EndpointSlices, for services with a selector; those without are their owner's business. */
import { keyOf } from '../api/object.ts';
import type { Pod } from '../api/pods.ts';
import { pods } from '../api/kubernetes/pods.ts';
import { matchesLabels } from '../api/kubernetes/selectors.ts';
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
import { watches, type Controller, type ControllerEnv, type Outcome } from '../kube/controller/controller.ts';
import { putObject, removeObject } from './replace.ts';
import {
  isManagedEndpoints,
  makeEndpoints,
  makeEndpointSlices,
  managedByLabel,
  serviceNameLabel,
  sliceManager,
} from './resources/endpoints.ts';

export function endpointsController(env: ControllerEnv): Controller {
  return new EndpointsController(env);
}

class EndpointsController implements Controller {
  readonly name = 'endpoints';
  /** The gateway reads pods, not endpoints: these must not slow down the start of the pods that they tell about. */
  readonly restMs = 20;
  readonly root = services;
  readonly watches = [
    watches(pods, (pod) => this.#servicesOf(pod)),
    watches(endpoints, (object) => (isManagedEndpoints(object) ? [keyOf(object)] : [])),
    watches(endpointSlices, (slice) => this.#serviceOf(slice)),
  ];
  readonly concurrency = 8;
  readonly #env: ControllerEnv;
  readonly #services: Informer<Service>;
  readonly #pods: Informer<Pod>;
  readonly #endpoints: Informer<Endpoints>;
  readonly #slices: Informer<EndpointSlice>;

  constructor(env: ControllerEnv) {
    this.#env = env;
    this.#services = env.informers.for(services);
    this.#pods = env.informers.for(pods);
    this.#endpoints = env.informers.for(endpoints);
    this.#slices = env.informers.for(endpointSlices);
  }

  async reconcile(key: ObjectKey): Promise<Outcome> {
    const { namespace = '', name } = key;
    const { client } = this.#env;
    const service = this.#services.get(`${namespace}/${name}`);
    const present = this.#endpoints.get(`${namespace}/${name}`);
    if (!service) {
      // Slices are owned and go with the service; Endpoints, as in Kubernetes, are only of the same name.
      if (present && isManagedEndpoints(present)) await removeObject(client, endpoints, present);
      return;
    }
    const selector = service.spec?.selector;
    if (!selector || Object.keys(selector).length === 0 || service.spec?.type === 'ExternalName') return;
    if (service.metadata.deletionTimestamp) return;
    const behind = this.#pods.list({ namespace, labels: selector });
    const slices = this.#slices
      .list({ namespace, labels: { [serviceNameLabel]: name } })
      .filter((slice) => slice.metadata.labels?.[managedByLabel] === sliceManager);
    const wanted = makeEndpointSlices(service, behind);
    const names = new Set(wanted.map((slice) => slice.metadata.name));
    await Promise.all([
      putObject(client, endpoints, present, makeEndpoints(service, behind), (object) => object.subsets),
      ...wanted.map((slice) => {
        const before = slices.find((other) => other.metadata.name === slice.metadata.name);
        return putObject(client, endpointSlices, before, slice, ({ ports, endpoints: list }) => [
          ports,
          list,
        ]);
      }),
      ...slices
        .filter((slice) => !names.has(slice.metadata.name))
        .map((slice) => removeObject(client, endpointSlices, slice)),
    ]);
  }

  #servicesOf(pod: Pod): string[] {
    const { namespace = '', labels } = pod.metadata;
    if (!labels) return [];
    return this.#services
      .list({ namespace })
      .filter(({ spec }) => {
        const selector = spec?.selector;
        return selector && Object.keys(selector).length > 0 && matchesLabels(selector, labels);
      })
      .map(keyOf);
  }

  #serviceOf(slice: EndpointSlice): string[] {
    const { namespace = '', labels } = slice.metadata;
    const name = labels?.[serviceNameLabel];
    return name && labels[managedByLabel] === sliceManager ? [`${namespace}/${name}`] : [];
  }
}
