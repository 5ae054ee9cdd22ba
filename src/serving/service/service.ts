/** Service → Configuration and Route; repeats what they say. */
import { conditionUnknown, nextConditions } from '../../api/knative/conditions.ts';
import {
  configurations,
  knativeServices,
  revisions,
  routes,
  type Configuration,
  type KnativeService,
  type Route,
} from '../../api/serving/index.ts';
import { deepEqual, mergePatchOf } from '../../base/json.ts';
import type { Controller } from '../../kube/controller/controller.ts';
import { writeStatus } from '../../kube/controller/write-status.ts';
import { createOrGet, isControlledBy, patchChild } from '../apply.ts';
import { sameTemplate } from '../configuration/template.ts';
import type { ServingEnv } from '../env.ts';
import { makeConfiguration, makeRoute } from './resources/make.ts';
import {
  childNotOwned,
  childOutOfDate,
  isObserved,
  isTrafficMigrated,
  readyOf,
  revisionNameTaken,
  serviceConditions,
  trafficNotMigrated,
} from './status.ts';

export function serviceController(env: ServingEnv): Controller {
  const { client, clock, informers } = env;
  const serviceInformer = informers.for(knativeServices);
  const configurationInformer = informers.for(configurations);
  const routeInformer = informers.for(routes);
  const revisionInformer = informers.for(revisions);

  return {
    name: 'service',
    root: knativeServices,
    owns: [configurations, routes],
    concurrency: 16,
    async reconcile({ namespace, name }) {
      const key = `${namespace}/${name}`;
      const service = serviceInformer.get(key);
      if (!service || service.metadata.deletionTimestamp) return;

      const named = service.spec?.template?.metadata?.name;
      const oldRoute = routeInformer.get(key);
      const oldConfiguration = configurationInformer.get(key);
      // The two do not depend on each other, but for a chosen revision name: whether it is free decides the route.
      const [configuration, firstRoute] = await Promise.all([
        applyConfiguration(service, oldConfiguration),
        named && oldRoute ? oldRoute : applyRoute(service, oldRoute),
      ]);
      const settled = isObserved(configuration);
      const taken = named !== undefined && settled && isNameTaken(configuration, named);
      const route = named && oldRoute && settled && !taken ? await applyRoute(service, oldRoute) : firstRoute;
      await writeStatus(client, knativeServices, service, nextStatus(service, configuration, route, taken));
    },
  };

  async function applyConfiguration(
    service: KnativeService,
    existing?: Configuration,
  ): Promise<Configuration> {
    const desired = makeConfiguration(service, existing);
    const found = existing ?? (await createOrGet(client, configurations, desired));
    if (!isControlledBy(found, service)) return found;
    const spec = sameTemplate(desired.spec?.template, found.spec?.template) ? undefined : desired.spec;
    const body = changes(desired, found, spec && { spec: mergePatchOf(found.spec, spec) });
    return body ? patchChild(client, configurations, found, body) : found;
  }

  async function applyRoute(service: KnativeService, existing?: Route): Promise<Route> {
    const desired = makeRoute(service);
    const found = existing ?? (await createOrGet(client, routes, desired));
    if (!isControlledBy(found, service)) return found;
    const spec = deepEqual(desired.spec, found.spec) ? undefined : desired.spec;
    const body = changes(desired, found, spec && { spec: mergePatchOf(found.spec, spec) });
    return body ? patchChild(client, routes, found, body) : found;
  }

  /** A revision of that name that this generation of the configuration did not make. */
  function isNameTaken(configuration: Configuration, name: string): boolean {
    const revision = revisionInformer.get(`${configuration.metadata.namespace}/${name}`);
    if (!revision) return false;
    return (
      !isControlledBy(revision, configuration) || configuration.status?.latestCreatedRevisionName !== name
    );
  }

  function nextStatus(
    service: KnativeService,
    configuration: Configuration,
    route: Route,
    nameTaken: boolean,
  ): NonNullable<KnativeService['status']> {
    const { name, generation } = service.metadata;
    const routeStatus = route.status ?? {};
    const configurationOwned = isControlledBy(configuration, service);
    const routeOwned = isControlledBy(route, service);
    const configurationSays = !configurationOwned
      ? childNotOwned('Configuration', name)
      : isObserved(configuration)
        ? readyOf(configuration)
        : childOutOfDate('Configuration');
    let routeSays = conditionUnknown();
    if (nameTaken) routeSays = revisionNameTaken(service.spec?.template?.metadata?.name ?? '');
    else if (!routeOwned) routeSays = childNotOwned('Route', name);
    else if (!isObserved(route) || !deepEqual(makeRoute(service).spec, route.spec))
      routeSays = childOutOfDate('Route');
    else {
      routeSays = readyOf(route);
      if (routeSays.status === 'True' && !isTrafficMigrated(configuration, route))
        routeSays = trafficNotMigrated;
    }
    return {
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      conditions: nextConditions(
        serviceConditions,
        service.status?.conditions,
        { ConfigurationsReady: configurationSays, RoutesReady: routeSays },
        clock.now(),
      ),
      ...(configurationOwned ? revisionNames(configuration) : {}),
      ...(routeOwned
        ? {
            ...(routeStatus.url ? { url: routeStatus.url } : {}),
            ...(routeStatus.address ? { address: routeStatus.address } : {}),
            ...(routeStatus.traffic ? { traffic: routeStatus.traffic } : {}),
          }
        : {}),
    };
  }
}

function revisionNames({ status }: Configuration): {
  latestCreatedRevisionName?: string;
  latestReadyRevisionName?: string;
} {
  const { latestCreatedRevisionName: created, latestReadyRevisionName: ready } = status ?? {};
  return {
    ...(created ? { latestCreatedRevisionName: created } : {}),
    ...(ready ? { latestReadyRevisionName: ready } : {}),
  };
}

/** The merge patch of labels, annotations and what else differs; undefined when nothing does. */
function changes(
  desired: Configuration | Route,
  found: Configuration | Route,
  more: object | undefined,
): object | undefined {
  const metadata: { labels?: unknown; annotations?: unknown } = {};
  // What the user takes away from the Service goes from its children, too.
  for (const member of ['labels', 'annotations'] as const) {
    const [have, want] = [found.metadata[member] ?? {}, desired.metadata[member] ?? {}];
    if (!deepEqual(have, want)) metadata[member] = mergePatchOf(have, want);
  }
  const touched = Object.keys(metadata).length > 0;
  if (!touched && !more) return undefined;
  return { ...(touched ? { metadata } : {}), ...more };
}
