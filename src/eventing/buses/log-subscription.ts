/** Delivers one group's events from the log: a bounded number at once, commits only behind an unbroken run. */
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { EventLog } from '../log/event-log.ts';
import { ContiguousOffset } from '../log/offsets.ts';
import type { LogRecord } from '../log/record.ts';
import { decodeEnvelope } from './envelope.ts';
import type { BusMessage, SubscribeOptions, Subscription } from './bus.ts';

/** Bytes of events in memory per subscription at most (one event may be larger). */
const maxInFlightBytes = 16 * 1024 * 1024;
/** How far delivery may run ahead of the oldest unfinished event: what a crash would deliver a second time. */
const maxAhead = 10_000;
/** Pause before an event is given again to a handler that threw, or the log is read again after an error, ms. */
const retryDelayMs = 1000;

export interface LogSubscriptionParts {
  readonly log: EventLog;
  readonly start: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** All events before `offset` are dealt with. */
  readonly commit: (offset: number) => void;
}

export class LogSubscription implements Subscription {
  readonly #parts: LogSubscriptionParts;
  readonly #options: SubscribeOptions;
  readonly #offsets: ContiguousOffset;
  /** Aborted: take nothing new. */
  readonly #stop = new AbortController();
  /** Aborted: end what is under way. */
  readonly #abort = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #bytes = 0;
  /** Offset of the record that comes next when none is missing. */
  #expected: number;
  #wakeSlot: (() => void) | undefined;
  readonly #loop: Promise<void>;

  constructor(parts: LogSubscriptionParts, options: SubscribeOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#offsets = new ContiguousOffset(parts.start);
    this.#expected = parts.start;
    this.#loop = this.#run();
  }

  async close(graceMs: number): Promise<void> {
    this.#stop.abort();
    this.#wakeSlot?.();
    await this.#loop;
    const cancel = this.#parts.clock.after(graceMs, () => this.#abort.abort());
    await Promise.all(this.#running);
    cancel();
  }

  async #run(): Promise<void> {
    const { log, logger } = this.#parts;
    const cursor = log.cursor(this.#offsets.committed);
    while (!this.#stop.signal.aborted) {
      try {
        const records = await cursor.next();
        const first = records[0];
        if (!first) {
          await log.reaches(cursor.offset, this.#stop.signal);
          if (log.closed) break;
          continue;
        }
        // Records lost to retention or to damage must not hold back the commit for ever.
        for (let gone = this.#expected; gone < first.offset; gone++) this.#offsets.done(gone);
        this.#parts.commit(this.#offsets.committed);
        for (const record of records) {
          await this.#slot(record);
          if (this.#stop.signal.aborted) break;
          this.#start(record);
        }
      } catch (error) {
        logger.error({ error: messageOf(error) }, 'event log cannot be read, trying again');
        await this.#pause(this.#stop.signal);
      }
    }
    await cursor.close();
  }

  #start(record: LogRecord): void {
    this.#expected = record.offset + 1;
    const size = record.payload.length;
    this.#bytes += size;
    const run = this.#deliver(record).finally(() => {
      this.#bytes -= size;
      this.#running.delete(run);
      this.#wakeSlot?.();
    });
    this.#running.add(run);
  }

  /** Resolves when the event is dealt with and committed, or when the subscription ended first. Never throws. */
  async #deliver(record: LogRecord): Promise<void> {
    if (await this.#handle(record)) this.#parts.commit(this.#offsets.done(record.offset));
  }

  /** True when the event is dealt with. */
  async #handle(record: LogRecord): Promise<boolean> {
    const { offset, time } = record;
    const { logger } = this.#parts;
    let message: BusMessage;
    try {
      message = decodeEnvelope(record.payload);
    } catch (error) {
      logger.error({ offset, error: messageOf(error) }, 'stored event cannot be understood, skipped');
      return true;
    }
    while (!this.#abort.signal.aborted) {
      try {
        await this.#options.handle({ ...message, appendedAt: time, signal: this.#abort.signal });
        return true;
      } catch (error) {
        if (this.#stop.signal.aborted) return false;
        logger.error({ offset, error: messageOf(error) }, 'event handler failed, giving the event again');
        await this.#pause(this.#abort.signal);
      }
    }
    return false;
  }

  /** Resolves when the record may be delivered within the bounds, or the subscription stops. */
  async #slot(record: LogRecord): Promise<void> {
    while (
      !this.#stop.signal.aborted &&
      this.#running.size > 0 &&
      (this.#running.size >= Math.max(1, this.#options.maxInFlight()) ||
        this.#bytes + record.payload.length > maxInFlightBytes ||
        record.offset - this.#offsets.committed >= maxAhead)
    ) {
      await new Promise<void>((resolve) => {
        this.#wakeSlot = resolve;
      });
      this.#wakeSlot = undefined;
    }
  }

  #pause(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        cancel();
        signal.removeEventListener('abort', end);
        resolve();
      };
      const cancel = this.#parts.clock.after(retryDelayMs, end);
      signal.addEventListener('abort', end, { once: true });
    });
  }
}
