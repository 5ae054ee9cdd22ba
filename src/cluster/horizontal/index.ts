/**
 * HorizontalPodAutoscaler: scales what has a `scale` subresource by what its pods use (kubernetes
 * pkg/controller/podautoscaler).
 */
import { deepEqual } from '../../base/json.ts';
import { messageOf } from '../../base/errors.ts';
import { keyOf, timestamp } from '../../api/object.ts';
import { horizontalPodAutoscalers } from '../../api/kubernetes/autoscaling.ts';
import type {
  HorizontalPodAutoscaler,
  HpaBehavior,
  MetricStatus,
} from '../../api/kubernetes/autoscaling-defaults.ts';
import type { MetricsSource } from '../../api/kubernetes/metrics.ts';
import { pods } from '../../api/kubernetes/pods.ts';
import { parseQuantity } from '../../api/kubernetes/quantity.ts';
import type { Pod } from '../../api/pods.ts';
import type { ObjectKey } from '../../kube/client/client.ts';
import type { Informer } from '../../kube/client/informer.ts';
import type { Controller, ControllerEnv, Outcome } from '../../kube/controller/controller.ts';
import type { EventRecorder } from '../../kube/controller/recorder.ts';
import { writeStatus } from '../../kube/controller/write-status.ts';
import { parseLabelSelector } from '../../kube/server/service/selectors.ts';
import { historyMs, limitReplicas, type History, type Recommendation, type ScaleEvent } from './limits.ts';
import { evaluateMetric, MetricFailure, type MetricAnswer } from './metrics.ts';
import { defaultTolerance } from './replicas.ts';
import { readTarget, writeTarget, type ScaleTarget, type ServedResources } from './scale-target.ts';

/** Between two looks at an autoscaler, ms. */
const syncPeriodMs = 15_000;

export interface HorizontalOptions {
  readonly served: ServedResources;
  readonly metrics: MetricsSource;
}

export function horizontalController(
  env: ControllerEnv,
  recorder: EventRecorder,
  options: HorizontalOptions,
): Controller {
  return new HorizontalController(env, recorder, options);
}

type Spec = NonNullable<HorizontalPodAutoscaler['spec']>;
type Status = NonNullable<HorizontalPodAutoscaler['status']>;
type Condition = NonNullable<Status['conditions']>[number];

/** What is remembered of one autoscaler. */
interface Memory {
  readonly uid: string;
  readonly recommendations: Recommendation[];
  readonly ups: ScaleEvent[];
  readonly downs: ScaleEvent[];
  /** Whether a pod of its namespace is one of its target's. */
  chooses: (pod: Pod) => boolean;
  /** Of the last look. */
  spec: Spec;
  lookedAt: number;
}

/** The conditions as they will be written; those that are not touched stay. */
class Conditions {
  readonly #before: readonly Condition[];
  readonly #now: string;
  #list: Condition[];

  constructor(before: readonly Condition[] | undefined, now: number) {
    this.#before = before ?? [];
    this.#list = [...this.#before];
    this.#now = timestamp(now);
  }

  set(
    type: 'AbleToScale' | 'ScalingActive' | 'ScalingLimited',
    status: boolean,
    reason: string,
    message: string,
  ): void {
    const word = status ? 'True' : 'False';
    const old = this.#before.find((condition) => condition.type === type);
    const lastTransitionTime = old?.status === word ? (old.lastTransitionTime ?? this.#now) : this.#now;
    const next = { type, status: word, lastTransitionTime, reason, message };
    const at = this.#list.findIndex((condition) => condition.type === type);
    if (at < 0) this.#list.push(next);
    else this.#list = this.#list.with(at, next);
  }

  get list(): Condition[] {
    return this.#list;
  }
}

/** A look that ends without a decision. */
class NoDecision extends Error {
  override name = 'NoDecision';
}

class HorizontalController implements Controller {
  readonly name = 'horizontal pod autoscaler';
  readonly root = horizontalPodAutoscalers;
  readonly #env: ControllerEnv;
  readonly #recorder: EventRecorder;
  readonly #options: HorizontalOptions;
  readonly #hpas: Informer<HorizontalPodAutoscaler>;
  readonly #pods: Informer<Pod>;
  readonly #memories = new Map<string, Memory>();

