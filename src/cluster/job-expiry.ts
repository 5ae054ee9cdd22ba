/** Finished Jobs that asked for it are deleted some time after their end (kubernetes pkg/controller/ttlafterfinished). */
import { jobs } from '../api/kubernetes/batch.ts';
import { hasReason } from '../kube/api-error.ts';
import { objectKey, type ObjectKey } from '../kube/client/client.ts';
import type { Controller, ControllerEnv, Outcome } from '../kube/controller/controller.ts';
import { finishTime } from './job-conditions.ts';

export function jobExpiryController(env: ControllerEnv): Controller {
  const informer = env.informers.for(jobs);
  return {
    name: 'job expiry',
    root: jobs,
    restMs: 100,
    async reconcile({ namespace = '', name }: ObjectKey): Promise<Outcome> {
      const job = informer.get(`${namespace}/${name}`);
      const seconds = job?.spec?.ttlSecondsAfterFinished;
      const finished = job && finishTime(job);
      if (!job || seconds === undefined || finished === undefined || job.metadata.deletionTimestamp) {
        return undefined;
      }
      const left = finished + seconds * 1000 - env.clock.now();
      if (left > 0) return { requeueAfter: left };
      const { uid, resourceVersion } = job.metadata;
      // The version guards against a longer time that was asked for meanwhile.
      const preconditions = { ...(uid ? { uid } : {}), ...(resourceVersion ? { resourceVersion } : {}) };
      try {
        await env.client.delete(jobs, objectKey(job), { propagationPolicy: 'Foreground', preconditions });
      } catch (error) {
        if (!hasReason(error, 'NotFound')) throw error;
      }
      return undefined;
    },
  };
}
