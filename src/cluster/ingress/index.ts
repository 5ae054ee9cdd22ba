/** networking.k8s.io Ingresses of the class of this gateway, served by it beside Knative's routes. */
import { deepEqual } from '../../base/json.ts';
import { keyOf, type KubeObject } from '../../api/object.ts';
import {
  defaultIngressClassAnnotation,
  ingressClassAnnotation,
  ingressClasses,
  ingresses,
  type Ingress,
  type IngressClass,
} from '../../api/kubernetes/ingress.ts';
import { endpointSlices, services, type EndpointSlice, type Service } from '../../api/kubernetes/services.ts';
import { ingresses as knativeIngresses, type Ingress as KnativeIngress } from '../../api/networking/index.ts';
import type { Backend, HostRule, RequestPath } from '../../api/routing.ts';
import type { ObjectKey } from '../../kube/client/client.ts';
import type { Informer } from '../../kube/client/informer.ts';
import { watches, type Controller, type ControllerEnv } from '../../kube/controller/controller.ts';
import type { EventRecorder } from '../../kube/controller/recorder.ts';
import { writeStatus } from '../../kube/controller/write-status.ts';
import { serviceNameLabel } from '../resources/endpoints.ts';
import {
  backendFault,
  claimsOf,
  makeBackend,
  makeHostRule,
  type BackendReference,
  type Claim,
} from './routes.ts';

/** The controller that an IngressClass names to be served here. */
export const gatewayController = 'knapsack.dev/gateway';

/** The class of Ingresses that name none. */
export function makeDefaultIngressClass(): IngressClass {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'IngressClass',
    metadata: { name: 'knapsack', annotations: { [defaultIngressClassAnnotation]: 'true' } },
    spec: { controller: gatewayController },
  };
}

export interface IngressOptions {
  readonly routes: Pick<RequestPath, 'apply'>;
  /** Where the gateway is reached: what `status.loadBalancer` says. */
  readonly address: { readonly ip: string; readonly port: number };
}

export function ingressController(
  env: ControllerEnv,
  recorder: EventRecorder,
  options: IngressOptions,
): Controller {
  return new IngressController(env, recorder, options);
}

