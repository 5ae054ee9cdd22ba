/** What survives a crash of the agent: a small file per pod, written when a container starts or ends. */
import { existsSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Json } from '../base/json.ts';
import type { Logger } from '../base/log.ts';
import type { SavedContainer } from './container-record.ts';

export interface SavedPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** The driver that started it. */
  readonly driver: string;
  readonly startTime?: string;
  /** The driver's state of the sandbox; absent before there is one, and after it was removed. */
  readonly sandbox?: Json;
  readonly containers: readonly SavedContainer[];
}

const fileName = 'state.json';

interface PodState extends SavedPod {
  /** Of the machine when this was written; undefined where it does not tell. */
  readonly boot?: string;
}

/** How long after a failed write the next one is tried, ms. */
const retryMs = 5000;

/** The file of one pod. */
export class PodFile {
  readonly #dir: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  #newest: SavedPod | undefined;
  #isWaiting = false;

  /** `dir`: the pod's directory, which need not exist yet. */
  constructor(dir: string, { clock, log }: { clock: Clock; log: Logger }) {
    this.#dir = dir;
    this.#clock = clock;
    this.#log = log;
  }

  /**
   * Synchronous on purpose: a process that runs must be on record before anything else happens. On a full disk the pod
   * goes on, and its newest state is written when there is room again.
   */
  save(pod: SavedPod): void {
    this.#newest = pod;
    try {
      write(join(this.#dir, fileName), pod);
    } catch (error) {
      this.#log.warn({ error: messageOf(error) }, 'state of a pod not saved');
      // Without its directory there is nothing of the pod any more.
      if (existsSync(this.#dir)) this.#saveLater();
    }
  }

  #saveLater(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#clock.after(retryMs, () => {
      this.#isWaiting = false;
      if (this.#newest && existsSync(this.#dir)) this.save(this.#newest);
    });
  }
}

function write(file: string, pod: SavedPod): void {
  const boot = bootId();
  const content: PodState = { ...(boot === undefined ? {} : { boot }), ...pod };
  try {
    // It holds environments of containers, and these hold secrets.
    writeFileSync(`${file}.tmp`, JSON.stringify(content), { mode: 0o600 });
    renameSync(`${file}.tmp`, file);
  } catch (error) {
    rmSync(`${file}.tmp`, { force: true });
    throw error;
  }
}

/** Another one after each start of the machine (random(4)); undefined where it does not tell. */
function bootId(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return undefined;
  }
}

/**
 * All pods on record: directory name and state, which is undefined when the pod never got that far. `boot`: of the machine
 * now.
 */
export function loadPods(podsDir: string, boot = bootId()): Map<string, SavedPod | undefined> {
  const result = new Map<string, SavedPod | undefined>();
  if (!existsSync(podsDir)) return result;
  for (const uid of readdirSync(podsDir)) {
    let saved: SavedPod | undefined;
    try {
      const { boot: then, ...pod } = JSON.parse(
        readFileSync(join(podsDir, uid, fileName), 'utf8'),
      ) as PodState;
      // A machine that lost power may have left anything.
      if (Array.isArray(pod.containers)) saved = then === undefined || then === boot ? pod : withoutRuns(pod);
    } catch {
      // Not written yet when the agent died: nothing had started.
    }
    result.set(uid, saved);
  }
  return result;
}

/**
 * After the machine itself was started anew: processes, groups, networks and mounts are gone, and what has a recorded
 * process's number by now is somebody else's.
 */
function withoutRuns(pod: SavedPod): SavedPod {
  const { sandbox: _, ...rest } = pod;
  return {
    ...rest,
    containers: rest.containers.map(({ handle, id, ...container }) => ({
      ...container,
      ...(handle === undefined || id === undefined ? {} : { wasLost: true }),
    })),
  };
}
