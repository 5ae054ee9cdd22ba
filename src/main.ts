/** The composition: which parts run in this process and how they meet. Nothing else wires. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { systemClock } from './base/clock.ts';
import { silentLogger, type Logger } from './base/log.ts';
import {
  ingressClasses,
  namespaces,
  priorityClasses,
  serviceAccounts,
  storageClasses,
  systemPriorityClasses,
} from './api/kubernetes/index.ts';
import { clusterBuildTemplates } from './api/build/template.ts';
import type { KubeObject } from './api/object.ts';
import type { Pod } from './api/pods.ts';
import { resources } from './api/registry.ts';
import type { ResourceDef } from './api/resource.ts';
import type { RequestPath } from './api/routing.ts';
import { buildControllers, defaultBuildImages, shippedTemplates } from './build/index.ts';
import { startCluster } from './cluster/index.ts';
import { makeDefaultIngressClass } from './cluster/ingress/index.ts';
import { makeDefaultClass } from './cluster/volumes/host-path.ts';
import { startEventing } from './eventing/index.ts';
import { startGateway } from './gateway/gateway.ts';
import { RouteLayers } from './gateway/route-layers.ts';
import { buildNodeImage, type BuiltImage } from './image/build/node-image.ts';
import { shippedImages } from './image/build/tools.ts';
import { RegistryClient } from './image/client/client.ts';
import type { Keyring } from './image/client/keyring.ts';
import { registryPuller } from './image/client/transfer.ts';
import { ImageProvider } from './image/provider.ts';
import { formatReference, parseReference } from './image/reference.ts';
import { ImageStore } from './image/store.ts';
import { Unpacker } from './image/unpack.ts';
import { isAlreadyExists } from './kube/api-error.ts';
import type { Client } from './kube/client/client.ts';
import { withFieldManager } from './kube/client/field-manager.ts';
import { inProcessClient } from './kube/client/in-process.ts';
import { SharedInformers } from './kube/client/shared-informers.ts';
import type { ControllerEnv } from './kube/controller/controller.ts';
import { startControllers } from './kube/controller/kernel.ts';
import { makeAccess } from './kube/server/access.ts';
import { admissionPlugins } from './kube/server/admission/index.ts';
import { startApiServer } from './kube/server/api-server.ts';
import { certificatesPlugin } from './kube/server/admission/certificates.ts';
import { serviceAccountPlugin } from './kube/server/admission/service-account.ts';
import { Audit } from './kube/server/audit/index.ts';
import { AuditLog } from './kube/server/audit/log.ts';
import type { AuditChoice } from './kube/server/audit/policy.ts';
import { podTokenSource } from './kube/server/authentication/pod-tokens.ts';
import { ensureTokenKey } from './kube/server/authentication/token-key.ts';
import { TokenRequests, tokenSubresource } from './kube/server/authentication/token-request.ts';
import { escalationPlugin } from './kube/server/authorization/escalation.ts';
import { reconcileDefaultRoles } from './kube/server/authorization/reconcile-defaults.ts';
import { signRequest } from './kube/server/certificates/signers.ts';
import { FlowControl } from './kube/server/flow-control/index.ts';
import { writeKubeconfig } from './kube/server/kubeconfig.ts';
import { ensurePki } from './kube/server/pki.ts';
import { podActionHandlers } from './kube/server/pod-actions/index.ts';
import { objectProxyHandlers } from './kube/server/object-proxy/index.ts';
import { podStreamHandlers } from './kube/server/pod-streams/index.ts';
import { AdmissionPolicies } from './kube/server/policies/index.ts';
import { ApiService } from './kube/server/service/service.ts';
import { AdmissionWebhooks } from './kube/server/webhooks/index.ts';
import { openStore, type OpeningStore } from './kube/store/open.ts';
import { publishBrokerIngress, routeBrokerIngress } from './main/broker-ingress.ts';
import { makeEventTransport } from './main/event-transport.ts';
import { makeServiceNetwork, removeServiceRules, serviceRangeOf } from './main/service-network.ts';
import { startNodeAgent, type NodeAgent } from './node/agent.ts';
import { makeApiEnvironment, makePodKubeconfig, type ApiAddress } from './node/api-environment.ts';
import { dataReader } from './node/data-reader.ts';
import { imageCacheController } from './node/image-cache.ts';
import { readKeyring } from './node/pull-secrets.ts';
import { removeLeftovers as removeNodeLeftovers } from './node/leftovers.ts';
import { serviceVariables } from './node/service-environment.ts';
import { startRegistry, type Registry } from './registry/server.ts';
import { servingControllers, type ImageResolver } from './serving/index.ts';

/** A place to listen. Port 0 picks a free one. */
export interface Listen {
  readonly host: string;
  readonly port: number;
}