  constructor(env: ControllerEnv, recorder: EventRecorder, options: HorizontalOptions) {
    this.#env = env;
    this.#recorder = recorder;
    this.#options = options;
    this.#hpas = env.informers.for(horizontalPodAutoscalers);
    this.#pods = env.informers.for(pods);
  }

  async reconcile(key: ObjectKey): Promise<Outcome> {
    const id = `${key.namespace ?? ''}/${key.name}`;
    const hpa = this.#hpas.get(id);
    if (!hpa?.spec || hpa.metadata.deletionTimestamp) {
      this.#memories.delete(id);
      return;
    }
    const now = this.#env.clock.now();
    const memory = this.#memoryOf(id, hpa, hpa.spec);
    // Its own writes come back as changes: only a new specification is looked at before its time.
    const sinceMs = now - memory.lookedAt;
    if (sinceMs < syncPeriodMs && deepEqual(memory.spec, hpa.spec)) {
      return { requeueAfter: syncPeriodMs - sinceMs };
    }
    memory.lookedAt = now;
    memory.spec = hpa.spec;
    await this.#look(hpa, hpa.spec, memory, now);
    return { requeueAfter: syncPeriodMs };
  }

  #memoryOf(id: string, hpa: HorizontalPodAutoscaler, spec: Spec): Memory {
    const uid = hpa.metadata.uid ?? '';
    const known = this.#memories.get(id);
    if (known?.uid === uid) return known;
    const memory: Memory = {
      uid,
      recommendations: [],
      ups: [],
      downs: [],
      chooses: () => false,
      spec,
      lookedAt: -Infinity,
    };
    this.#memories.set(id, memory);
    return memory;
  }

