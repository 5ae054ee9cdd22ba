/**
 * What pods and the machine use, for `kubectl top` and the autoscaler. Nothing is measured while nobody asks: the first
 * question takes two looks a second apart; for a few minutes after it a look each 15 seconds keeps answers at hand.
 */
import { readFileSync } from 'node:fs';
import { availableMemory } from 'node:process';
import { cpus } from 'node:os';
import type { Clock } from '../base/clock.ts';
import {
  makeUsage,
  metricsGroupVersion,
  type MetricsSource,
  type NodeMetrics,
  type PodMetrics,
} from '../api/kubernetes/metrics.ts';
import { timestamp } from '../api/object.ts';
import type { Pod } from '../api/pods.ts';
import { apiVersionOf } from '../api/resource.ts';
import type { ContainerRecord } from './container-record.ts';
import type { ContainerStats } from './drivers/driver.ts';

/** Between two looks while someone asks; as a metrics server's resolution. */
const resolutionMs = 15_000;
/** Between the two looks of a first question, and the shortest time over which CPU is averaged. */
const firstWindowMs = 1000;
/** How long after the last question the looks go on. */
const idleAfterMs = 3 * 60_000;

/** A running container of a pod. */
export interface MeasuredContainer {
  readonly name: string;
  /** Another one after each restart. */
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** Undefined when it has ended or the machine does not tell. */
  stats(): Promise<ContainerStats | undefined>;
}

export interface MeasuredPod {
  readonly pod: Pod;
  readonly containers: readonly MeasuredContainer[];
}

/** The containers of a pod that run now. */
export function runningContainers(records: readonly ContainerRecord[]): MeasuredContainer[] {
  return records.flatMap(({ spec, state, handle }) =>
    state.kind === 'running' && handle
      ? [
          {
            name: spec.name,
            id: handle.id,
            startedAt: Date.parse(state.startedAt),
            stats: () => handle.stats(),
          },
        ]
      : [],
  );
}

interface Reading extends ContainerStats {
  readonly at: number;
}

/** One look at everything. */
interface Look {
  readonly at: number;
  readonly machine: ContainerStats;
  readonly pods: readonly { readonly pod: Pod; readonly containers: readonly MeasuredContainer[] }[];
  /** By container id. */
  readonly readings: ReadonlyMap<string, Reading>;
}

export interface SamplerOptions {
  readonly clock: Clock;
  readonly nodeName: string;
  /** Of the machine, or of the limit that this process lives under. */
  readonly memoryBytes: number;
  /** Pods that hold a sandbox, with their running containers. */
  readonly running: () => readonly MeasuredPod[];
  /** Labels of the Node object. */
  readonly nodeLabels: () => { readonly [key: string]: string } | undefined;
}

export class MetricsSampler implements MetricsSource {
  readonly #options: SamplerOptions;
  #before: Look | undefined;
  #latest: Look | undefined;
  #askedAt = -Infinity;
  #looking: Promise<void> | undefined;
  #cancel: (() => void) | undefined;

  constructor(options: SamplerOptions) {
    this.#options = options;
  }

  async pods(): Promise<readonly PodMetrics[]> {
    const { before, latest } = await this.#looks();
    return latest.pods.flatMap(
      ({ pod, containers }) => makePodMetrics(pod, containers, before, latest) ?? [],
    );
  }

  async nodes(): Promise<readonly NodeMetrics[]> {
    const { before, latest } = await this.#looks();
    const windowMs = latest.at - before.at;
    return [
      {
        kind: 'NodeMetrics',
        apiVersion: apiVersionOf(metricsGroupVersion),
        metadata: metadataOf(this.#options.nodeName, undefined, this.#options.nodeLabels(), latest.at),
        timestamp: timestamp(latest.at),
        window: duration(windowMs),
        usage: makeUsage(
          (latest.machine.cpuMs - before.machine.cpuMs) / windowMs,
          latest.machine.memoryBytes,
        ),
      },
    ];
  }

  close(): void {
    this.#cancel?.();
    this.#askedAt = -Infinity;
  }

  async #looks(): Promise<{ before: Look; latest: Look }> {
    const { clock } = this.#options;
    this.#askedAt = clock.now();
    while (!this.#latest || !this.#before || clock.now() - this.#latest.at > 2 * resolutionMs) {
      this.#looking ??= this.#begin().finally(() => (this.#looking = undefined));
      await this.#looking;
    }
    return { before: this.#before, latest: this.#latest };
  }

  /** Two looks, and from then on one each now and then. */
  async #begin(): Promise<void> {
    const { clock } = this.#options;
    this.#before = await this.#look();
    await new Promise<void>((resolve) => clock.after(firstWindowMs, resolve));
    this.#latest = await this.#look();
    this.#arm();
  }

