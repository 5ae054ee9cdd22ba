/**
 * How far each consumer group of a log has come, kept in one small file that is replaced whole. Written soon after a
 * change, not at once: what is lost by a crash is delivered again, which at-least-once allows.
 */
import { readFile, rename, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { messageOf, systemCode } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { syncDirectory } from './files.ts';

/** How long a change may stay in memory only, ms. */
const writeDelayMs = 200;

export class OffsetFile {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #offsets: Map<string, number>;
  #cancelTimer: (() => void) | undefined;
  #saving: Promise<void> | undefined;
  #version = 0;
  #saved = 0;
  #closed = false;

  private constructor(path: string, clock: Clock, log: Logger, offsets: Map<string, number>) {
    this.#path = path;
    this.#clock = clock;
    this.#log = log;
    this.#offsets = offsets;
  }

  /** @throws when the file is there but cannot be understood: guessing would lose or repeat everything. */
  static async open(path: string, clock: Clock, log: Logger): Promise<OffsetFile> {
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error;
      return new OffsetFile(path, clock, log, new Map());
    }
    const { groups } = JSON.parse(text) as { groups: Record<string, number> };
    return new OffsetFile(path, clock, log, new Map(Object.entries(groups)));
  }

  /** Offset of the first record that the group has not finished; undefined for a group that is not there. */
  get(group: string): number | undefined {
    return this.#offsets.get(group);
  }

  groups(): string[] {
    return [...this.#offsets.keys()];
  }

  /** The smallest offset of all groups, or `otherwise` when there is no group. */
  smallest(otherwise: number): number {
    return Math.min(otherwise, ...this.#offsets.values());
  }

  /** Moves a group; on disk a little later. */
  set(group: string, offset: number): void {
    if (this.#offsets.get(group) === offset) return;
    this.#offsets.set(group, offset);
    this.#version++;
    this.#schedule();
  }

  delete(group: string): void {
    if (!this.#offsets.delete(group)) return;
    this.#version++;
    this.#schedule();
  }

  /** Resolves when all changes so far are on disk. */
  async save(): Promise<void> {
    const wanted = this.#version;
    while (this.#saved < wanted) {
      this.#saving ??= this.#write().finally(() => {
        this.#saving = undefined;
      });
      await this.#saving;
    }
  }

  /** Saves what is unsaved and stops the timer. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    await this.save();
  }

  #schedule(): void {
    if (this.#cancelTimer || this.#closed) return;
    this.#cancelTimer = this.#clock.after(writeDelayMs, () => {
      this.#cancelTimer = undefined;
      this.save().catch((error: unknown) => {
        this.#log.warn(
          { path: this.#path, error: messageOf(error) },
          'consumer offsets not saved, trying again',
        );
        this.#schedule();
      });
    });
  }

  async #write(): Promise<void> {
    const version = this.#version;
    const temporary = `${this.#path}.new`;
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(JSON.stringify({ groups: Object.fromEntries(this.#offsets) }));
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(temporary, this.#path);
    await syncDirectory(dirname(this.#path));
    this.#saved = version;
  }
}

/**
 * Which records of a group are done, when they end in any order: the commit moves only over an unbroken run.
 */
export class ContiguousOffset {
  #committed: number;
  readonly #done = new Set<number>();

  constructor(start: number) {
    this.#committed = start;
  }

  /** All records before this one are done. */
  get committed(): number {
    return this.#committed;
  }

  /** Marks one record done; returns the commit, moved or not. */
  done(offset: number): number {
    if (offset >= this.#committed) this.#done.add(offset);
    while (this.#done.delete(this.#committed)) this.#committed++;
    return this.#committed;
  }
}
