/** The sandbox of one pod: made when the first container needs it, once. */
import { mkdirSync } from 'node:fs';
import { KnapsackError } from '../base/errors.ts';
import type { Json } from '../base/json.ts';
import { portMapAnnotation, type Pod } from '../api/pods.ts';
import { makeSandboxSpec } from './container-spec.ts';
import type { Sandbox } from './drivers/driver.ts';
import type { WorkerEnv } from './worker-env.ts';

export class PodSandbox {
  readonly #env: WorkerEnv;
  /** The pod's directory, made with the sandbox. */
  readonly #dir: string;
  /** Called when it has been made. */
  readonly #onMade: (sandbox: Sandbox) => void;
  #making: Promise<Sandbox> | undefined;
  #made: Sandbox | undefined;

  constructor(env: WorkerEnv, dir: string, onMade: (sandbox: Sandbox) => void) {
    this.#env = env;
    this.#dir = dir;
    this.#onMade = onMade;
  }

  /** The sandbox that was made or adopted, also after it was dropped: its addresses stay in the status. */
  get made(): Sandbox | undefined {
    return this.#made;
  }

  /** The annotation that says which ports of the host the pod got; none where ports are as declared. */
  get portMap(): { [annotation: string]: string } {
    const { portMap } = this.#made ?? {};
    return portMap ? { [portMapAnnotation]: JSON.stringify(Object.fromEntries(portMap)) } : {};
  }

  /** Makes it, or waits until it is made. After a failure the next call tries again. */
  ensure(pod: Pod): Promise<Sandbox> {
    this.#making ??= this.#make(pod).catch((error: unknown) => {
      this.#making = undefined;
      throw error;
    });
    return this.#making;
  }

  async #make(pod: Pod): Promise<Sandbox> {
    const unserved = this.#env.whyNoHandler(pod);
    if (unserved !== undefined) throw new KnapsackError('NODE_CONTAINER_CONFIG', unserved);
    mkdirSync(this.#dir, { recursive: true, mode: 0o711 });
    const sandbox = await this.#env.driver.createSandbox(makeSandboxSpec(this.#env, pod));
    this.#made = sandbox;
    this.#onMade(sandbox);
    return sandbox;
  }

  /** Takes over what an earlier agent made; false when it is no longer there. */
  async adopt(pod: Pod, state: Json): Promise<boolean> {
    const sandbox = await this.#env.driver.adoptSandbox(makeSandboxSpec(this.#env, pod), state);
    if (!sandbox) return false;
    this.#making = Promise.resolve(sandbox);
    this.#made = sandbox;
    return true;
  }

  async drop(): Promise<void> {
    const sandbox = await this.#making?.catch(() => undefined);
    this.#making = undefined;
    if (sandbox) await this.#env.driver.removeSandbox(sandbox);
  }
}
