/**
 * Job → pods. Creates and deletes pods as `job-decisions.ts` says, and counts those that end as `job-counting.ts` says.
 * The status is only ever replaced in the version that the decision was made on: a stale cache cannot count twice.
 */
import { deepEqual } from '../base/json.ts';
import { controllerOf, keyOf, timestamp } from '../api/object.ts';
import { jobs, type Job } from '../api/kubernetes/batch.ts';
import { pods } from '../api/kubernetes/pods.ts';
import { matchesSelector } from '../api/kubernetes/selectors.ts';
import type { Pod } from '../api/pods.ts';
import { hasReason } from '../kube/api-error.ts';
import { objectKey, type ObjectKey } from '../kube/client/client.ts';
import type { Informer } from '../kube/client/informer.ts';
import { watches, type Controller, type ControllerEnv, type Outcome } from '../kube/controller/controller.ts';
import type { EventRecorder } from '../kube/controller/recorder.ts';
import { claimChildren } from './claims.ts';
import { noBackoff, type Backoff } from './job-backoff.ts';
import {
  endOf,
  findTrue,
  isFinished,
  makeCondition,
  withCondition,
  type JobCondition,
  type JobConditionType,
} from './job-conditions.ts';
import {
  addUncounted,
  decideCounting,
  hasUncounted,
  settleUncounted,
  type JobStatus,
} from './job-counting.ts';
import { assessJob, countReady, isSuspended, planJob, type JobState } from './job-decisions.ts';
import { countIndexes, formatIndexes, type Indexes } from './job-indexes.ts';
import { isIndexed, isTracked, trackingFinalizer } from './job-pods.ts';
import { unseenLimitMs } from './local-writes.ts';
import { isNamespaceGoing, PodControl } from './pod-control.ts';
import { isActive, sooner } from './pod-state.ts';
import { makeJobPod } from './resources/job-pod.ts';

/** The value of `spec.managedBy` that means this controller; absent means it, too. */
const manager = 'kubernetes.io/job-controller';
/** A cache that is behind brings the key back by itself when it catches up; this is for the case that it does not, ms. */
const behindMs = 1000;
const nameLabel = 'batch.kubernetes.io/job-name';

export function jobController(env: ControllerEnv, recorder: EventRecorder): Controller {
  return new JobController(env, recorder);
}

/** What a run does to the pods, as far as the status has to know. */
interface Step {
  /** Active pods when the run is through. */
  readonly active: number;
  readonly terminating: number;
  /** The decision that the Job is over. */
  readonly decision: JobCondition | undefined;
  readonly conditions: readonly JobCondition[];
  readonly resumed: boolean;
  readonly waitMs: number | undefined;
  /** What the API refused. */
  readonly failure: unknown;
}