export interface PlatformOptions {
  /** The data directory. */
  readonly data: string;
  /** The store of that directory, when it is being opened already. */
  readonly store?: OpeningStore;
  readonly driver: 'auto' | 'oci' | 'process';
  readonly api: Listen;
  readonly gateway: Listen;
  /** The gateway's listener for cluster-local names. */
  readonly local: Listen;
  readonly registry: Listen;
  /** What of the API's requests is written to `<data>/audit.log`. Default: none. */
  readonly audit?: AuditChoice;
  readonly log: Logger;
  /** Called when the store is open: from then on this process is the only one on the data directory. */
  readonly owned?: () => void;
  /** Told of each step when it is done, with the milliseconds it took. */
  readonly progress: (step: string, ms: number) => void;
}

/** A running Knapsack. Addresses are URLs. */
export interface Platform {
  readonly kubeconfig: string;
  readonly api: string;
  readonly gateway: string;
  readonly local: string;
  readonly registry: string;
  readonly driver: { readonly name: string; readonly reason: string };
  /** The data directory was new. */
  readonly firstRun: boolean;
  /** The administrator's client. */
  readonly client: Client;
  buildImage(image: { readonly directory: string; readonly name: string }): Promise<BuiltImage>;
  /** Stops everything; nothing but the data directory is left. */
  close(): Promise<void>;
}

const administrator = 'system:admin';
/** How long requests under way may take when the platform stops, ms. */
const closeGraceMs = 10_000;
/** How long a pod's requests may take before it is stopped all the same, ms; the pod's own grace period may be shorter. */
const drainTimeoutMs = 300_000;

const systemNamespaces = [
  'default',
  'kube-system',
  'kube-public',
  'kube-node-lease',
  'knative-serving',
  'knative-eventing',
  'knative-build',
];

/** Starts everything, or nothing: what was started before a failure is stopped again. */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  const closers = new AsyncDisposableStack();
  try {
    return await start(options, closers);
  } catch (error) {
    await closers.disposeAsync();
    throw error;
  }
}

