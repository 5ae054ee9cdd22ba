/** Route → Ingress and placeholder Services; becomes ready once the gateway serves the traffic that it asks for. */
import { endpoints as endpointsResource, services, type Service } from '../../api/kubernetes/services.ts';
import { conditionFalse, nextConditions, type ConditionValue } from '../../api/knative/conditions.ts';
import { ingresses, type Ingress } from '../../api/networking/index.ts';
import type { ServingConfig } from '../../api/serving/config/index.ts';
import { annotations, clusterLocal, labels } from '../../api/serving/labels.ts';
import {
  configurations,
  revisions,
  routes,
  type Configuration,
  type Revision,
  type Route,
} from '../../api/serving/index.ts';
import { deepEqual, mergePatchOf } from '../../base/json.ts';
import { messageOf } from '../../base/errors.ts';
import { watches, type Controller } from '../../kube/controller/controller.ts';
import { writeStatus } from '../../kube/controller/write-status.ts';
import { createOrGet, deleteIfExists, includesAll, isControlledBy, patchChild } from '../apply.ts';
import type { ServingEnv } from '../env.ts';
import { hostsOf, internalHost, placeholderName, urlOf } from './hosts.ts';
import { makeIngress, makePlaceholder, makePlaceholderEndpoints } from './resources/make.ts';
import { stepRollout } from './rollout.ts';
import {
  ingressNotOwned,
  ingressSays,
  placeholderNotOwned,
  rolloutInProgress,
  routeConditions,
  tlsNotEnabled,
  trafficStatus,
} from './status.ts';
import { allTrafficAssigned, resolveTraffic, type Traffic } from './traffic.ts';

/** How long an ingress that was just written may take before the route's status says that it is waiting, ms. */
const ingressPatienceMs = 100;

