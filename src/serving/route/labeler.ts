/**
 * Marks what routes use: `routingState` and the `routes` annotation of Revisions, and of Configurations. Off the way of
 * traffic: a route is ready before its marks are set (knative/serving pkg/reconciler/labeler).
 */
import type { KubeObject } from '../../api/object.ts';
import { timestamp } from '../../api/object.ts';
import type { ResourceDef } from '../../api/resource.ts';
import { annotations, labels } from '../../api/serving/labels.ts';
import { configurations, revisions, routes, type Route } from '../../api/serving/index.ts';
import { isNotFound } from '../../kube/api-error.ts';
import type { Controller } from '../../kube/controller/controller.ts';
import { objectKey } from '../../kube/client/client.ts';
import type { ServingEnv } from '../env.ts';

export function labelerController(env: ServingEnv): Controller {
  const { client, clock, informers } = env;
  const routeInformer = informers.for(routes);
  const configurationInformer = informers.for(configurations);
  const revisionInformer = informers.for(revisions);

  return {
    name: 'labeler',
    restMs: 20,
    root: routes,
    async reconcile({ namespace = '', name }) {
      const route = routeInformer.get(`${namespace}/${name}`);
      const used = route && !route.metadata.deletionTimestamp ? usedBy(route) : nothing;
      const configurationPatches = configurationInformer
        .list({ namespace })
        .map((one) => [one, routesPatch(one, name, used.configurations.has(one.metadata.name))] as const);
      const revisionPatches = revisionInformer
        .list({ namespace })
        .map(
          (one) =>
            [one, routingPatch(one, name, used.revisions.has(one.metadata.name), clock.now())] as const,
        );
      await Promise.all([
        ...configurationPatches.map(([object, body]) => mark(configurations, object, body)),
        ...revisionPatches.map(([object, body]) => mark(revisions, object, body)),
      ]);
    },
  };

  async function mark<T extends KubeObject>(
    def: ResourceDef<T>,
    object: T,
    body: object | undefined,
  ): Promise<void> {
    if (!body || object.metadata.deletionTimestamp) return;
    try {
      await client.patch(def, objectKey(object), { type: 'merge', body: { metadata: body } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}

interface Used {
  readonly revisions: ReadonlySet<string>;
  readonly configurations: ReadonlySet<string>;
}

const nothing: Used = { revisions: new Set(), configurations: new Set() };

function usedBy({ spec, status }: Route): Used {
  const targets = [...(spec?.traffic ?? []), ...(status?.traffic ?? [])];
  return {
    revisions: new Set(targets.flatMap(({ revisionName }) => revisionName || [])),
    configurations: new Set(targets.flatMap(({ configurationName }) => configurationName || [])),
  };
}

function routesOf(object: KubeObject): string[] {
  return (object.metadata.annotations?.[annotations.routes] ?? '').split(',').filter((name) => name !== '');
}

/** The metadata patch that adds or removes a route, or undefined when it is right already. */
function routesPatch(object: KubeObject, route: string, used: boolean): object | undefined {
  const before = routesOf(object);
  if (before.includes(route) === used) return undefined;
  const after = used ? [...before, route].sort() : before.filter((name) => name !== route);
  return { annotations: { [annotations.routes]: after.length > 0 ? after.join(',') : null } };
}

/** As {@link routesPatch}, with the routing state that follows. `now` is ms since the epoch. */
function routingPatch(object: KubeObject, route: string, used: boolean, now: number): object | undefined {
  const before = routesOf(object);
  const state = object.metadata.labels?.[labels.routingState];
  const after = used ? new Set([...before, route]) : new Set(before.filter((name) => name !== route));
  const next = after.size > 0 ? 'active' : state === 'active' ? 'reserve' : state;
  const moved = next !== state;
  if (before.length === after.size && before.includes(route) === used && !moved) return undefined;
  return {
    ...(moved ? { labels: { [labels.routingState]: next } } : {}),
    annotations: {
      [annotations.routes]: after.size > 0 ? [...after].sort().join(',') : null,
      ...(moved ? { [annotations.routingStateModified]: timestamp(now) } : {}),
    },
  };
}