async function start(options: PlatformOptions, closers: AsyncDisposableStack): Promise<Platform> {
  const { data, log } = options;
  const clock = systemClock;
  let since = performance.now();
  const done = (step: string): void => {
    const now = performance.now();
    options.progress(step, now - since);
    since = now;
  };

  const { isNew: firstRun, opened } = options.store ?? openStore(join(data, 'store'));
  const store = await opened;
  closers.defer(() => store.close());
  options.owned?.();
  const access = makeAccess({ store, clock, key: ensureTokenKey(join(data, 'pki')) });
  const plugins = [
    escalationPlugin(access.authorizer),
    certificatesPlugin(access.authorizer),
    serviceAccountPlugin(store),
    ...admissionPlugins,
  ];
  const hooks = new AdmissionWebhooks({ store, log, access: access.authorizer });
  closers.defer(() => hooks.close());
  const webhooks = new AdmissionPolicies({ store, access: access.authorizer }, hooks);
  const { range: serviceRange, apiAddress: apiServiceAddress } = serviceRangeOf(store, data);
  const service = new ApiService({ store, resources, clock, plugins, webhooks, serviceRange });
  const client = withFieldManager(inProcessClient(service, { user: administrator }), 'knapsack');
  // Side by side, so that the first start waits for one commit and not for one each.
  await Promise.all([
    ...systemNamespaces.map((name) =>
      ensure(client, namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }),
    ),
    ...systemPriorityClasses().map((item) => ensure(client, priorityClasses, item)),
    ...shippedTemplates().map((template) => ensure(client, clusterBuildTemplates, template)),
    ensure(client, storageClasses, makeDefaultClass()),
    ensure(client, ingressClasses, makeDefaultIngressClass()),
    reconcileDefaultRoles(client),
  ]);
  const tokenRequests = new TokenRequests(service, access.tokens);
  const informers = new SharedInformers({ client, clock, log });
  closers.defer(() => informers.close());
  const env: ControllerEnv = { client, informers, clock, log };
  /** What a part of the program writes shows its name in managedFields. */
  const envOf = (manager: string): ControllerEnv => ({ ...env, client: withFieldManager(client, manager) });
  done('store opened');

  const imageStore = await ImageStore.open(join(data, 'images'), { shipped: shippedImages() });
  const images = new ImageProvider({
    store: imageStore,
    unpacker: new Unpacker(imageStore, join(data, 'images', 'roots')),
    puller: registryPuller(new RegistryClient(), imageStore),
    log,
  });
  const registry = await startRegistry({ store: imageStore, ...options.registry, log });
  closers.defer(() => registry.close());
  const registryAliases = [registry.address.host, 'localhost'].map(
    (host) => `${host}:${registry.address.port}`,
  );
  for (const alias of registryAliases) imageStore.addAlias(alias);

  const gateway = await startGateway({ public: options.gateway, local: options.local, log });
  closers.defer(() => gateway.close(closeGraceMs));
  const layers = new RouteLayers(gateway);
  const knativeRoutes = layers.add();
  const ingressRoutes = layers.add();
  const requestPath: RequestPath = {
    apply: (update) => knativeRoutes.apply(update),
    untilIdle: (endpointId, timeoutMs) => gateway.untilIdle(endpointId, timeoutMs),
    onStats: (listener) => gateway.onStats(listener),
    onWake: (listener) => gateway.onWake(listener),
  };
  done('gateway and registry listening');

  const network = makeServiceNetwork({
    informers,
    clock,
    log,
    range: serviceRange,
    publicHost: options.gateway.host,
    listenLocal: (address) => gateway.listenLocal(address),
  });
  closers.defer(() => network.close());
  // Pods are told where the API is, which is started after them.
  const apiAddress = Promise.withResolvers<ApiAddress>();
  apiAddress.promise.catch(() => undefined);
  // Serving is started later, on top of pods.
  let announce = (_pod: Pod): void => {};
  const nodeName = hostname().toLowerCase();
  const agent: NodeAgent = await startNodeAgent({
    ...envOf('kubelet'),
    dataDir: data,
    nodeName,
    driver: options.driver,
    images,
    announce: (pod) => announce(pod),
    beforeStop: (pod) => gateway.drain(pod.metadata.uid ?? '', drainTime(pod)),
    openNetwork: (place) => network.open(place),
    token: podTokenSource({ tokens: access.tokens, informers, clock, nodeName }),
    serviceEnv: async (pod) =>
      new Map([
        ...(await serviceVariables(informers, pod)),
        ...makeApiEnvironment(await apiAddress.promise, pod, agent.driver.name === 'process'),
      ]),
    kubeconfig: async (dir) => makePodKubeconfig(await apiAddress.promise, dir),
  });
  closers.defer(() => agent.close({ removePods: true }));
  closers.defer(() => apiAddress.reject(new Error('the platform stops')));
  const podRegistry = await startPodRegistry(agent.hostAddress, registry, imageStore, log);
  if (podRegistry) closers.defer(() => podRegistry.close());
  done(`node registered, pods run by the ${agent.driver.name} driver`);

  const pki = ensurePki(join(data, 'pki'), {
    hosts: [options.api.host, agent.hostAddress, apiServiceAddress],
  });
  const auditLog = new AuditLog({ path: join(data, 'audit.log'), log });
  closers.defer(() => auditLog.close());
  const { audit: choice = 'none' } = options;
  const audit = choice === 'none' ? undefined : new Audit({ choice, log: auditLog, clock });
  const api = await startApiServer({
    service,
    pki,
    access,
    flowControl: new FlowControl(store),
    ...(audit ? { audit } : {}),
    subresources: [
      tokenSubresource(tokenRequests, clock),
      ...podActionHandlers(service, clock),
      ...podStreamHandlers(service, agent.streams),
      ...objectProxyHandlers(service, agent.streams),
    ],
    ...options.api,
    moreHosts: podHosts(options.api.host, agent.hostAddress),
    logs: agent.logs,
    metrics: agent.metrics,
    log,
  });
  closers.defer(() => api.close());
  const podAddress = { host: agent.hostAddress, port: api.port };
  apiAddress.resolve(podAddress);
  const kubeconfig = join(data, 'kubeconfig');
  writeKubeconfig(kubeconfig, { server: api.url, ca: pki.ca.cert, cert: pki.admin.cert, key: pki.admin.key });
  done('Kubernetes API serving');

  const local = gateway.localAddress ?? gateway.publicAddress;
  const localForPods = network.gateway ?? local;
  const publicIp = reachable(gateway.publicAddress.host);
  const cluster = await startCluster(envOf('kube-controller-manager'), {
    metrics: agent.metrics,
    volumesDir: join(data, 'volumes'),
    ingress: { routes: ingressRoutes, address: { ip: publicIp, port: gateway.publicAddress.port } },
    resources: service.registry,
    rootCertificate: pki.ca.cert,
    apiAddress: podAddress,
    signRequest: (spec, now) => signRequest(spec, (request) => pki.issueFor(request), now),
    issueToken: (claims) => access.tokens.issueForSecret(claims),
  });
  closers.defer(() => cluster.stop());
  const serving = servingControllers(envOf('knative-serving'), {
    requestPath,
    images: imageResolver(images, pullSecretReader(env)),
    gateway: { public: { ip: publicIp }, private: { ip: localForPods.host } },
  });
  await serving.start();
  announce = (pod) => serving.announce(pod);
  closers.defer(() => serving.close());
  const eventing = await startEventing(envOf('knative-eventing'), {
    dataDir: data,
    resources,
    resolveTransport: makeEventTransport(informers, local),
  });
  closers.defer(() => eventing.close());
  await Promise.all([
    routeBrokerIngress(requestPath, eventing.ingress),
    publishBrokerIngress(envOf('knative-eventing').client, localForPods),
  ]);
  const build = buildControllers(envOf('knative-build'), {
    images: defaultBuildImages,
    registryEndpoint: () => (podRegistry ?? registry).url,
    registryAliases: () => registryAliases,
    localSources: true,
  });
  const controllers = [
    ...serving.controllers,
    ...eventing.controllers,
    ...build,
    imageCacheController(env, images),
  ];
  const kernel = await startControllers(controllers, env);
  closers.defer(() => kernel.stop());
  const networkProblem = await network.settled();
  done('controllers running');

  return {
    kubeconfig,
    api: api.url,
    gateway: urlOf(gateway.publicAddress),
    local: urlOf(local),
    registry: registry.url,
    driver: {
      name: agent.driver.name,
      reason: [agent.driver.reason, ...(networkProblem === undefined ? [] : [networkProblem])].join('; '),
    },
    firstRun,
    client,
    async buildImage(image) {
      const built = await buildNodeImage({ ...image, store: imageStore });
      await images.ensure(image.name);
      return built;
    },
    async close() {
      // Requests first, so that none meets a pod that is being stopped; the rest in reverse order of its start.
      await gateway.close(closeGraceMs);
      await closers.disposeAsync();
    },
  };
}

