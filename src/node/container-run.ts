/** One container of a pod: starting it, watching it, stopping it. The worker decides when. */
import { timestamp } from '../api/object.ts';
import type { Container, EphemeralContainer, Pod } from '../api/pods.ts';
import { KnapsackError, messageOf } from '../base/errors.ts';
import { nextBackoff, noBackoff } from './backoff.ts';
import { unknownEnd, waitingReason, type ContainerRecord, type Terminated } from './container-record.ts';
import { makeContainerSpec, messageFile, podDir } from './container-spec.ts';
import { StartError, type ContainerHandle, type ExitStatus, type Sandbox } from './drivers/driver.ts';
import type { UnpackedImage } from './images.ts';
import { ensureImage, NotStarted } from './image-pull.ts';
import type { ContainerLog } from './logs/container-log.ts';
import { readLog } from './logs/log-reader.ts';
import { attempt as attemptProbe, type ProbeAction, type ProbeTarget } from './probe.ts';
import { startProbing, type Probing } from './prober.ts';
import { signalOf } from './signals.ts';
import { ContainerInput } from './streams/container-input.ts';
import { readTerminationMessage } from './termination-message.ts';
import type { PodVolumes } from './volumes.ts';
import type { WorkerEnv } from './worker-env.ts';

/** ErrImagePull shows this long before it becomes ImagePullBackOff, ms. */
const showPullErrorMs = 2000;
const hookTimeoutMs = 30_000;

/** The part of the worker that a container needs. */
export interface PodContext {
  readonly env: WorkerEnv;
  pod(): Pod;
  sandbox(): Promise<Sandbox>;
  volumes(): Promise<PodVolumes>;
  /** The main process of the container whose processes an ephemeral one shares, if it names one that runs. */
  processOf(container: EphemeralContainer): number | undefined;
  /** True when nothing must be started any more. */
  leaving(): boolean;
  /** Publishes the status. */
  publish(): void;
  /** Publishes the status and decides what is next. */
  changed(): void;
  save(): void;
}

function fieldPath(record: ContainerRecord): string {
  const lists = { main: 'containers', init: 'initContainers', sidecar: 'initContainers' } as const;
  const list = record.role === 'ephemeral' ? 'ephemeralContainers' : lists[record.role];
  return `spec.${list}{${record.spec.name}}`;
}

export class ContainerRun {
  readonly record: ContainerRecord;
  readonly #context: PodContext;
  readonly #env: WorkerEnv;
  #log: ContainerLog | undefined;
  #configFailures = 0;
  #probing: Probing | undefined;
  #leaveQueue: (() => void) | undefined;
  /** Resolved when the last run has ended and nothing of it is left. */
  #over = Promise.withResolvers<void>();

  constructor(record: ContainerRecord, context: PodContext) {
    this.record = record;
    this.#context = context;
    this.#env = context.env;
    this.#over.resolve();
  }