class IngressController implements Controller {
  readonly name = 'ingress';
  readonly root = ingresses;
  readonly watches = [
    watches(services, (service) => this.#usersOf(service.metadata.namespace, service.metadata.name)),
    watches(endpointSlices, ({ metadata }) =>
      this.#usersOf(metadata.namespace, metadata.labels?.[serviceNameLabel]),
    ),
    watches(ingressClasses, () => this.#ingresses.list().map(keyOf)),
    watches(knativeIngresses, (ingress) => this.#sharing(ingress)),
  ];
  /** The snapshot has one writer. */
  readonly concurrency = 1;
  readonly #env: ControllerEnv;
  readonly #recorder: EventRecorder;
  readonly #options: IngressOptions;
  readonly #ingresses: Informer<Ingress>;
  readonly #classes: Informer<IngressClass>;
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #knative: Informer<KnativeIngress>;
  /** By key of the Ingress. */
  readonly #claims = new Map<string, readonly Claim[]>();
  /** What each Ingress was told last: endpoints come and go, and nobody wants to hear it again each time. */
  readonly #told = new Map<string, ReadonlySet<string>>();
  /** What was sent last. */
  readonly #hosts = new Map<string, HostRule>();
  readonly #backends = new Map<string, Backend>();

  constructor(env: ControllerEnv, recorder: EventRecorder, options: IngressOptions) {
    this.#env = env;
    this.#recorder = recorder;
    this.#options = options;
    this.#ingresses = env.informers.for(ingresses);
    this.#classes = env.informers.for(ingressClasses);
    this.#services = env.informers.for(services);
    this.#slices = env.informers.for(endpointSlices);
    this.#knative = env.informers.for(knativeIngresses);
  }

  async reconcile(key: ObjectKey): Promise<void> {
    const id = `${key.namespace ?? ''}/${key.name}`;
    const ingress = this.#ingresses.get(id);
    const isOurs = ingress !== undefined && !ingress.metadata.deletionTimestamp && this.#serves(ingress);
    const before = this.#claims.get(id) ?? [];
    const claims = isOurs ? claimsOf(ingress) : [];
    if (isOurs) this.#claims.set(id, claims);
    else this.#claims.delete(id);
    await this.#publish([...before, ...claims]);
    if (!isOurs) {
      this.#told.delete(id);
      return;
    }
    this.#tell(ingress, claims);
    const { ip, port } = this.#options.address;
    const loadBalancer = { ingress: [{ ip, ports: [{ port, protocol: 'TCP' }] }] };
    await writeStatus(this.#env.client, ingresses, ingress, { loadBalancer });
  }

  #serves({ spec, metadata }: Ingress): boolean {
    const name = spec?.ingressClassName ?? metadata.annotations?.[ingressClassAnnotation];
    return name !== undefined && this.#classes.get(name)?.spec?.controller === gatewayController;
  }

  #usersOf(namespace: string | undefined, service: string | undefined): string[] {
    if (service === undefined) return [];
    return [...this.#claims]
      .filter(([, claims]) =>
        claims.some(({ backend }) => backend.service === service && backend.namespace === namespace),
      )
      .map(([key]) => key);
  }

  /** Ingresses that want a host that a route has, or had. */
  #sharing(ingress: KnativeIngress): string[] {
    const hosts = new Set(hostsOf(ingress));
    return [...this.#claims]
      .filter(([, claims]) => claims.some(({ host }) => hosts.has(host)))
      .map(([key]) => key);
  }

  /** Brings the hosts and backends of these claims up to date in the gateway. */
  async #publish(changed: readonly Claim[]): Promise<void> {
    const all = [...this.#claims.values()].flat();
    const hosts: Record<string, HostRule | null> = {};
    for (const host of new Set(changed.map((claim) => claim.host))) {
      const rule = makeHostRule(all.filter((claim) => claim.host === host));
      if (deepEqual(rule, this.#hosts.get(host))) continue;
      hosts[host] = rule ?? null;
      if (rule) this.#hosts.set(host, rule);
      else this.#hosts.delete(host);
    }
    const named = new Set(all.map(({ backend }) => backend.key));
    const backends: Record<string, Backend | null> = {};
    for (const { backend: reference } of changed) {
      const backend = named.has(reference.key) ? this.#makeBackend(reference) : undefined;
      if (deepEqual(backend, this.#backends.get(reference.key))) continue;
      backends[reference.key] = backend ?? null;
      if (backend) this.#backends.set(reference.key, backend);
      else this.#backends.delete(reference.key);
    }
    if (Object.keys(hosts).length > 0 || Object.keys(backends).length > 0) {
      await this.#options.routes.apply({ hosts, backends });
    }
  }

  #makeBackend(reference: BackendReference): Backend {
    const { namespace, service: name } = reference;
    const service = this.#services.get(`${namespace}/${name}`);
    const slices = this.#slices.list({ namespace, labels: { [serviceNameLabel]: name } });
    return makeBackend(reference, service, slices);
  }

  /** What the user may not have meant. */
  #tell(ingress: Ingress, claims: readonly Claim[]): void {
    const before = this.#told.get(keyOf(ingress));
    const told = new Set<string>();
    this.#told.set(keyOf(ingress), told);
    const warn = (reason: string, message: string): void => {
      told.add(message);
      if (!before?.has(message)) this.#recorder.event(ingress, 'Warning', reason, message);
    };
    const references = new Map(claims.map(({ backend }) => [backend.key, backend]));
    for (const reference of references.values()) {
      const service = this.#services.get(`${reference.namespace}/${reference.service}`);
      const fault = backendFault(reference, service);
      if (fault !== undefined) warn('BackendUnavailable', fault);
    }
    const taken = new Map(
      this.#knative.list().flatMap((one) => hostsOf(one).map((host) => [host, keyOf(one)])),
    );
    for (const host of new Set(claims.map((claim) => claim.host))) {
      const holder = taken.get(host);
      if (holder !== undefined) warn('HostInUse', `host ${host} belongs to the Knative route ${holder}`);
    }
    if (ingress.spec?.tls?.length) {
      warn('TLSNotServed', 'the gateway serves HTTP only: spec.tls has no effect');
    }
  }
}

function hostsOf(ingress: KnativeIngress & KubeObject): string[] {
  return (ingress.spec?.rules ?? []).flatMap((rule) => rule.hosts ?? []);
}
