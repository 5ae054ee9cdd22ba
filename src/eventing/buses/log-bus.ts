/** The default bus: each topic is a durable log in a directory of its own, with the offsets of its groups beside it. */
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { EventLog, type LogOptions } from '../log/event-log.ts';
import { OffsetFile } from '../log/offsets.ts';
import type { Bus, BusMessage, GroupLag, SubscribeOptions, Subscription, Topic } from './bus.ts';
import { encodeEnvelope } from './envelope.ts';
import { LogSubscription } from './log-subscription.ts';

export interface LogBusOptions {
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Sizes and retention of each topic's log. */
  readonly limits?: Partial<Omit<LogOptions, 'clock' | 'log' | 'readByAll'>>;
}

/** Topic names become directories: object uids, with a prefix perhaps. */
const topicName = /^[a-z0-9][a-z0-9-]{0,127}$/;
/** A topic that is being removed is renamed first, so that half of one is never opened. */
const removedSuffix = '.removed';
/** How often records that all groups have passed are looked at for removal, ms. */
const trimIntervalMs = 10_000;

export class LogBus implements Bus {
  readonly #options: LogBusOptions;
  readonly #topics = new Map<string, Promise<LogTopic>>();

  private constructor(options: LogBusOptions) {
    this.#options = options;
  }

  /** Opens the bus in its directory, and ends removals that a crash interrupted. */
  static async open(options: LogBusOptions): Promise<LogBus> {
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    for (const name of await readdir(options.directory)) {
      if (name.endsWith(removedSuffix)) {
        await rm(join(options.directory, name), { recursive: true, force: true });
      }
    }
    return new LogBus(options);
  }

  open(name: string): Promise<LogTopic> {
    const known = this.#topics.get(name);
    if (known) return known;
    const opening = LogTopic.open(this.#directoryOf(name), this.#options);
    this.#topics.set(name, opening);
    opening.catch(() => this.#topics.delete(name));
    return opening;
  }

  async delete(name: string): Promise<void> {
    const directory = this.#directoryOf(name);
    const topic = this.#topics.get(name);
    this.#topics.delete(name);
    await (await topic)?.close(0);
    const removed = `${directory}${removedSuffix}`;
    try {
      await rename(directory, removed);
    } catch (error) {
      if (!(await this.stored()).includes(name)) return;
      throw error;
    }
    await rm(removed, { recursive: true, force: true });
  }

  async stored(): Promise<string[]> {
    const names = await readdir(this.#options.directory);
    return names.filter((name) => topicName.test(name));
  }

  async close(graceMs: number): Promise<void> {
    const topics = await Promise.allSettled(this.#topics.values());
    this.#topics.clear();
    await Promise.all(
      topics.flatMap((topic) => (topic.status === 'fulfilled' ? [topic.value.close(graceMs)] : [])),
    );
  }

  #directoryOf(name: string): string {
    if (!topicName.test(name)) throw new RangeError(`${JSON.stringify(name)} is not a topic name`);
    return join(this.#options.directory, name);
  }
}

class LogTopic implements Topic {
  readonly #log: EventLog;
  readonly #offsets: OffsetFile;
  readonly #options: LogBusOptions;
  readonly #logger: Logger;
  readonly #subscriptions = new Map<string, LogSubscription>();
  #cancelTrim: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  private constructor(log: EventLog, offsets: OffsetFile, options: LogBusOptions, logger: Logger) {
    this.#log = log;
    this.#offsets = offsets;
    this.#options = options;
    this.#logger = logger;
    this.#scheduleTrim();
  }

  static async open(directory: string, options: LogBusOptions): Promise<LogTopic> {
    const { clock } = options;
    const logger = options.log.child({ topic: directory });
    const log = await EventLog.open(directory, {
      ...options.limits,
      clock,
      log: logger,
      readByAll: () => offsets.smallest(log.nextOffset),
    });
    const offsets = await OffsetFile.open(join(directory, 'groups.json'), clock, logger);
    return new LogTopic(log, offsets, options, logger);
  }

  async append(message: BusMessage): Promise<void> {
    await this.#log.append(encodeEnvelope(message));
  }

  async createGroup(group: string): Promise<void> {
    if (this.#offsets.get(group) === undefined) this.#offsets.set(group, this.#log.nextOffset);
    await this.#offsets.save();
  }

  async deleteGroup(group: string): Promise<void> {
    await this.#subscriptions.get(group)?.close(0);
    this.#subscriptions.delete(group);
    this.#offsets.delete(group);
    await this.#offsets.save();
  }

  lag(): readonly GroupLag[] {
    return this.#offsets
      .groups()
      .map((group) => ({ group, lag: this.#log.nextOffset - (this.#offsets.get(group) ?? 0) }));
  }

  subscribe(group: string, options: SubscribeOptions): Subscription {
    const start = this.#offsets.get(group);
    if (start === undefined) throw new RangeError(`group ${group} does not exist`);
    if (this.#subscriptions.has(group)) throw new RangeError(`group ${group} already has a subscription`);
    const subscription = new LogSubscription(
      {
        log: this.#log,
        // Never past the end: events yet to come must not be taken for delivered ones.
        start: Math.min(start, this.#log.nextOffset),
        clock: this.#options.clock,
        logger: this.#logger.child({ group }),
        // A group that was deleted meanwhile must not come back by the commit of its last event.
        commit: (offset) => {
          if (this.#offsets.get(group) !== undefined) this.#offsets.set(group, offset);
        },
      },
      options,
    );
    this.#subscriptions.set(group, subscription);
    return {
      close: async (graceMs) => {
        await subscription.close(graceMs);
        if (this.#subscriptions.get(group) === subscription) this.#subscriptions.delete(group);
      },
    };
  }

  close(graceMs: number): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  async #close(graceMs: number): Promise<void> {
    this.#cancelTrim?.();
    await Promise.all([...this.#subscriptions.values()].map((subscription) => subscription.close(graceMs)));
    await this.#log.close();
    await this.#offsets.close().catch((error: unknown) => {
      // Only means that some events are delivered twice.
      this.#logger.warn({ error: messageOf(error) }, 'consumer offsets not saved at close');
    });
  }

  #scheduleTrim(): void {
    this.#cancelTrim = this.#options.clock.after(trimIntervalMs, () => {
      this.#log
        .trim()
        .catch((error: unknown) => this.#logger.warn({ error: messageOf(error) }, 'old events not removed'))
        .finally(() => {
          if (!this.#closing) this.#scheduleTrim();
        });
    });
  }
}