  #event(type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.#env.recorder.event(this.#context.pod(), type, reason, message, fieldPath(this.record));
  }

  /** Starts the container; a restart when it has run before. Returns at once; `changed` follows. */
  start(): void {
    const { record } = this;
    if (record.activity || record.handle) return;
    record.cancelRetry?.();
    record.cancelRetry = undefined;
    record.activity = this.#start()
      .catch((error: unknown) => this.#notStarted(error))
      .finally(() => {
        record.activity = undefined;
        this.#context.changed();
      });
  }

  /** Starts after `ms`. */
  startAfter(ms: number): void {
    this.record.cancelRetry?.();
    this.record.cancelRetry = this.#env.clock.after(ms, () => {
      this.record.cancelRetry = undefined;
      if (!this.#context.leaving()) this.start();
    });
  }

  /** The pod has another image for it: while it runs it is replaced, and otherwise tried without waiting any longer. */
  changeImage(spec: Container): void {
    const { record } = this;
    record.spec = spec;
    record.backoff = noBackoff;
    record.pullBackoff = noBackoff;
    record.cancelRetry?.();
    record.cancelRetry = undefined;
    if (!record.handle || record.stopping || record.role === 'init') return;
    record.replaced = true;
    this.#event('Normal', 'Killing', `Container ${spec.name} definition changed, will be restarted`);
    void this.stop((this.#context.pod().spec?.terminationGracePeriodSeconds ?? 30) * 1000);
  }

  async #start(): Promise<void> {
    const { record } = this;
    const context = this.#context;
    const given = record.spec;
    // Network and volumes are made while the image is looked up.
    const sandboxReady = context.sandbox();
    const volumesReady = context.volumes();
    sandboxReady.catch(() => undefined);
    volumesReady.catch(() => undefined);
    const image = await ensureImage(this.#env, context.pod(), record.spec, (...words) =>
      this.#event(...words),
    );
    record.pullBackoff = noBackoff;
    const sandbox = await sandboxReady.catch((error: unknown) => {
      throw this.#podFailure('FailedCreatePodSandBox', `Failed to create pod sandbox: ${messageOf(error)}`);
    });
    const volumes = await volumesReady.catch((error: unknown) => {
      throw this.#podFailure('FailedMount', messageOf(error));
    });
    if (context.leaving()) return;
    const pod = context.pod();
    const attempt = record.attempted ? record.restartCount + 1 : 0;
    const log = this.#env.logs.begin(podDir(this.#env, pod), record.spec.name, attempt);
    const sharesProcessesOf = context.processOf(record.spec);
    const parts = { image, sandbox, volumes, logPath: log.path, sharesProcessesOf };
    const spec = await makeContainerSpec(this.#env, pod, record.spec, attempt, parts).catch(
      (error: unknown) => {
        if (!(error instanceof KnapsackError)) throw error;
        throw new NotStarted('CreateContainerConfigError', error.message);
      },
    );
    const room = this.#env.starts.enter();
    if (room) await room;
    const leaveQueue = this.#env.starts.hold();
    if (context.leaving()) return leaveQueue();
    if (record.spec !== given) {
      leaveQueue();
      return this.#start();
    }
    this.#leaveQueue = leaveQueue;
    this.#configFailures = 0;
    record.restartCount = attempt;
    record.attempted = true;
    record.imageID = imageIdOf(image);
    record.containerID = `${this.#env.driver.name}://${spec.id}`;
    record.stopSignal = signalOf(record.spec.lifecycle?.stopSignal ?? image.config.StopSignal);
    record.started = false;
    record.ready = false;
    record.stopping = false;
    this.#log = log;
    if (spec.stdin !== undefined) {
      record.input = new ContainerInput(spec.stdin, record.spec.stdinOnce ?? false);
    }
    const handle = this.#env.driver.start(sandbox, spec);
    record.handle = handle;
    this.#over = Promise.withResolvers<void>();
    context.save();
    this.#event('Normal', 'Created', `Created container: ${record.spec.name}`);
    await this.#watchStart(handle, sandbox);
  }

  async #watchStart(handle: ContainerHandle, sandbox: Sandbox): Promise<void> {
    const startedAt = timestamp(this.#env.clock.now());
    try {
      await handle.started;
    } catch (error) {
      this.#startFailed(handle, error, startedAt);
      return;
    }
    this.#running(handle, sandbox, startedAt);
    this.#context.save();
    this.#event('Normal', 'Started', `Started container ${this.record.spec.name}`);
    const postStart = this.record.spec.lifecycle?.postStart;
    if (!postStart) return;
    const failure = await this.#hook(postStart, handle, sandbox);
    if (failure === undefined || this.record.handle !== handle) return;
    this.#event('Warning', 'FailedPostStartHook', `PostStartHook failed: ${failure}`);
    void this.stop(2000, 'FailedPostStartHook');
  }

  /** A container of an earlier agent goes on. */
  adopt(handle: ContainerHandle, sandbox: Sandbox, startedAt: string): void {
    const dir = podDir(this.#env, this.#context.pod());
    this.#log = this.#env.logs.begin(dir, this.record.spec.name, this.record.restartCount);
    this.record.handle = handle;
    this.#over = Promise.withResolvers<void>();
    this.#running(handle, sandbox, startedAt);
  }

  #running(handle: ContainerHandle, sandbox: Sandbox, startedAt: string): void {
    const { record } = this;
    record.state = { kind: 'running', startedAt };
    record.replaced = false;
    if (record.role === 'init' || record.role === 'ephemeral') record.started = true;
    else this.#probe(handle, sandbox);
    void handle.exited.then((status) => this.#exited(handle, status, startedAt));
    this.#context.publish();
  }

  #target(handle: ContainerHandle, sandbox: Sandbox): ProbeTarget {
    return {
      container: this.record.spec,
      host: sandbox.ip,
      portOf: (port) => sandbox.portMap?.get(port) ?? port,
      exec: (command, timeoutMs) => handle.exec(command, { timeoutMs }),
    };
  }

  #probe(handle: ContainerHandle, sandbox: Sandbox): void {
    const { record } = this;
    const probing = startProbing(this.#target(handle, sandbox), this.#env.clock, {
      started: () => {
        record.started = true;
        // A sidecar that has started lets the next container start.
        if (record.role === 'sidecar') this.#context.changed();
      },
      ready: (isReady) => {
        record.ready = isReady;
        if (isReady) this.#leaveQueue?.();
        this.#context.publish();
      },
      unhealthy: (_kind, message) => this.#event('Warning', 'Unhealthy', message),
      failed: (kind, probe) => {
        const { name } = record.spec;
        const message = `Container ${name} failed ${kind.toLowerCase()} probe, will be restarted`;
        this.#event('Normal', 'Killing', message);
        const grace =
          probe.terminationGracePeriodSeconds ?? this.#context.pod().spec?.terminationGracePeriodSeconds;
        void this.stop((grace ?? 30) * 1000);
      },
    });
    this.#probing = probing;
    record.stopProbes = () => probing.stop();
  }

  #startFailed(handle: ContainerHandle, error: unknown, at: string): void {
    const message =
      error instanceof StartError ? error.message : `failed to start container: ${messageOf(error)}`;
    this.#event('Warning', 'Failed', `Error: ${message}`);
    this.#settle(handle, { exitCode: 128, reason: 'StartError', message, startedAt: at, finishedAt: at });
  }

  async #exited(handle: ContainerHandle, status: ExitStatus, startedAt: string): Promise<void> {
    const { record } = this;
    if (status.startFailure !== undefined) {
      this.#startFailed(handle, new StartError(status.startFailure), startedAt);
      return;
    }
    const exitCode = status.exitCode ?? unknownEnd.exitCode;
    let reason = exitCode === 0 ? 'Completed' : 'Error';
    if (status.oomKilled) reason = 'OOMKilled';
    if (status.exitCode === undefined) reason = unknownEnd.reason;
    const message = status.exitCode === undefined ? unknownEnd.message : '';
    if (this.#log) this.#env.logs.end(this.#log);
    const text = (await this.#terminationMessage(exitCode)) || message;
    this.#settle(handle, {
      exitCode,
      ...(status.signal === undefined ? {} : { signal: status.signal }),
      reason,
      ...(text ? { message: text } : {}),
      startedAt,
      finishedAt: timestamp(this.#env.clock.now()),
      containerID: record.containerID,
    });
  }

  /** Ends the run: nothing of it is left, and the worker decides what is next. */
  #settle(handle: ContainerHandle, terminated: Terminated): void {
    const { record } = this;
    record.stopProbes?.();
    record.stopProbes = undefined;
    record.ready = false;
    record.started = false;
    record.handle = undefined;
    record.input?.close();
    record.input = undefined;
    record.state = { kind: 'terminated', terminated };
    if (this.#log && !this.#log.ended) this.#env.logs.end(this.#log);
    this.#leaveQueue?.();
    const over = this.#over;
    void handle
      .remove()
      .catch((error: unknown) => {
        this.#env.log.warn({ container: handle.id, error: messageOf(error) }, 'container not fully removed');
      })
      .finally(() => over.resolve());
    this.#context.save();
    this.#context.changed();
  }

  /** What the container wrote for the end, or, where the pod says so, the end of its log. */
  async #terminationMessage(exitCode: number): Promise<string> {
    const { record } = this;
    const dir = podDir(this.#env, this.#context.pod());
    const text = readTerminationMessage(messageFile(dir, record.spec, record.restartCount));
    const fallback = record.spec.terminationMessagePolicy === 'FallbackToLogsOnError' && exitCode !== 0;
    if (text !== '' || !fallback || !this.#log) return text;
    const chunks: Buffer[] = [];
    for await (const chunk of readLog(this.#log, { tailLines: 80 })) chunks.push(chunk);
    return Buffer.concat(chunks).subarray(-2048).toString('utf8');
  }

  /**
   * Ends the container: its hook, its signal, and after `graceMs` (or when `now` resolves) SIGKILL. Resolves when it has
   * ended and nothing of it is left; at once when it does not run.
   */
  async stop(graceMs: number, reason?: string, now?: Promise<void>): Promise<void> {
    const { record } = this;
    const { handle } = record;
    if (!handle || record.stopping) return this.#over.promise;
    record.stopping = true;
    this.#probing?.end();
    const { clock } = this.#env;
    const deadline = clock.now() + graceMs;
    // The machine's clock may be put back meanwhile.
    const left = (): number => Math.min(graceMs, deadline - clock.now());
    const ended = handle.started.then(
      () => handle.exited.then(() => true),
      () => true,
    );
    const wait = (ms: number): Promise<boolean> => {
      let cancel = (): void => undefined;
      const timeout = new Promise<boolean>((resolve) => (cancel = clock.after(ms, () => resolve(false))));
      const races = [ended, timeout, ...(now ? [now.then(() => false)] : [])];
      return Promise.race(races).finally(() => cancel());
    };
    if (reason) this.#event('Normal', 'Killing', `Stopping container ${record.spec.name}`);
    const preStop = record.spec.lifecycle?.preStop;
    if (preStop && graceMs > 0) {
      const hook = this.#hook(preStop, handle, await this.#context.sandbox(), graceMs);
      const failure = await Promise.race([hook, ended.then(() => undefined)]);
      if (failure !== undefined)
        this.#event('Warning', 'FailedPreStopHook', `PreStopHook failed: ${failure}`);
    }
    handle.signal(record.stopSignal);
    // As the kubelet: a hook that used up the time leaves two seconds.
    let isEnded = graceMs > 0 && (await wait(Math.max(left(), preStop ? 2000 : 0)));
    while (!isEnded) {
      handle.signal('SIGKILL');
      isEnded = await Promise.race([
        ended,
        new Promise<boolean>((resolve) => void clock.after(500, () => resolve(false))),
      ]);
    }
    await this.#over.promise;
  }

  async #hook(
    hook: ProbeAction & { sleep?: { seconds: number } },
    handle: ContainerHandle,
    sandbox: Sandbox,
    timeoutMs = hookTimeoutMs,
  ): Promise<string | undefined> {
    if (hook.sleep) {
      const ms = Math.min(hook.sleep.seconds * 1000, timeoutMs);
      await new Promise<void>((resolve) => void this.#env.clock.after(ms, resolve));
      return undefined;
    }
    return attemptProbe(hook, this.#target(handle, sandbox), timeoutMs);
  }

  #podFailure(reason: string, message: string): NotStarted {
    this.#env.recorder.event(this.#context.pod(), 'Warning', reason, message);
    return new NotStarted(waitingReason(this.#context.pod()), '');
  }

  #notStarted(error: unknown): void {
    const { record } = this;
    if (!(error instanceof NotStarted)) {
      this.#env.log.error({ container: record.spec.name, error: messageOf(error) }, 'container not started');
    }
    if (this.#context.leaving()) return;
    const reason = error instanceof NotStarted ? error.reason : 'CreateContainerError';
    const message = messageOf(error);
    if (reason === 'CreateContainerConfigError') this.#event('Warning', 'Failed', `Error: ${message}`);
    record.state = { kind: 'waiting', reason, ...(message ? { message } : {}) };
    if (reason.includes('Image')) this.#backOffPull(reason, message);
    else this.startAfter(Math.min(1000 * 2 ** this.#configFailures++, 30_000));
  }

  #backOffPull(reason: string, message: string): void {
    const { record } = this;
    const image = record.spec.image ?? '';
    // Unlike a crash, the first failed pull already waits.
    const { next } = nextBackoff(record.pullBackoff, 0);
    record.pullBackoff = next;
    const show = Math.min(showPullErrorMs, next.delayMs);
    if (reason !== 'ErrImagePull') return this.startAfter(next.delayMs);
    record.cancelRetry = this.#env.clock.after(show, () => {
      record.state = {
        kind: 'waiting',
        reason: 'ImagePullBackOff',
        message: `Back-off pulling image "${image}": ErrImagePull: ${message}`,
      };
      this.#event('Normal', 'BackOff', `Back-off pulling image "${image}"`);
      this.startAfter(next.delayMs - show);
      this.#context.publish();
    });
  }
}

/** `repository@sha256:…`, as a kubelet shows it. */
function imageIdOf({ reference, digest }: UnpackedImage): string {
  const [name = ''] = reference.split('@');
  // A colon after the last slash begins the tag; one before it, the port of a registry.
  return `${name.replace(/:[^/:]*$/, '')}@${digest}`;
}
