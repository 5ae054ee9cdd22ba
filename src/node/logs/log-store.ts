/** The logs of all containers of this node: where they are, and the regular look at those that are written. */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { ContainerLog } from './container-log.ts';

/** How often the sizes of live logs are looked at: the precision of their timestamps, ms. */
const lookMs = 200;

export class LogStore {
  readonly #clock: Clock;
  readonly #live = new Map<string, ContainerLog>();
  #cancel: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The log of a run that begins (or goes on, after a restart of the agent). Keeps one earlier run. */
  begin(podDir: string, container: string, attempt: number): ContainerLog {
    const dir = join(podDir, 'logs', container);
    // Passable: without mounts, a container under another user writes its termination message by path.
    mkdirSync(dir, { recursive: true, mode: 0o711 });
    for (const name of readdirSync(dir)) {
      const number = Number.parseInt(name, 10);
      if (number < attempt - 1) new ContainerLog(join(dir, `${number}.log`)).remove();
    }
    const log = new ContainerLog(join(dir, `${attempt}.log`));
    this.#live.set(log.path, log);
    this.#cancel ??= this.#clock.after(lookMs, () => this.#look());
    return log;
  }

  end(log: ContainerLog): void {
    log.end();
    this.#live.delete(log.path);
  }

  /** The log of a run: the live one, or what is on disk. */
  find(podDir: string, container: string, attempt: number): ContainerLog {
    const path = join(podDir, 'logs', container, `${attempt}.log`);
    const live = this.#live.get(path);
    if (live) return live;
    const log = new ContainerLog(path);
    log.ended = true;
    return log;
  }

  close(): void {
    this.#cancel?.();
    for (const log of this.#live.values()) log.end();
    this.#live.clear();
  }

  #look(): void {
    for (const log of this.#live.values()) log.look();
    this.#cancel = this.#live.size > 0 ? this.#clock.after(lookMs, () => this.#look()) : undefined;
  }
}