  async #look(hpa: HorizontalPodAutoscaler, spec: Spec, memory: Memory, now: number): Promise<void> {
    const conditions = new Conditions(hpa.status?.conditions, now);
    const target = await this.#target(hpa, spec, conditions);
    if (!target) {
      const { currentReplicas = 0, desiredReplicas = 0 } = hpa.status ?? {};
      return this.#report(hpa, { currentReplicas, desiredReplicas }, conditions, undefined);
    }
    const current = target.replicas;
    if (memory.recommendations.length === 0) memory.recommendations.push({ at: now, replicas: current });
    let decision: Decision;
    try {
      decision = await this.#decide(hpa, spec, target, memory, conditions, now);
    } catch (error) {
      if (!(error instanceof NoDecision)) throw error;
      this.#recorder.event(hpa, 'Warning', 'FailedComputeMetricsReplicas', error.message);
      const desiredReplicas = hpa.status?.desiredReplicas ?? 0;
      return this.#report(hpa, { currentReplicas: current, desiredReplicas }, conditions, undefined);
    }
    const { desired, reason, statuses } = decision;
    const counts = { currentReplicas: current, desiredReplicas: desired };
    if (desired === current) return this.#report(hpa, counts, conditions, statuses);
    const rescaled = await this.#rescale(hpa, target, desired, reason, conditions);
    if (!rescaled) return this.#report(hpa, { ...counts, desiredReplicas: current }, conditions, statuses);
    (desired > current ? memory.ups : memory.downs).push({ at: now, change: Math.abs(desired - current) });
    await this.#report(hpa, { ...counts, lastScaleTime: timestamp(now) }, conditions, statuses);
  }

  async #target(
    hpa: HorizontalPodAutoscaler,
    spec: Spec,
    conditions: Conditions,
  ): Promise<ScaleTarget | undefined> {
    try {
      const namespace = hpa.metadata.namespace ?? '';
      const target = await readTarget(this.#env.client, this.#options.served, namespace, spec.scaleTargetRef);
      const message = "the HPA controller was able to get the target's current scale";
      conditions.set('AbleToScale', true, 'SucceededGetScale', message);
      return target;
    } catch (error) {
      const why = messageOf(error);
      this.#recorder.event(hpa, 'Warning', 'FailedGetScale', why);
      const message = `the HPA controller was unable to get the target's current scale: ${why}`;
      conditions.set('AbleToScale', false, 'FailedGetScale', message);
      return undefined;
    }
  }

  async #rescale(
    hpa: HorizontalPodAutoscaler,
    target: ScaleTarget,
    desired: number,
    reason: string,
    conditions: Conditions,
  ): Promise<boolean> {
    const size = `New size: ${desired}; reason: ${reason}`;
    try {
      await writeTarget(this.#env.client, target, hpa.metadata.namespace ?? '', desired);
    } catch (error) {
      const why = messageOf(error);
      this.#recorder.event(hpa, 'Warning', 'FailedRescale', `${size}; error: ${why}`);
      const message = `the HPA controller was unable to update the target scale: ${why}`;
      conditions.set('AbleToScale', false, 'FailedUpdateScale', message);
      return false;
    }
    const message = `the HPA controller was able to update the target scale to ${desired}`;
    conditions.set('AbleToScale', true, 'SucceededRescale', message);
    this.#recorder.event(hpa, 'Normal', 'SuccessfulRescale', size);
    return true;
  }

  /** Throws {@link NoDecision}. */
  async #decide(
    hpa: HorizontalPodAutoscaler,
    spec: Spec,
    target: ScaleTarget,
    memory: Memory,
    conditions: Conditions,
    now: number,
  ): Promise<Decision> {
    const { minReplicas: min = 1, maxReplicas: max, behavior } = spec;
    const current = target.replicas;
    const kept = hpa.status?.currentMetrics ?? [];
    if (current === 0) {
      const message = 'scaling is disabled since the replica count of the target is zero';
      conditions.set('ScalingActive', false, 'ScalingDisabled', message);
      return { desired: 0, reason: '', statuses: kept };
    }
    if (current > max) {
      return { desired: max, reason: 'Current number of replicas above Spec.MaxReplicas', statuses: kept };
    }
    if (current < min) {
      return { desired: min, reason: 'Current number of replicas below Spec.MinReplicas', statuses: kept };
    }
    const { wanted, name, statuses } = await this.#evaluate(hpa, spec, target, memory, conditions, now);
    const history: History = memory;
    const verdict = limitReplicas({ current, wanted, min, max, behavior, history, now });
    remember(memory, wanted, behavior, now);
    conditions.set('AbleToScale', true, verdict.able.reason, verdict.able.message);
    const { status, reason, message } = verdict.limited;
    conditions.set('ScalingLimited', status, reason, message);
    const why = verdict.replicas > current ? `${name} above target` : 'All metrics below target';
    return { desired: verdict.replicas, reason: why, statuses };
  }

  /** The most that a metric asks for. Metrics without an answer may hold back a scale down, never cause one. */
  async #evaluate(
    hpa: HorizontalPodAutoscaler,
    spec: Spec,
    target: ScaleTarget,
    memory: Memory,
    conditions: Conditions,
    now: number,
  ): Promise<{ wanted: number; name: string; statuses: MetricStatus[] }> {
    const namespace = hpa.metadata.namespace ?? '';
    const selected = this.#select(hpa, target, memory, conditions);
    const metrics = await this.#options.metrics.pods();
    const specs = spec.metrics ?? [];
    const input = {
      pods: selected,
      metrics: metrics.filter(({ metadata }) => metadata.namespace === namespace),
      namespace,
      currentReplicas: target.replicas,
      tolerances: tolerancesOf(spec.behavior),
      now,
    };
    const failures: MetricFailure[] = [];
    const statuses: MetricStatus[] = [];
    let most: MetricAnswer | undefined;
    for (const metric of specs) {
      try {
        const answer = evaluateMetric(metric, input);
        statuses.push(answer.status);
        if (!most || answer.replicas > most.replicas) most = answer;
      } catch (error) {
        if (!(error instanceof MetricFailure)) throw error;
        failures.push(error);
        this.#recorder.event(hpa, 'Warning', error.reason, error.message);
        statuses.push({ type: '' });
      }
    }
    const [failure] = failures;
    if (failure && (!most || most.replicas < target.replicas)) {
      const message = `the HPA was unable to compute the replica count: ${failure.message}`;
      conditions.set('ScalingActive', false, failure.reason, message);
      throw new NoDecision(
        `invalid metrics (${failures.length} invalid out of ${specs.length}), first error is: ${failure.message}`,
      );
    }
    if (!most) throw new NoDecision('no metrics to scale by');
    const message = `the HPA was able to successfully calculate a replica count from ${most.name}`;
    conditions.set('ScalingActive', true, 'ValidMetricFound', message);
    return { wanted: most.replicas, name: most.name, statuses };
  }

  /** The target's pods. Throws {@link NoDecision} when it does not say which they are, or another one scales them too. */
  #select(hpa: HorizontalPodAutoscaler, target: ScaleTarget, memory: Memory, conditions: Conditions): Pod[] {
    const refuse = (reason: string, event: string, message: string): never => {
      this.#recorder.event(hpa, 'Warning', event, message);
      conditions.set('ScalingActive', false, reason, message);
      throw new NoDecision(message);
    };
    if (target.selector === '') {
      return refuse('InvalidSelector', 'SelectorRequired', "the HPA target's scale is missing a selector");
    }
    const matches = this.#parse(target.selector, (why) =>
      refuse(
        'InvalidSelector',
        'InvalidSelector',
        `couldn't convert selector into a corresponding internal selector object: ${why}`,
      ),
    );
    memory.chooses = matches;
    const namespace = hpa.metadata.namespace ?? '';
    const selected = this.#pods.list({ namespace }).filter(matches);
    const choosing = this.#hpas
      .list({ namespace })
      .map(keyOf)
      .filter((key) => selected.some((pod) => this.#memories.get(key)?.chooses(pod)));
    if (choosing.length > 1) {
      const message = `pods by selector ${target.selector} are controlled by multiple HPAs: [${choosing.sort().join(' ')}]`;
      return refuse('AmbiguousSelector', 'AmbiguousSelector', message);
    }
    return selected;
  }

  #parse(selector: string, fail: (why: string) => never): (pod: Pod) => boolean {
    try {
      return parseLabelSelector(selector) ?? (() => true);
    } catch (error) {
      return fail(messageOf(error));
    }
  }

  /** `statuses` undefined: the metrics of before stay. */
  async #report(
    hpa: HorizontalPodAutoscaler,
    counts: Pick<Status, 'currentReplicas' | 'desiredReplicas' | 'lastScaleTime'>,
    conditions: Conditions,
    statuses: MetricStatus[] | undefined,
  ): Promise<void> {
    const currentMetrics = statuses ?? hpa.status?.currentMetrics;
    const status: Status = {
      ...(hpa.status?.lastScaleTime === undefined ? {} : { lastScaleTime: hpa.status.lastScaleTime }),
      ...counts,
      ...(currentMetrics?.length ? { currentMetrics } : {}),
      conditions: conditions.list,
    };
    await writeStatus(this.#env.client, horizontalPodAutoscalers, hpa, status);
  }
}

interface Decision {
  readonly desired: number;
  readonly reason: string;
  readonly statuses: MetricStatus[];
}

function tolerancesOf(behavior: HpaBehavior | undefined): { up: number; down: number } {
  const of = (text: string | undefined): number =>
    text === undefined ? defaultTolerance : (parseQuantity(text) ?? defaultTolerance);
  return { up: of(behavior?.scaleUp?.tolerance), down: of(behavior?.scaleDown?.tolerance) };
}

/** Adds what the metrics asked for, and forgets what no window covers any more. */
function remember(memory: Memory, replicas: number, behavior: HpaBehavior | undefined, now: number): void {
  const since = now - historyMs(behavior);
  memory.recommendations.push({ at: now, replicas });
  for (const list of [memory.recommendations, memory.ups, memory.downs]) {
    while (list[0] && list[0].at < since) list.shift();
  }
}
