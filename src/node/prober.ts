/** Runs a container's startup, readiness and liveness probes for as long as it runs. */
import type { KubernetesTypes } from '../api/generated/kubernetes-types.ts';
import type { Clock } from '../base/clock.ts';
import { attempt, type ProbeFailure, type ProbeTarget } from './probe.ts';

type Probe = KubernetesTypes['core.v1.Probe'];
export type ProbeKind = 'Startup' | 'Readiness' | 'Liveness';

export interface ProbeListener {
  /** The startup probe succeeded, or there is none. */
  started(): void;
  /** Called on each change; not ready to begin with. */
  ready(isReady: boolean): void;
  /** An attempt failed; at most once per period. */
  unhealthy(kind: ProbeKind, message: string): void;
  /** The container has to be restarted. Probing has stopped. */
  failed(kind: ProbeKind, probe: Probe): void;
}

/** An attempt while starting is given up sooner than the probe's timeout: a lost packet must not cost a second. */
const startAttemptMs = 200;

/**
 * Wait between attempts while a container has not yet answered, ms. A connect costs microseconds, so it is tried each
 * millisecond at first; an HTTP request costs the app something; a command starts a process.
 */
function startingDelay(probe: Probe, elapsedMs: number): number {
  const period = periodMs(probe);
  if (probe.exec) return elapsedMs < 2000 ? Math.min(100, period) : period;
  const first = probe.tcpSocket ? 1 : 5;
  if (elapsedMs < 2000) return first;
  if (elapsedMs < 10_000) return Math.min(10 * first, period);
  if (elapsedMs < 60_000) return Math.min(100, period);
  return period;
}

function periodMs(probe: Probe): number {
  return (probe.periodSeconds || 10) * 1000;
}

function timeoutMs(probe: Probe): number {
  return (probe.timeoutSeconds || 1) * 1000;
}

export interface Probing {
  /** Nothing is called after that. */
  stop(): void;
  /** The container is being ended: from here on it is only asked whether it is ready, as a kubelet does. */
  end(): void;
}

export function startProbing(target: ProbeTarget, clock: Clock, listener: ProbeListener): Probing {
  const run = new ProbeRun(target, clock, listener);
  void run.start();
  return run;
}

class ProbeRun implements Probing {
  readonly #target: ProbeTarget;
  readonly #clock: Clock;
  readonly #listener: ProbeListener;
  readonly #waiting = new Set<() => void>();
  #stopped = false;
  #ending = false;

  constructor(target: ProbeTarget, clock: Clock, listener: ProbeListener) {
    this.#target = target;
    this.#clock = clock;
    this.#listener = listener;
  }

  stop(): void {
    this.#stopped = true;
    for (const cancel of this.#waiting) cancel();
    this.#waiting.clear();
  }

  end(): void {
    this.#ending = true;
  }

  async start(): Promise<void> {
    const { startupProbe, readinessProbe, livenessProbe } = this.#target.container;
    if (startupProbe && !(await this.#untilStarted(startupProbe))) return;
    if (this.#stopped || this.#ending) return;
    this.#listener.started();
    if (readinessProbe) void this.#watchReadiness(readinessProbe);
    else this.#listener.ready(true);
    if (livenessProbe) void this.#watchLiveness(livenessProbe);
  }

  /** Never resolves once stopped: the loops end by being forgotten. */
  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#stopped) return;
      const cancel = this.#clock.after(ms, () => {
        this.#waiting.delete(cancel);
        resolve();
      });
      this.#waiting.add(cancel);
    });
  }

  #attempt(probe: Probe, limit = Infinity): Promise<ProbeFailure> {
    return attempt(probe, this.#target, Math.min(timeoutMs(probe), limit));
  }

  /**
   * Quick attempts until `successThreshold` successes in a row, or until `patienceMs` after the initial delay. Measured
   * without the machine's clock, which may be put right just then.
   */
  async #untilFirst(kind: ProbeKind, probe: Probe, patienceMs: number): Promise<boolean> {
    await this.#sleep((probe.initialDelaySeconds ?? 0) * 1000);
    const begun = performance.now();
    let reported = begun;
    let successes = 0;
    while (!this.#stopped) {
      const elapsed = performance.now() - begun;
      const failure = await this.#attempt(probe, probe.exec || elapsed > 2000 ? Infinity : startAttemptMs);
      if (this.#stopped) return false;
      const now = performance.now();
      successes = failure === undefined ? successes + 1 : 0;
      if (successes >= (probe.successThreshold ?? 1)) return true;
      if (failure !== undefined && now - reported >= periodMs(probe)) {
        reported = now;
        this.#listener.unhealthy(kind, `${kind} probe failed: ${failure}`);
      }
      if (now - begun >= patienceMs) return false;
      await this.#sleep(failure === undefined ? periodMs(probe) : startingDelay(probe, elapsed));
    }
    return false;
  }

  async #untilStarted(probe: Probe): Promise<boolean> {
    const patience = (probe.failureThreshold ?? 3) * periodMs(probe);
    if (await this.#untilFirst('Startup', probe, patience)) return true;
    if (!this.#stopped && !this.#ending) this.#fail('Startup', probe);
    return false;
  }

  async #watchReadiness(probe: Probe): Promise<void> {
    if (!(await this.#untilFirst('Readiness', probe, Infinity))) return;
    this.#listener.ready(true);
    let isReady = true;
    let inRow = 0;
    for (;;) {
      await this.#sleep(periodMs(probe));
      const failure = await this.#attempt(probe);
      if (this.#stopped) return;
      if (failure !== undefined) this.#listener.unhealthy('Readiness', `Readiness probe failed: ${failure}`);
      inRow = (failure === undefined) === isReady ? 0 : inRow + 1;
      const threshold = isReady ? (probe.failureThreshold ?? 3) : (probe.successThreshold ?? 1);
      if (inRow < threshold) continue;
      isReady = !isReady;
      inRow = 0;
      this.#listener.ready(isReady);
    }
  }

  async #watchLiveness(probe: Probe): Promise<void> {
    await this.#sleep((probe.initialDelaySeconds ?? 0) * 1000);
    let failures = 0;
    for (;;) {
      await this.#sleep(periodMs(probe));
      if (this.#ending) return;
      const failure = await this.#attempt(probe);
      if (this.#stopped || this.#ending) return;
      failures = failure === undefined ? 0 : failures + 1;
      if (failure !== undefined) this.#listener.unhealthy('Liveness', `Liveness probe failed: ${failure}`);
      if (failures >= (probe.failureThreshold ?? 3)) return this.#fail('Liveness', probe);
    }
  }

  #fail(kind: ProbeKind, probe: Probe): void {
    this.stop();
    this.#listener.failed(kind, probe);
  }
}