  #arm(): void {
    const { clock } = this.#options;
    this.#cancel?.();
    this.#cancel = clock.after(resolutionMs, () => {
      this.#cancel = undefined;
      if (clock.now() - this.#askedAt > idleAfterMs) return;
      void this.#advance();
    });
  }

  async #advance(): Promise<void> {
    const look = await this.#look();
    this.#before = this.#latest;
    this.#latest = look;
    this.#arm();
  }

  async #look(): Promise<Look> {
    const { clock, running, memoryBytes } = this.#options;
    const pods = running();
    const readings = new Map<string, Reading>();
    await Promise.all(
      pods
        .flatMap(({ containers }) => containers)
        .map(async (container) => {
          // One that ends meanwhile has no figures any more.
          const stats = await container.stats().catch(() => undefined);
          if (stats) readings.set(container.id, { ...stats, at: clock.now() });
        }),
    );
    return { at: clock.now(), machine: machineStats(memoryBytes), pods, readings };
  }
}

/** Undefined when a container of the pod has not been measured long enough: half a pod would mislead. */
function makePodMetrics(
  pod: Pod,
  containers: readonly MeasuredContainer[],
  before: Look,
  latest: Look,
): PodMetrics | undefined {
  if (containers.length === 0) return undefined;
  let windowMs = Infinity;
  const usages: PodMetrics['containers'] = [];
  for (const { id, name, startedAt } of containers) {
    const now = latest.readings.get(id);
    const then = before.readings.get(id) ?? { at: startedAt, cpuMs: 0 };
    if (!now || now.at - then.at < firstWindowMs / 2) return undefined;
    const elapsed = now.at - then.at;
    windowMs = Math.min(windowMs, elapsed);
    usages.push({ name, usage: makeUsage((now.cpuMs - then.cpuMs) / elapsed, now.memoryBytes) });
  }
  const { name, namespace, labels } = pod.metadata;
  return {
    kind: 'PodMetrics',
    apiVersion: apiVersionOf(metricsGroupVersion),
    metadata: metadataOf(name, namespace, labels, latest.at),
    timestamp: timestamp(latest.at),
    window: duration(windowMs),
    containers: usages,
  };
}

function metadataOf(
  name: string,
  namespace: string | undefined,
  labels: { readonly [key: string]: string } | undefined,
  now: number,
): PodMetrics['metadata'] {
  return {
    name,
    ...(namespace ? { namespace } : {}),
    creationTimestamp: timestamp(now),
    ...(labels ? { labels: { ...labels } } : {}),
  };
}

/** As Go writes a duration below a minute, `15.02s`, and like `1m30.5s` beyond. */
function duration(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  const seconds = `${Number(((ms - minutes * 60_000) / 1000).toFixed(3))}s`;
  if (minutes < 60) return minutes > 0 ? `${minutes}m${seconds}` : seconds;
  return `${Math.floor(minutes / 60)}h${minutes % 60}m${seconds}`;
}

/** CPU time of all processes since the machine started, and memory that cannot be had without asking someone else. */
function machineStats(memoryBytes: number): ContainerStats {
  const cpuMs = cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
  return { cpuMs, memoryBytes: Math.max(0, memoryBytes - memoryLeft()) };
}

function memoryLeft(): number {
  try {
    const kilobytes = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
    if (kilobytes !== undefined && process.constrainedMemory() === 0) return Number(kilobytes) * 1024;
  } catch {
    // Not a Linux machine.
  }
  return availableMemory();
}
