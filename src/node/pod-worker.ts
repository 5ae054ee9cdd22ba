/**
 * Carries one pod through its life. Level-triggered: `#sync` looks at what is wanted and what is, and begins what is
 * missing; whatever takes time runs beside it and calls back. `#sync` itself never waits, so it never overlaps.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { EphemeralContainer, Pod } from '../api/pods.ts';
import { timestamp } from '../api/object.ts';
import { messageOf } from '../base/errors.ts';
import { deepEqual } from '../base/json.ts';
import type { Logger } from '../base/log.ts';
import { adoptRun } from './adoption.ts';
import {
  changedSpec,
  ephemeralRecords,
  recordsOf,
  saveRecord,
  type ContainerRecord,
} from './container-record.ts';
import { ContainerRun, type PodContext } from './container-run.ts';
import { podDir } from './container-spec.ts';
import type { Sandbox } from './drivers/driver.ts';
import { runningContainers, type MeasuredPod } from './metrics.ts';
import { deletePod, settled, stopAll, until } from './pod-end.ts';
import { whyRejected, type Rejection } from './pod-admission.ts';
import { PodSandbox } from './pod-sandbox.ts';
import { backoffEvent, backoffMessage, planRestart } from './restart.ts';
import { PodFile, type SavedPod } from './saved-pod.ts';
import { StatusWriter } from './status-writer.ts';
import { isDone, makeStatus, phaseOf, type Phase } from './status.ts';
import type { PortConnector } from './streams/ports.ts';
import { fileSource, showsLabels } from './volume-files.ts';
import { PodVolumes } from './volumes.ts';
import type { WorkerEnv } from './worker-env.ts';

const defaultGraceSeconds = 30;

export class PodWorker implements PodContext {
  readonly env: WorkerEnv;
  /** Resolves when nothing of the pod is left on this machine. */
  readonly done: Promise<void>;
  readonly #log: Logger;
  readonly #runs: ContainerRun[];
  readonly #records: ContainerRecord[];
  readonly #writer: StatusWriter;
  readonly #file: PodFile;
  readonly #dir: string;
  readonly #done = Promise.withResolvers<void>();
  /** Resolves when the containers have to end at once. */
  readonly #hurry = Promise.withResolvers<void>();
  readonly #sandbox: PodSandbox;
  readonly #volumes: PodVolumes;
  #pod: Pod;
  #volumesReady: Promise<PodVolumes> | undefined;
  #unschedulable: string | undefined;
  #admitted = false;
  #verdict: { phase: Phase; reason: string; message: string } | undefined;
  #startTime: string | undefined;
  #cancelDeadline: (() => void) | undefined;
  #ending: Promise<void> | undefined;
  #finishing: Promise<void> | undefined;
  #gone = false;
  /** Resolves when the object is gone, or nobody follows it any more. */
  readonly #left = Promise.withResolvers<void>();
  #ended = false;
  #graceLimitMs = Infinity;
  #detached = false;

  constructor(env: WorkerEnv, pod: Pod) {
    this.env = env;
    this.#pod = pod;
    this.done = this.#done.promise;
    this.#dir = podDir(env, pod);
    this.#log = env.log.child({ pod: `${pod.metadata.namespace}/${pod.metadata.name}` });
    this.#records = recordsOf(pod);
    this.#runs = this.#records.map((record) => new ContainerRun(record, this));
    this.#writer = new StatusWriter({ client: env.client, clock: env.clock, log: this.#log }, pod);
    this.#file = new PodFile(this.#dir, { clock: env.clock, log: this.#log });
    this.#sandbox = new PodSandbox(env, this.#dir, (sandbox) => this.#sandboxMade(sandbox));
    const files = fileSource({
      pod: () => this.#pod,
      read: env.readData,
      token: env.token,
      kubeconfig: env.kubeconfig,
      facts: () => env.facts(this.#sandbox.made?.ip ?? ''),
    });
    this.#volumes = new PodVolumes(pod, join(this.#dir, 'volumes'), env.memory, {
      files,
      claims: env.claims,
    });
  }

  pod(): Pod {
    return this.#pod;
  }

  get records(): readonly ContainerRecord[] {
    return this.#records;
  }

  /** The pod with its containers that run now. */
  measured(): MeasuredPod {
    return { pod: this.#pod, containers: runningContainers(this.#records) };
  }

  /** True while the pod holds the CPU and memory that it asked for. */
  get holdsResources(): boolean {
    return this.#admitted && !this.#finishing && !this.#ended;
  }

  get isAdmitted(): boolean {
    return this.#admitted;
  }

  /** The pod fits: start it. */
  admit(): void {
    if (this.#admitted) return;
    this.#admitted = true;
    this.#unschedulable = undefined;
    if (!this.#pod.spec?.nodeName) this.#writer.setMeta({ nodeName: this.env.nodeName });
    if (this.#pod.status?.phase === 'Succeeded' || this.#pod.status?.phase === 'Failed') {
      // It ended before this agent came; only its deletion concerns us.
      this.#finishing = Promise.resolve();
    } else if (!this.#startTime) {
      this.#startTime = timestamp(this.env.clock.now());
      const { namespace, name } = this.#pod.metadata;
      const message = `Successfully assigned ${namespace}/${name} to ${this.env.nodeName}`;
      this.env.scheduler.event(this.#pod, 'Normal', 'Scheduled', message);
      const rejection = whyRejected(this.#pod, process.platform);
      if (rejection) this.#fail(rejection);
    }
    this.#armDeadline();
    this.changed();
  }

  /** The pod was put here by name and does not fit: it fails before it begins. */
  reject(rejection: Rejection): void {
    if (this.#admitted) return;
    this.#admitted = true;
    this.#unschedulable = undefined;
    this.#fail(rejection);
    this.changed();
  }

  #fail({ reason, message }: Rejection): void {
    this.#verdict = { phase: 'Failed', reason, message: `Pod was rejected: ${message}` };
    this.env.recorder.event(this.#pod, 'Warning', reason, message);
  }

  /** The pod does not fit: say why, and wait for {@link admit}. */
  refuse(message: string): void {
    if (this.#admitted || this.#unschedulable === message) return;
    this.#unschedulable = message;
    this.env.scheduler.event(this.#pod, 'Warning', 'FailedScheduling', message);
    this.changed();
  }

  /** The object has changed. */
  update(pod: Pod): void {
    const { labels, annotations } = this.#pod.metadata;
    const deadline = this.#pod.spec?.activeDeadlineSeconds;
    this.#pod = pod;
    if (pod.spec?.activeDeadlineSeconds !== deadline) this.#armDeadline();
    const isRenamed = !deepEqual([labels, annotations], [pod.metadata.labels, pod.metadata.annotations]);
    if (isRenamed && showsLabels(pod)) this.refreshVolumes();
    for (const run of this.#runs) {
      const spec = changedSpec(pod, run.record);
      if (spec) run.changeImage(spec);
    }
    for (const record of ephemeralRecords(pod, this.#records)) {
      this.#records.push(record);
      this.#runs.push(new ContainerRun(record, this));
    }
    if (pod.metadata.deletionTimestamp && pod.metadata.deletionGracePeriodSeconds === 0)
      this.#hurry.resolve();
    this.changed();
  }

  /** The object is gone: end everything at once. */
  remove(): void {
    this.#gone = true;
    this.#left.resolve();
    this.#writer.stop();
    this.#hurry.resolve();
    this.changed();
  }

  /** Ends the containers within the time and forgets the pod, leaving its object to a later agent. */
  async evict(graceMs: number): Promise<void> {
    this.#gone = true;
    this.#left.resolve();
    this.#graceLimitMs = graceMs;
    this.#writer.stop();
    this.changed();
    await this.done;
  }

  /** Lets go: the containers run on, a later agent adopts them. */
  async detach(): Promise<void> {
    this.#detached = true;
    this.#cancelDeadline?.();
    for (const record of this.#records) {
      record.stopProbes?.();
      record.cancelRetry?.();
    }
    await settled(this.#runs);
    await this.#writer.flush();
    this.#writer.stop();
  }

  /** What files of volumes are made of has changed. */
  refreshVolumes(): void {
    if (!this.#volumesReady || this.leaving()) return;
    void this.#volumesReady
      .then((volumes) => volumes.refresh())
      .catch((error: unknown) => this.#log.warn({ error: messageOf(error) }, 'volumes not refreshed'));
  }

  // What containers need of their pod.

  sandbox(): Promise<Sandbox> {
    return this.#sandbox.ensure(this.#pod);
  }

  /** Undefined while the pod has no network, or no more. */
  ports(): PortConnector | undefined {
    const { made } = this.#sandbox;
    return made && !this.#finishing ? this.env.driver.ports(made) : undefined;
  }

  #sandboxMade(sandbox: Sandbox): void {
    if (sandbox.portMap) this.#writer.setMeta({ annotations: this.#sandbox.portMap });
  }

  processOf({ targetContainerName }: EphemeralContainer): number | undefined {
    if (!targetContainerName) return undefined;
    return this.#records.find(({ spec }) => spec.name === targetContainerName)?.handle?.pid;
  }

  volumes(): Promise<PodVolumes> {
    this.#volumesReady ??= this.#volumes.prepare().then(
      () => this.#volumes,
      (error: unknown) => {
        this.#volumesReady = undefined;
        throw error;
      },
    );
    return this.#volumesReady;
  }

  leaving(): boolean {
    return this.#detached || this.#gone || this.#finishing !== undefined || this.#ending !== undefined;
  }

  publish(): void {
    if (this.#detached || this.#gone || (!this.#admitted && this.#unschedulable === undefined)) return;
    const status = makeStatus({
      pod: this.#pod,
      records: this.#records,
      unschedulable: this.#unschedulable,
      podIP: this.#sandbox.made?.ip,
      hostIP: this.env.hostIP,
      verdict: this.#verdict,
      startTime: this.#startTime,
      now: this.env.clock.now(),
    });
    if (this.env.announce) {
      const { metadata } = this.#pod;
      const annotations = { ...metadata.annotations, ...this.#sandbox.portMap };
      this.env.announce({ ...this.#pod, metadata: { ...metadata, annotations }, status });
    }
    this.#writer.set(status);
  }

  save(): void {
    if (!this.#ending || this.#records.some((record) => record.handle)) this.#save();
  }

  #save(): void {
    // A pod that never got as far as a sandbox has left nothing to find.
    if (!this.#sandbox.made) return;
    const { namespace = '', name, uid = '' } = this.#pod.metadata;
    this.#file.save({
      namespace,
      name,
      uid,
      driver: this.env.driver.name,
      ...(this.#startTime ? { startTime: this.#startTime } : {}),
      ...(this.#sandbox.made ? { sandbox: this.#sandbox.made.state } : {}),
      containers: this.#records.map(saveRecord),
    });
  }

  changed(): void {
    if (this.#detached) return;
    try {
      this.#sync();
    } catch (error) {
      this.#log.error({ error: messageOf(error) }, 'pod sync failed');
    }
  }

  #sync(): void {
    if (this.#gone || this.#pod.metadata.deletionTimestamp !== undefined) {
      this.#ending ??= this.#end().catch((error: unknown) => {
        this.#log.error({ error: messageOf(error) }, 'pod not fully removed');
        this.#done.resolve();
      });
      return;
    }
    if (this.#finishing) return;
    if (this.#admitted) this.#advance();
    if (!this.#finishing) this.publish();
  }

  /** Begins what comes next, in the order of init containers, then all main ones. */
  #advance(): void {
    if (this.#verdict) return this.#finish();
    // What looks into a pod waits for nothing that may be wrong with it.
    for (const run of this.#runs) if (run.record.role === 'ephemeral') this.#drive(run);
    for (const run of this.#runs) {
      const { record } = run;
      if (record.role === 'main' || record.role === 'ephemeral') continue;
      this.#drive(run);
      if (record.role === 'init' ? !isDone(record) : !record.started) {
        if (phaseOf(this.#pod, this.#records) === 'Failed') this.#finish();
        return;
      }
    }
    for (const run of this.#runs) if (run.record.role === 'main') this.#drive(run);
    const phase = phaseOf(this.#pod, this.#records);
    if (phase === 'Succeeded' || phase === 'Failed') this.#finish();
  }

  /** Starts a container that should run and does not, at once or after its back-off. */
  #drive(run: ContainerRun): void {
    const { record } = run;
    if (record.activity || record.handle || record.cancelRetry) return;
    if (record.state.kind !== 'terminated') return run.start();
    const { terminated } = record.state;
    const restart = planRestart(this.#pod, record, terminated, this.env.clock.now());
    if (!restart) return;
    record.backoff = restart.backoff;
    record.lastTerminated = terminated;
    if (restart.waitMs === 0 || restart.remainingMs <= 0) return run.start();
    record.state = {
      kind: 'waiting',
      reason: 'CrashLoopBackOff',
      message: backoffMessage(this.#pod, record, restart.waitMs),
    };
    const at = `spec.containers{${record.spec.name}}`;
    this.env.recorder.event(this.#pod, 'Warning', 'BackOff', backoffEvent(this.#pod, record), at);
    run.startAfter(restart.remainingMs);
  }

  #armDeadline(): void {
    this.#cancelDeadline?.();
    const limit = this.#pod.spec?.activeDeadlineSeconds;
    if (limit === undefined || this.#finishing || !this.#startTime) return;
    const remaining = Date.parse(this.#startTime) + limit * 1000 - this.env.clock.now();
    this.#cancelDeadline = this.env.clock.after(Math.max(0, remaining), () => {
      const message = 'Pod was active on the node longer than the specified deadline';
      this.#verdict = { phase: 'Failed', reason: 'DeadlineExceeded', message };
      this.env.recorder.event(this.#pod, 'Normal', 'DeadlineExceeded', message);
      this.changed();
    });
  }

  /** The pod has done its work or failed for good: what runs beside ends; logs stay until the pod is deleted. */
  #finish(): void {
    this.#finishing ??= this.#cleanFinished()
      .catch((error: unknown) => this.#log.error({ error: messageOf(error) }, 'finished pod not cleaned'))
      .finally(() => this.env.freed());
  }

  async #cleanFinished(): Promise<void> {
    await this.#stopAll((this.#pod.spec?.terminationGracePeriodSeconds ?? defaultGraceSeconds) * 1000);
    await this.#sandbox.drop();
    this.#volumes.remove();
    this.save();
    this.publish();
  }

  #stopAll(graceMs: number): Promise<void> {
    return stopAll(this.#runs, this.env.clock, graceMs, this.#hurry.promise);
  }

  async #end(): Promise<void> {
    const { metadata, spec } = this.#pod;
    const graceSeconds =
      metadata.deletionGracePeriodSeconds ?? spec?.terminationGracePeriodSeconds ?? defaultGraceSeconds;
    const deadline = this.env.clock.now() + Math.min(graceSeconds * 1000, this.#graceLimitMs);
    this.#cancelDeadline?.();
    await this.#finishing;
    if (this.env.beforeStop && this.#records.some((record) => record.handle)) {
      await Promise.race([this.#drain(deadline), this.#hurry.promise]);
    }
    await this.#stopAll(Math.max(0, deadline - this.env.clock.now()));
    if (!this.#gone) {
      this.publish();
      await this.#writer.flush();
    }
    this.#writer.stop();
    await this.#sandbox.drop();
    this.#volumes.remove();
    if (!this.#gone && this.#pod.metadata.finalizers?.length) await this.#outlast();
    rmSync(this.#dir, { recursive: true, force: true });
    if (!this.#gone) await deletePod(this.env.client, metadata, this.#log);
    this.#done.resolve();
  }

  /** Others keep the object: what its containers wrote stays readable until they let it go. */
  async #outlast(): Promise<void> {
    this.#ended = true;
    this.env.freed();
    this.#save();
    await deletePod(this.env.client, this.#pod.metadata, this.#log);
    await this.#left.promise;
  }

  async #drain(deadline: number): Promise<void> {
    const drained = this.env.beforeStop?.(this.#pod).catch((error: unknown) => {
      this.#log.warn({ error: messageOf(error) }, 'pod not drained before its end');
    });
    if (drained) await until(this.env.clock, deadline, drained);
  }

  /** Takes over what an earlier agent left of this pod. */
  async adopt(saved: SavedPod): Promise<void> {
    this.#startTime = saved.startTime;
    if (saved.sandbox !== undefined && (await this.#sandbox.adopt(this.#pod, saved.sandbox))) {
      this.#volumesReady = this.#volumes.prepare().then(() => this.#volumes);
      this.#volumesReady.catch(() => (this.#volumesReady = undefined));
    }
    const { made } = this.#sandbox;
    const now = this.env.clock.now();
    await Promise.all(this.#runs.map((run) => adoptRun(run, saved, made, this.env.driver, now)));
  }
}
