/** Words for tests of workloads: objects to make, ends for pods to come to, events to read. */
import { timestamp, type ObjectMeta } from '../../src/api/object.ts';
import { jobs, type Job } from '../../src/api/kubernetes/batch.ts';
import { events } from '../../src/api/kubernetes/events.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import type { Pod } from '../../src/api/pods.ts';
import type { TestApi } from '../support/api.ts';
import { waitFor } from '../support/wait.ts';

export const namespace = 'default';

/** A template of one container, `app`. A template's metadata has no name, which ObjectMeta has to have. */
export function makeTemplate(labels: { [key: string]: string }, image = 'example.com/app:1') {
  return {
    metadata: { labels } as unknown as ObjectMeta,
    spec: { containers: [{ name: 'app', image }] },
  };
}

export function makeJob(name: string, spec: Partial<NonNullable<Job['spec']>> = {}): Job {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, namespace },
    spec: {
      template: {
        spec: { restartPolicy: 'Never', containers: [{ name: 'app', image: 'example.com/app:1' }] },
      },
      ...spec,
    },
  };
}

/** The pod's containers end, as a node would report it. */
export async function endPod(api: TestApi, pod: Pod, exitCode: number, finished = Date.now()): Promise<void> {
  const at = timestamp(finished);
  const status = {
    phase: exitCode === 0 ? 'Succeeded' : 'Failed',
    conditions: [{ type: 'Ready', status: 'False', lastTransitionTime: at }],
    containerStatuses: [
      {
        name: 'app',
        image: '',
        imageID: '',
        ready: false,
        restartCount: 0,
        state: { terminated: { exitCode, finishedAt: at, startedAt: at } },
      },
    ],
  };
  const key = { namespace: pod.metadata.namespace ?? '', name: pod.metadata.name };
  const body = { metadata: { uid: pod.metadata.uid }, status };
  await api.client.patch(pods, key, { type: 'merge', body }, { subresource: 'status' });
}

/** Pods of a Job that run and are not going. */
export async function runningPods(api: TestApi, job: string): Promise<Pod[]> {
  const { items } = await api.client.list(pods, { namespace, labelSelector: `job-name=${job}` });
  return items.filter((pod) => pod.status?.phase === 'Running' && !pod.metadata.deletionTimestamp);
}

/** Waits for as many running pods. */
export async function waitForRunning(api: TestApi, job: string, count: number): Promise<Pod[]> {
  return waitFor(`${count} running pods of ${job}`, async () => {
    const running = await runningPods(api, job);
    return running.length === count && running;
  });
}

export function getJob(api: TestApi, name: string): Promise<Job> {
  return api.client.get(jobs, { namespace, name });
}

/** The types of the conditions that hold, in their order. */
export function holding(job: Job): string[] {
  return (job.status?.conditions ?? []).filter((c) => c.status === 'True').map((c) => c.type);
}

export async function waitForJob(api: TestApi, name: string, condition: string): Promise<Job> {
  return waitFor(`${name} to be ${condition}`, async () => {
    const job = await getJob(api, name);
    return holding(job).includes(condition) && job;
  });
}

/** The message of an event about the object, once there is one. */
export async function findEvent(
  api: TestApi,
  kind: string,
  name: string,
  reason: string,
): Promise<string | undefined> {
  const fieldSelector = `involvedObject.name=${name},involvedObject.kind=${kind},reason=${reason}`;
  const { items } = await api.client.list(events, { namespace, fieldSelector });
  return items[0]?.message;
}

export function waitForEvent(api: TestApi, kind: string, name: string, reason: string): Promise<string> {
  return waitFor(`event ${reason} of ${kind} ${name}`, () => findEvent(api, kind, name, reason));
}