class JobController implements Controller {
  readonly name = 'job';
  readonly root = jobs;
  readonly owns = [pods];
  readonly watches = [watches(pods, (pod) => this.#concerned(pod))];
  readonly concurrency = 8;
  readonly #env: ControllerEnv;
  readonly #recorder: EventRecorder;
  readonly #jobs: Informer<Job>;
  readonly #pods: Informer<Pod>;
  readonly #control: PodControl;
  /** By Job uid. */
  readonly #backoffs = new Map<string, Backoff>();
  /** The version of the last status that was written, by Job uid, until the cache shows it. */
  readonly #written = new Map<string, string>();
  /** Uids of pods whose finalizer was removed though the cache may still show it. */
  readonly #released = new Set<string>();

  constructor(env: ControllerEnv, recorder: EventRecorder) {
    this.#env = env;
    this.#recorder = recorder;
    this.#jobs = env.informers.for(jobs);
    this.#pods = env.informers.for(pods);
    this.#control = new PodControl(env, recorder);
    this.#pods.onChange(({ type, object }) => {
      if (type === 'deleted' || !isTracked(object)) this.#released.delete(object.metadata.uid ?? '');
    });
    this.#jobs.onChange(({ type, object, old }) => {
      if (type === 'deleted') this.#forget(object);
      else if (old && old.metadata.uid !== object.metadata.uid) this.#forget(old);
    });
  }

  async reconcile(key: ObjectKey): Promise<Outcome> {
    const job = this.#jobs.get(`${key.namespace ?? ''}/${key.name}`);
    await this.#releaseStrays(key, job);
    if (!job?.spec || (job.spec.managedBy ?? manager) !== manager) return undefined;
    // Pods that are counted in a status that the cache does not show would be missed, and made again.
    if (this.#isBehind(job)) return { requeueAfter: behindMs };
    // Looked at before the pods are: what the cache catches up with during the run does not change what these pods show.
    const released = new Set(this.#released);
    const owned = await this.#claim(job);
    if (isFinished(job)) {
      await this.#releaseAll(owned);
      return undefined;
    }

    const { uid = '' } = job.metadata;
    const state = assessJob({
      job,
      pods: owned,
      isReleased: ({ metadata: { uid: podUid = '' } }) => released.has(podUid) || this.#released.has(podUid),
      isDeleted: (pod) => this.#control.local.isDeleted(pod.metadata.uid),
      backoff: this.#backoffs.get(uid) ?? noBackoff,
      now: this.#env.clock.now(),
    });
    const settled = this.#control.local.unseen(uid) === 0;
    const step = await this.#act(state, settled);
    await this.#count(state, step);
    this.#backoffs.set(uid, state.backoff);
    if (step.failure !== undefined) throw step.failure;
    const wait = sooner(sooner(step.waitMs, state.deadlineIn), settled ? undefined : unseenLimitMs);
    return wait === undefined ? undefined : { requeueAfter: Math.max(1, wait) };
  }

  #forget({ metadata: { uid = '' } }: Job): void {
    this.#backoffs.delete(uid);
    this.#written.delete(uid);
  }

  #isBehind({ metadata: { uid = '', resourceVersion } }: Job): boolean {
    const written = this.#written.get(uid);
    // Versions of one store are numbers that grow.
    if (written === undefined || Number(resourceVersion) < Number(written)) return written !== undefined;
    this.#written.delete(uid);
    return false;
  }

  /** Pods that have no controller may be this Job's to adopt, or only to let go of. */
  #concerned(pod: Pod): string[] {
    if (controllerOf(pod) || !pod.metadata.labels) return [];
    const { namespace = '', labels } = pod.metadata;
    const former = isTracked(pod) && labels[nameLabel] ? [`${namespace}/${labels[nameLabel]}`] : [];
    const adopters = this.#jobs
      .list({ namespace })
      .filter((job) => matchesSelector(job.spec?.selector, labels))
      .map(keyOf);
    return [...former, ...adopters];
  }

  #claim(job: Job): Promise<Pod[]> {
    return claimChildren({
      client: this.#env.client,
      def: pods,
      informer: this.#pods,
      owner: job,
      selector: job.spec?.selector,
      adopts: (pod) => isActive(pod) && !isFinished(job),
      onAdopt: (pod) => ({
        finalizers: [...new Set([...(pod.metadata.finalizers ?? []), trackingFinalizer])],
      }),
      onRelease: withoutFinalizer,
    });
  }

  /** Pods of a Job that is gone, or that an orphaning deletion has let go: nobody will count them. */
  async #releaseStrays({ namespace = '', name }: ObjectKey, job: Job | undefined): Promise<void> {
    const candidates = job
      ? this.#pods.list({ namespace, labels: { [nameLabel]: name } })
      : this.#pods.list({ namespace });
    const strays = candidates.filter((pod) => {
      if (!isTracked(pod)) return false;
      const owner = controllerOf(pod);
      if (owner) return owner.kind === jobs.kind && owner.name === name && owner.uid !== job?.metadata.uid;
      const orphaned = pod.metadata.labels?.[nameLabel] === name;
      return orphaned && (!job || !matchesSelector(job.spec?.selector, pod.metadata.labels));
    });
    await this.#releaseAll(strays);
  }

  async #act(state: JobState, settled: boolean): Promise<Step> {
    const { job } = state.view;
    const still: Step = {
      active: state.active.length,
      terminating: state.terminating.length,
      decision: state.decision,
      conditions: job.status?.conditions ?? [],
      resumed: false,
      waitMs: undefined,
      failure: undefined,
    };
    if (state.decision) {
      const failure = await this.#control.deleteAll(job, state.active);
      if (failure !== undefined) return { ...still, failure };
      return { ...still, active: 0, terminating: still.terminating + still.active };
    }
    if (job.metadata.deletionTimestamp || !settled) return still;
    const managed = await this.#manage(state, still);
    if (managed.failure !== undefined) return managed;
    const { completions } = job.spec ?? {};
    const reached = completions === undefined ? state.succeeded > 0 : state.succeeded >= completions;
    if (reached && managed.active === 0) {
      const message = 'Reached expected number of succeeded pods';
      const now = this.#env.clock.now();
      return {
        ...managed,
        decision: makeCondition('SuccessCriteriaMet', 'CompletionsReached', message, now),
      };
    }
    return this.#noteSuspension(job, managed);
  }

  async #manage(state: JobState, still: Step): Promise<Step> {
    const { job } = state.view;
    const plan = planJob(state);
    if (plan.remove.length > 0) {
      // Without the finalizer first: that they go is the Job's own doing, and no failure of theirs. A pod that has ended
      // while the cache shows it running has changed, and is counted instead.
      await this.#releaseAll(plan.remove, 'unchanged');
      const failure = await this.#control.deleteAll(job, plan.remove);
      const removed = failure === undefined ? plan.remove.length : 0;
      return {
        ...still,
        active: still.active - removed,
        terminating: still.terminating + removed,
        failure,
      };
    }
    const wanted = plan.create.map((pod) => makeJobPod(job, pod));
    const { created, refusal } = await this.#control.createAll(job, wanted);
    const failure = isNamespaceGoing(refusal) ? undefined : refusal;
    return { ...still, active: still.active + created, waitMs: plan.waitMs, failure };
  }

  #noteSuspension(job: Job, step: Step): Step {
    const now = this.#env.clock.now();
    const suspended = isSuspended(job);
    const before = findTrue(job, 'Suspended') !== undefined;
    if (suspended === before) return step;
    const next = suspended
      ? makeCondition('Suspended', 'JobSuspended', 'Job suspended', now)
      : makeCondition('Suspended', 'JobResumed', 'Job resumed', now, 'False');
    this.#recorder.event(job, 'Normal', suspended ? 'Suspended' : 'Resumed', next.message ?? '');
    return { ...step, conditions: withCondition(step.conditions, next), resumed: !suspended };
  }

  /** Writes pods down, lets them go, counts them, and with the last of them the end of the Job. */
  async #count(state: JobState, step: Step): Promise<void> {
    const { pods: all } = state.view;
    const { decision } = step;
    const counting = decideCounting(state, decision);
    const tracked = new Set(
      all.filter((pod) => isTracked(pod) && !state.view.isReleased(pod)).map((pod) => pod.metadata.uid ?? ''),
    );
    const before = settleUncounted(this.#statusNow(state, step), (uid) => tracked.has(uid));
    const conditions = decision ? withCondition(step.conditions, decision) : step.conditions;
    const first = addUncounted(withIndexes(state, counting.indexes, before), counting);
    let job = state.view.job;
    // What is already in the status need not be written again before pods may go; the final write carries the rest.
    if (counting.release.length > 0 || counting.succeeded.length + counting.failed.length > 0) {
      job = await this.#write(job, withConditions(first, conditions));
      const gone = await this.#releaseAll(counting.release);
      for (const uid of gone) tracked.delete(uid);
    }
    const settled = settleUncounted(first, (uid) => tracked.has(uid));
    const over =
      decision !== undefined &&
      counting.complete &&
      !hasUncounted(settled) &&
      step.active === 0 &&
      step.terminating === 0;
    // The decision stands in the status before the end does: clients may wait for either.
    if (over && !findTrue(job, decision.type as JobConditionType)) {
      job = await this.#write(job, withConditions(settled, conditions));
    }
    if (!over) {
      await this.#write(job, withConditions(settled, conditions));
      return;
    }
    const end = endOf(decision, this.#env.clock.now());
    const completionTime = end.type === 'Complete' ? { completionTime: end.lastTransitionTime } : {};
    await this.#write(job, withConditions({ ...settled, ...completionTime }, withCondition(conditions, end)));
    this.#tellEnd(job, end, settled);
  }

  /** The status but for what is counted. */
  #statusNow({ view, active }: JobState, step: Step): JobStatus {
    const { active: _active, startTime, ...kept } = view.job.status ?? {};
    const now = timestamp(view.now);
    const start = step.resumed ? now : (startTime ?? (isSuspended(view.job) ? undefined : now));
    return {
      ...kept,
      ...(step.active > 0 ? { active: step.active } : {}),
      ...(start === undefined ? {} : { startTime: start }),
      ready: step.active === 0 ? 0 : countReady(active),
      terminating: step.terminating,
    };
  }

  #tellEnd(job: Job, end: JobCondition, { succeeded = 0 }: JobStatus): void {
    if (end.type === 'Failed') {
      this.#recorder.event(job, 'Warning', end.reason ?? '', end.message ?? '');
      return;
    }
    if (job.spec?.completions !== undefined && succeeded > job.spec.completions) {
      const message = 'Too many succeeded pods running after completion count reached';
      this.#recorder.event(job, 'Warning', 'TooManySucceededPods', message);
    }
    this.#recorder.event(job, 'Normal', 'Completed', 'Job completed');
  }

  /** Replaces the status in the version that was read: a conflict brings the key back with a newer one. */
  async #write(job: Job, status: JobStatus): Promise<Job> {
    if (deepEqual(job.status ?? {}, status)) return job;
    const next = await this.#env.client.update(jobs, { ...job, status }, { subresource: 'status' });
    this.#written.set(next.metadata.uid ?? '', next.metadata.resourceVersion ?? '');
    return next;
  }

  /**
   * Removes the finalizer of all, or only of those that are as the cache shows them; gives the uids of those that have
   * lost it. Throws the first refusal.
   */
  async #releaseAll(all: readonly Pod[], which?: 'unchanged'): Promise<Set<string>> {
    const waiting = all.filter((pod) => isTracked(pod) && !this.#released.has(pod.metadata.uid ?? ''));
    const outcomes = await Promise.allSettled(waiting.map((pod) => this.#release(pod, which)));
    const refused = outcomes.find((outcome) => outcome.status === 'rejected');
    if (refused) throw refused.reason;
    return new Set(all.map((pod) => pod.metadata.uid ?? ''));
  }

  async #release(pod: Pod, which: 'unchanged' | undefined): Promise<void> {
    const { uid = '', resourceVersion } = pod.metadata;
    // The list is replaced by path and value: a finalizer that came meanwhile is not lost.
    const at = pod.metadata.finalizers?.indexOf(trackingFinalizer) ?? -1;
    const body = [
      { op: 'test', path: '/metadata/uid', value: uid },
      ...(which ? [{ op: 'test', path: '/metadata/resourceVersion', value: resourceVersion }] : []),
      { op: 'test', path: `/metadata/finalizers/${at}`, value: trackingFinalizer },
      { op: 'remove', path: `/metadata/finalizers/${at}` },
    ];
    this.#released.add(uid);
    try {
      await this.#env.client.patch(pods, objectKey(pod), { type: 'json', body });
    } catch (error) {
      const gone = hasReason(error, 'NotFound');
      // While the cache shows a pod that is gone it has to be known as released; after that nothing will ask.
      const shown = this.#pods.get(keyOf(pod))?.metadata.uid === uid;
      if (!gone || !shown) this.#released.delete(uid);
      if (!gone) throw error;
    }
  }
}

function withoutFinalizer(pod: Pod): object {
  const left = (pod.metadata.finalizers ?? []).filter((name) => name !== trackingFinalizer);
  return { finalizers: left.length > 0 ? left : null };
}

/** The status with the indexes that are done, in an Indexed Job. */
function withIndexes(state: JobState, indexes: Indexes, status: JobStatus): JobStatus {
  if (!isIndexed(state.view.job)) return status;
  const { succeeded: _succeeded, completedIndexes: _completed, failedIndexes: _failed, ...kept } = status;
  const { failedIndexes } = state;
  return {
    ...kept,
    ...(indexes.length > 0
      ? { succeeded: countIndexes(indexes), completedIndexes: formatIndexes(indexes) }
      : {}),
    ...(failedIndexes ? { failedIndexes: formatIndexes(failedIndexes) } : {}),
  };
}

function withConditions(status: JobStatus, conditions: readonly JobCondition[]): JobStatus {
  return conditions.length > 0 ? { ...status, conditions: [...conditions] } : status;
}
