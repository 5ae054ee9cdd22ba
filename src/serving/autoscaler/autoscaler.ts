/**
 * Measures load and turns it into pods. Reports of the gateway fill windows; a decision is made every tick by the
 * PodAutoscaler reconciler, and at once, from memory alone, when the gateway holds requests that no pod can take.
 */
import { podAutoscalers, type PodAutoscaler } from '../../api/autoscaling/index.ts';
import {
  autoscalingKey,
  kpaClass,
  readScalingSpec,
  type ScalingSpec,
} from '../../api/autoscaling/annotations.ts';
import { deployments, type Deployment } from '../../api/kubernetes/workloads.ts';
import { pods as podResource } from '../../api/kubernetes/pods.ts';
import { isTrue } from '../../api/knative/conditions.ts';
import { isPodReady, type Pod } from '../../api/pods.ts';
import type { BackendStats, RequestPath } from '../../api/routing.ts';
import { labels } from '../../api/serving/labels.ts';
import { messageOf } from '../../base/errors.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { isNotFound } from '../../kube/api-error.ts';
import type { Client } from '../../kube/client/client.ts';
import type { Informer } from '../../kube/client/informer.ts';
import type { ServingEnv } from '../env.ts';
import type { ServingConfigStore } from '../config-store.ts';
import { decideScale, initialScaleState, type ScaleDecision, type ScaleState } from './decide.ts';
import { LoadWindow } from './window.ts';

/** Pods are removed by one decision a tick: each may halve them at most, and must not count its own effect as load. */
export const tickMs = 2_000;

/** How long a report of held requests counts when no newer one comes, ms. The gateway reports every second. */
const heldFreshMs = 3_000;

/** How long a scale that was written is believed before the cache shows it, ms. */
const writtenFreshMs = 5_000;

interface Scaler {
  stable: LoadWindow;
  panic: LoadWindow;
  state: ScaleState;
  /** Since when this process has watched the revision, ms. */
  readonly since: number;
  /** The last tick, ms, and the most pods wanted since. */
  tickAt: number;
  tickDesired: number;
  held: number;
  heldAt: number;
  wokenAt: number;
  /** The scale that was written last, until the cache shows it. */
  written?: { readonly replicas: number; readonly at: number };
}

/** What the reconciler needs to know of a revision. */
export interface Observation extends ScaleDecision {
  readonly spec: ScalingSpec;
  readonly readyPods: readonly Pod[];
  /** Wanted pods as the Deployment says now; undefined while there is none. */
  readonly replicas: number | undefined;
  /** Since when this process has watched the revision, ms. */
  readonly since: number;
  readonly reachable: boolean;
}

export class Autoscaler {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #config: ServingConfigStore;
  readonly #log: Logger;
  readonly #autoscalers: Informer<PodAutoscaler>;
  readonly #deployments: Informer<Deployment>;
  readonly #pods: Informer<Pod>;
  readonly #scalers = new Map<string, Scaler>();
  /** The write under way for each key, so that writes of one Deployment keep their order. */
  readonly #writes = new Map<string, { readonly replicas: number; readonly done: Promise<void> }>();
  readonly #wakeListeners = new Set<(key: string) => void>();
  #closed = false;

  constructor(env: ServingEnv) {
    this.#client = env.client;
    this.#clock = env.clock;
    this.#config = env.config;
    this.#log = env.log.child({ component: 'autoscaler' });
    this.#autoscalers = env.informers.for(podAutoscalers);
    this.#deployments = env.informers.for(deployments);
    this.#pods = env.informers.for(podResource);
  }

