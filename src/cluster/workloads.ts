/** The controllers of workloads: what keeps pods running, or runs them to their end. */
import type { Controller, ControllerEnv } from '../kube/controller/controller.ts';
import type { EventRecorder } from '../kube/controller/recorder.ts';
import { cronJobController } from './cron-job.ts';
import { daemonSetController } from './daemon-set.ts';
import { deploymentController } from './deployment.ts';
import { jobController } from './job.ts';
import { jobExpiryController } from './job-expiry.ts';
import { replicaSetController, replicationControllerController } from './replica-set.ts';
import { statefulSetController } from './stateful-set.ts';

/** `recorder` makes the recorder of a component, which is what `kubectl describe` shows under FROM. */
export function workloadControllers(
  env: ControllerEnv,
  recorder: (component: string) => EventRecorder,
): Controller[] {
  return [
    deploymentController(env, recorder('deployment-controller')),
    replicaSetController(env, recorder('replicaset-controller')),
    replicationControllerController(env, recorder('replication-controller')),
    statefulSetController(env, recorder('statefulset-controller')),
    daemonSetController(env, recorder('daemonset-controller')),
    jobController(env, recorder('job-controller')),
    jobExpiryController(env),
    cronJobController(env, recorder('cronjob-controller')),
  ];
}
