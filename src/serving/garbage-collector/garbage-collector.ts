/** Removes revisions that no route has named for long, by the rules of config-gc. */
import { configurations, revisions } from '../../api/serving/index.ts';
import type { Controller } from '../../kube/controller/controller.ts';
import { deleteIfExists } from '../apply.ts';
import type { ServingEnv } from '../env.ts';
import { staleRevisions } from './stale.ts';

/** Revisions grow old without an event, ms. */
const lookAgainMs = 10 * 60_000;

export function garbageCollectorController(env: ServingEnv): Controller {
  const { client, clock, informers } = env;
  const configurationInformer = informers.for(configurations);
  const revisionInformer = informers.for(revisions);
  return {
    name: 'revision-garbage-collector',
    root: configurations,
    async reconcile({ namespace, name }) {
      const configuration = configurationInformer.get(`${namespace}/${name}`);
      if (!configuration || configuration.metadata.deletionTimestamp) return undefined;
      const own = revisionInformer.ownedBy(configuration.metadata.uid ?? '');
      const stale = staleRevisions(configuration, own, env.config.current.gc, clock.now());
      await Promise.all(stale.map((revision) => deleteIfExists(client, revisions, revision)));
      return { requeueAfter: lookAgainMs };
    },
  };
}