  /** Listens to the gateway. */
  start(requestPath: RequestPath): void {
    requestPath.onStats((stats) => this.#collect(stats));
    requestPath.onWake((key) => this.#wake(key));
  }

  close(): void {
    this.#closed = true;
  }

  /** Called for each wake-up, before anything is written. */
  onWake(listener: (key: string) => void): void {
    this.#wakeListeners.add(listener);
  }

  /** Forgets a revision that is gone. */
  forget(key: string): void {
    this.#scalers.delete(key);
  }

  /** When the gateway last asked for pods of this revision, ms; 0 when never. */
  wokenAt(key: string): number {
    return this.#scalers.get(key)?.wokenAt ?? 0;
  }

  /** Decides from what is known now. Moves the panic state: call it once per look. */
  observe(key: string, autoscaler: PodAutoscaler): Observation {
    const now = this.#clock.now();
    const { metadata, spec: wanted, status } = autoscaler;
    const spec = readScalingSpec(
      metadata.annotations ?? {},
      wanted?.containerConcurrency ?? 0,
      this.#config.current.autoscaler,
    );
    const readyPods = this.#readyPods(autoscaler);
    const scaler = this.#scalerOf(key, spec, readyPods.length);
    const average = (window: LoadWindow): number =>
      spec.exponentialAverage ? window.exponentialAverage(now) : window.average(now);
    const reachable = wanted?.reachability !== 'Unreachable';
    const decision = decideScale({
      now,
      stableLoad: average(scaler.stable),
      panicLoad: average(scaler.panic),
      readyPods: readyPods.length,
      held: now - scaler.heldAt <= heldFreshMs ? scaler.held : 0,
      reachable,
      initialized: isTrue(status?.conditions, 'ScaleTargetInitialized'),
      spec,
      state: scaler.state,
    });
    scaler.state = decision.state;
    if (now - scaler.tickAt >= tickMs) {
      scaler.tickAt = now;
      scaler.tickDesired = decision.desired;
    } else scaler.tickDesired = Math.max(scaler.tickDesired, decision.desired);
    return {
      ...decision,
      desired: scaler.tickDesired,
      spec,
      readyPods,
      replicas: this.#replicas(key, autoscaler),
      since: scaler.since,
      reachable,
    };
  }

  /** Writes the Deployment's scale. Failures are logged: the next look tries again. */
  scale(key: string, autoscaler: PodAutoscaler, replicas: number): Promise<void> {
    const under = this.#writes.get(key);
    if (under?.replicas === replicas) return under.done;
    const scaler = this.#scalers.get(key);
    if (scaler) scaler.written = { replicas, at: this.#clock.now() };
    const write = under
      ? under.done.then(() => this.#write(key, autoscaler, replicas))
      : this.#write(key, autoscaler, replicas);
    const entry = { replicas, done: write };
    this.#writes.set(key, entry);
    const forget = (): void => {
      if (this.#writes.get(key) === entry) this.#writes.delete(key);
    };
    return write.finally(forget);
  }

  async #write(key: string, { metadata, spec }: PodAutoscaler, replicas: number): Promise<void> {
    const name = spec?.scaleTargetRef.name ?? '';
    try {
      await this.#client.patch(
        deployments,
        { namespace: metadata.namespace ?? '', name },
        { type: 'merge', body: { spec: { replicas } } },
        { subresource: 'scale' },
      );
      this.#log.info({ revision: key, replicas }, 'scaled');
    } catch (error) {
      const scaler = this.#scalers.get(key);
      if (scaler?.written?.replicas === replicas) delete scaler.written;
      if (!isNotFound(error))
        this.#log.warn({ revision: key, replicas, error: messageOf(error) }, 'scaling failed');
    }
  }

  #collect(stats: readonly BackendStats[]): void {
    const now = this.#clock.now();
    for (const report of stats) {
      const autoscaler = this.#kpa(report.key);
      if (!autoscaler) continue;
      const scaler = this.#scalers.get(report.key) ?? this.#adopt(report.key, autoscaler);
      const metric = autoscaler.metadata.annotations?.[autoscalingKey('metric')];
      const load = metric === 'rps' ? (report.arrived * 1000) / report.intervalMs : report.averageConcurrency;
      scaler.stable.record(now - report.intervalMs, now, load);
      scaler.panic.record(now - report.intervalMs, now, load);
      scaler.held = report.queued + report.inFlight;
      scaler.heldAt = now;
      if (report.queued > 0) this.#raise(report.key, autoscaler);
    }
  }

  #wake(key: string): void {
    const autoscaler = this.#kpa(key);
    if (!autoscaler || this.#closed) return;
    const now = this.#clock.now();
    const scaler = this.#scalers.get(key) ?? this.#adopt(key, autoscaler);
    scaler.held = Math.max(1, now - scaler.heldAt <= heldFreshMs ? scaler.held : 0);
    scaler.heldAt = now;
    scaler.wokenAt = now;
    for (const listener of this.#wakeListeners) listener(key);
    this.#raise(key, autoscaler);
  }

  /** Adds pods now if the decision says so; removing them waits for the tick. */
  #raise(key: string, autoscaler: PodAutoscaler): void {
    if (this.#closed) return;
    const { desired, replicas } = this.observe(key, autoscaler);
    if (replicas !== undefined && desired > replicas) void this.scale(key, autoscaler, desired);
  }

  #kpa(key: string): PodAutoscaler | undefined {
    const autoscaler = this.#autoscalers.get(key);
    const scalerClass = autoscaler?.metadata.annotations?.[autoscalingKey('class')] ?? kpaClass;
    return scalerClass === kpaClass ? autoscaler : undefined;
  }

  #adopt(key: string, autoscaler: PodAutoscaler): Scaler {
    const { annotations = {} } = autoscaler.metadata;
    const spec = readScalingSpec(
      annotations,
      autoscaler.spec?.containerConcurrency ?? 0,
      this.#config.current.autoscaler,
    );
    return this.#scalerOf(key, spec, this.#readyPods(autoscaler).length);
  }

  #scalerOf(key: string, spec: ScalingSpec, readyPods: number): Scaler {
    const now = this.#clock.now();
    let scaler = this.#scalers.get(key);
    if (!scaler) {
      scaler = {
        stable: new LoadWindow(spec.stableWindowMs),
        panic: new LoadWindow(spec.panicWindowMs),
        state: initialScaleState(readyPods, now),
        since: now,
        tickAt: now,
        tickDesired: 0,
        held: 0,
        heldAt: 0,
        wokenAt: 0,
      };
      this.#scalers.set(key, scaler);
    }
    if (scaler.stable.windowMs !== spec.stableWindowMs) scaler.stable = new LoadWindow(spec.stableWindowMs);
    if (scaler.panic.windowMs !== spec.panicWindowMs) scaler.panic = new LoadWindow(spec.panicWindowMs);
    return scaler;
  }

  #readyPods({ metadata }: PodAutoscaler): Pod[] {
    const revisionUid = metadata.labels?.[labels.revisionUid] ?? '';
    return this.#pods
      .list({ namespace: metadata.namespace ?? '', labels: { [labels.revisionUid]: revisionUid } })
      .filter((pod) => isPodReady(pod) && !pod.metadata.deletionTimestamp);
  }

  #replicas(key: string, { metadata, spec }: PodAutoscaler): number | undefined {
    const deployment = this.#deployments.get(`${metadata.namespace}/${spec?.scaleTargetRef.name ?? ''}`);
    if (!deployment) return undefined;
    const cached = deployment.spec?.replicas ?? 1;
    const scaler = this.#scalers.get(key);
    const written = scaler?.written;
    if (!scaler || !written) return cached;
    if (written.replicas !== cached && this.#clock.now() - written.at < writtenFreshMs)
      return written.replicas;
    delete scaler.written;
    return cached;
  }
}