export function routeController(env: ServingEnv): Controller {
  const { client, clock, informers } = env;
  const routeInformer = informers.for(routes);
  const configurationInformer = informers.for(configurations);
  const revisionInformer = informers.for(revisions);
  const ingressInformer = informers.for(ingresses);
  const serviceInformer = informers.for(services);
  const endpointsInformer = informers.for(endpointsResource);

  return {
    name: 'route',
    root: routes,
    owns: [ingresses, services],
    watches: [
      watches(configurations, (configuration) => routesNaming(configuration, 'configurationName')),
      watches(revisions, (revision) => routesNaming(revision, 'revisionName')),
    ],
    concurrency: 16,
    async reconcile({ namespace, name }) {
      const key = `${namespace}/${name}`;
      const route = routeInformer.get(key);
      if (!route || route.metadata.deletionTimestamp) return undefined;
      const config = env.config.current;
      const localTags = tagsMadeLocal(route);
      let hosts;
      try {
        hosts = hostsOf(route, '', config, localTags);
      } catch (error) {
        const problem = conditionFalse('InvalidTemplate', messageOf(error));
        await say(route, { AllTrafficAssigned: problem }, {});
        return undefined;
      }
      const address = { url: `http://${internalHost(name, namespace ?? '')}` };
      const url = urlOf(hosts, config);

      const { traffic, problem } = resolveTraffic(route, {
        configuration: (other) => configurationInformer.get(`${namespace}/${other}`),
        revision: (other) => revisionInformer.get(`${namespace}/${other}`),
      });
      if (!traffic) {
        // The traffic that flows keeps flowing: the ingress stays as it is.
        const old = ingressInformer.get(key);
        const IngressReady = old ? ingressSays(old) : undefined;
        const values = { AllTrafficAssigned: problem, ...(IngressReady ? { IngressReady } : {}) };
        const before = route.status?.traffic;
        await say(route, values, { url, address, ...(before ? { traffic: before } : {}) });
        return undefined;
      }

      const existing = ingressInformer.get(key);
      const rollout = stepRollout(route, traffic, existing, config, clock.now());
      const [{ ingress, written }, foreign] = await Promise.all([
        applyIngress(route, rollout.traffic, existing, config, localTags, rollout.state),
        applyPlaceholders(route, traffic, existing, config),
      ]);
      // The gateway answers in a moment, and that brings us back: what would be said until then is not worth a write.
      if (written) return { requeueAfter: ingressPatienceMs };
      let IngressReady: ConditionValue;
      if (!isControlledBy(ingress, route)) IngressReady = ingressNotOwned(name);
      else if (foreign !== undefined) IngressReady = placeholderNotOwned(foreign);
      else IngressReady = ingressSays(ingress);
      if (IngressReady.status === 'True' && rollout.inProgress) IngressReady = rolloutInProgress;
      await say(
        route,
        { AllTrafficAssigned: allTrafficAssigned, IngressReady },
        { url, address, traffic: trafficStatus(route, rollout.traffic, config, localTags) },
      );
      if (rollout.nextAt !== undefined) return { requeueAfter: Math.max(1, rollout.nextAt - clock.now()) };
      return undefined;
    },
  };

  /** Routes of the namespace whose traffic names this object. */
  function routesNaming(
    { metadata }: Configuration | Revision,
    member: 'configurationName' | 'revisionName',
  ): string[] {
    const { namespace = '', name } = metadata;
    return routeInformer
      .list({ namespace })
      .filter(({ spec }) => spec?.traffic?.some((target) => target[member] === name))
      .map((route) => `${namespace}/${route.metadata.name}`);
  }

  /** Users may take one tag off the public listener by labelling its placeholder Service. */
  function tagsMadeLocal({ metadata }: Route): Set<string> {
    const marked = { [labels.route]: metadata.name, [labels.visibility]: clusterLocal };
    const found = serviceInformer.list({ namespace: metadata.namespace ?? '', labels: marked });
    return new Set(
      found.map((service) => service.metadata.labels?.['networking.internal.knative.dev/tag'] ?? ''),
    );
  }

  async function applyIngress(
    route: Route,
    traffic: Traffic,
    existing: Ingress | undefined,
    config: ServingConfig,
    localTags: ReadonlySet<string>,
    rollout: string | undefined,
  ): Promise<{ readonly ingress: Ingress; readonly written: boolean }> {
    const desired = makeIngress(route, traffic, config, localTags, rollout);
    const found = existing ?? (await createOrGet(client, ingresses, desired));
    if (!isControlledBy(found, route)) return { ingress: found, written: false };
    const { labels: wantedLabels, annotations: wantedNotes } = desired.metadata;
    const notes = {
      ...wantedNotes,
      ...(rollout || !found.metadata.annotations?.[annotations.rollout]
        ? {}
        : { [annotations.rollout]: null }),
    };
    const sameSpec = deepEqual(found.spec, desired.spec);
    const sameNotes =
      includesAll(found.metadata.annotations, wantedNotes) &&
      Object.keys(notes).length === Object.keys(wantedNotes ?? {}).length;
    if (sameSpec && sameNotes) return { ingress: found, written: !existing };
    const body = {
      metadata: { labels: wantedLabels, annotations: notes },
      ...(sameSpec ? {} : { spec: mergePatchOf(found.spec, desired.spec) }),
    };
    return { ingress: await patchChild(client, ingresses, found, body), written: true };
  }

  /** Returns the name of a Service that is in the way, if any. */
  async function applyPlaceholders(
    route: Route,
    traffic: Traffic,
    ingress: Ingress | undefined,
    config: ServingConfig,
  ): Promise<string | undefined> {
    const namespace = route.metadata.namespace ?? '';
    const wanted = new Set(
      [...traffic.byTag.keys()].map((tag) => placeholderName(route.metadata.name, tag, config)),
    );
    const stale = serviceInformer
      .list({ namespace, labels: { [labels.route]: route.metadata.name } })
      .filter((service) => isControlledBy(service, route) && !wanted.has(service.metadata.name));
    const foreign = await Promise.all([
      ...[...traffic.byTag.keys()].map((tag) => applyPlaceholder(route, tag, ingress, config)),
      ...stale.map((service) => deleteIfExists(client, services, service)),
    ]);
    return foreign.find((name) => name !== undefined) ?? undefined;
  }

  async function applyPlaceholder(
    route: Route,
    tag: string,
    ingress: Ingress | undefined,
    config: ServingConfig,
  ): Promise<string | undefined> {
    const desired = makePlaceholder(route, tag, config, ingress);
    const key = `${desired.metadata.namespace}/${desired.metadata.name}`;
    const found = serviceInformer.get(key) ?? (await createOrGet(client, services, desired));
    if (!isControlledBy(found, route)) return found.metadata.name;
    await updatePlaceholder(found, desired);
    const addresses = makePlaceholderEndpoints(desired, ingress);
    if (!addresses) return undefined;
    const have = endpointsInformer.get(key) ?? (await createOrGet(client, endpointsResource, addresses));
    if (!deepEqual(have.subsets, addresses.subsets)) {
      await patchChild(client, endpointsResource, have, { subsets: addresses.subsets });
    }
    return undefined;
  }

  async function updatePlaceholder(found: Service, desired: Service): Promise<void> {
    const { type = 'ClusterIP', externalName, clusterIP } = desired.spec ?? {};
    const sameKind = (found.spec?.type ?? 'ClusterIP') === type && found.spec?.externalName === externalName;
    const sameNotes =
      includesAll(found.metadata.labels, desired.metadata.labels) &&
      includesAll(found.metadata.annotations, desired.metadata.annotations);
    if (sameKind && sameNotes) return;
    const metadata = { labels: desired.metadata.labels, annotations: desired.metadata.annotations };
    const spec = sameKind ? {} : { type, externalName: externalName ?? null, clusterIP: clusterIP ?? null };
    await patchChild(client, services, found, { metadata, spec });
  }

  async function say(
    route: Route,
    values: { readonly [type: string]: ConditionValue },
    rest: Pick<NonNullable<Route['status']>, 'url' | 'address' | 'traffic'>,
  ): Promise<void> {
    const { generation } = route.metadata;
    await writeStatus(client, routes, route, {
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      conditions: nextConditions(
        routeConditions,
        route.status?.conditions,
        { CertificateProvisioned: tlsNotEnabled, ...values },
        clock.now(),
      ),
      ...rest,
    });
  }
}