async function ensure<T extends KubeObject>(client: Client, def: ResourceDef<T>, object: T): Promise<void> {
  try {
    await client.create(def, object);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

/** Serving pins revisions to what a name means when they are made. */
function imageResolver(images: ImageProvider, keyringOf: KeyringReader): ImageResolver {
  return {
    async resolve(name, options) {
      const reference = parseReference(name);
      const keyring = await keyringOf(options);
      const digest = await images.resolveDigest(name, keyring(reference));
      const { tag: _, ...untagged } = reference;
      return formatReference({ ...untagged, digest });
    },
  };
}

type KeyringReader = (who: Parameters<ImageResolver['resolve']>[1]) => Promise<Keyring>;

/** The pull secrets that a pod would get: those it names, or else those of its service account. */
function pullSecretReader({ client, informers, clock }: ControllerEnv): KeyringReader {
  const read = dataReader(client, informers, clock);
  const accounts = informers.for(serviceAccounts);
  return async ({ namespace, serviceAccountName, pullSecrets }) => {
    const account = accounts.get(`${namespace}/${serviceAccountName}`);
    const inherited = (account?.imagePullSecrets ?? []).flatMap(({ name }) => (name ? [name] : []));
    const names = pullSecrets.length > 0 ? pullSecrets : inherited;
    return (await readKeyring(read, namespace, names)).keyring;
  };
}

/** Pods with a network of their own cannot reach loopback: the registry listens on their bridge as well. */
async function startPodRegistry(
  hostAddress: string,
  registry: Registry,
  store: ImageStore,
  log: Logger,
): Promise<Registry | undefined> {
  if (hostAddress === registry.address.host) return undefined;
  const podRegistry = await startRegistry({ store, host: hostAddress, port: registry.address.port, log });
  store.addAlias(`${hostAddress}:${podRegistry.address.port}`);
  return podRegistry;
}

/** Where the API listens besides its own address, so that pods with a network of their own reach it. */
function podHosts(apiHost: string, hostAddress: string): string[] {
  const covered = [hostAddress, '0.0.0.0', '::'].includes(apiHost);
  return covered ? [] : [hostAddress];
}

function drainTime(pod: Pod): number {
  return Math.min((pod.spec?.terminationGracePeriodSeconds ?? 30) * 1000, drainTimeoutMs);
}

/** Ends and removes what a killed Knapsack may have left on the machine: processes, networks, rules, cgroups, mounts. */
export async function removeLeftovers(data: string): Promise<void> {
  await removeServiceRules(data);
  await removeNodeLeftovers({ dataDir: data, hostEnv: process.env, log: silentLogger });
}

function urlOf({ host, port }: Listen): string {
  const shown = reachable(host);
  return `http://${shown.includes(':') ? `[${shown}]` : shown}:${port}`;
}

/** An address to connect to for one to listen on: a wildcard is no destination. */
function reachable(host: string): string {
  return host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
}
