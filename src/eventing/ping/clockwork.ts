/** Fires PingSources: each firing goes into the source's own durable topic, and from there to the sink with retries. */
import { randomUUID } from 'node:crypto';
import { pingEventSource, pingEventType, type PingSource } from '../../api/sources/pingsource.ts';
import type { Schedule } from '../../api/sources/schedule.ts';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Bus, Subscription, Topic } from '../buses/bus.ts';
import type { Attributes, CloudEvent } from '../cloudevents/event.ts';
import type { DeliveryPlan, Dispatcher } from '../dispatcher/dispatcher.ts';
import { Limiter } from '../dispatcher/limiter.ts';

const topicPrefix = 'pingsource-';
const group = 'sink';
/** Timers cannot count further, and the machine's clock may be set meanwhile: look again at least so often, ms. */
const maxTimerMs = 3_600_000;
/** Requests of one source under way at once. */
const maxRequests = 8;

export interface PingSettings {
  readonly schedule: Schedule;
  /** Schedule and time zone as text: a change of it starts the timer anew. */
  readonly scheduleText: string;
  readonly makeEvent: (now: number) => CloudEvent;
  readonly plan: DeliveryPlan;
}

interface Running {
  readonly uid: string;
  readonly topic: Topic;
  readonly subscription: Subscription;
  settings: PingSettings;
  cancelTimer: () => void;
}

export interface ClockworkParts {
  readonly bus: Bus;
  readonly dispatcher: Dispatcher;
  readonly clock: Clock;
  readonly log: Logger;
}

export class PingClockwork {
  readonly #parts: ClockworkParts;
  readonly #running = new Map<string, Running>();
  /** Sources that have a topic, running or stopped: key → uid. */
  readonly #stored = new Map<string, string>();

  constructor(parts: ClockworkParts) {
    this.#parts = parts;
  }

  /** Starts a source, or changes how it fires and where to. */
  async start(key: string, uid: string, settings: PingSettings): Promise<void> {
    const known = this.#running.get(key);
    if (known?.uid === uid) {
      const rescheduled = known.settings.scheduleText !== settings.scheduleText;
      known.settings = settings;
      if (rescheduled) this.#schedule(known);
      return;
    }
    if (this.#stored.get(key) !== uid) await this.remove(key);
    this.#stored.set(key, uid);
    const topic = await this.#parts.bus.open(topicPrefix + uid);
    await topic.createGroup(group);
    const limiter = new Limiter(() => maxRequests);
    const running: Running = {
      uid,
      topic,
      settings,
      cancelTimer: () => undefined,
      subscription: topic.subscribe(group, {
        maxInFlight: () => 100,
        handle: (delivery) => this.#parts.dispatcher.deliver(delivery, () => running.settings.plan, limiter),
      }),
    };
    this.#running.set(key, running);
    this.#schedule(running);
  }

  /** Stops firing and delivering; what has fired stays stored. */
  async stop(key: string): Promise<void> {
    const known = this.#running.get(key);
    if (!known) return;
    this.#running.delete(key);
    known.cancelTimer();
    await known.subscription.close(0);
  }

  /** Stops and forgets what has fired. */
  async remove(key: string): Promise<void> {
    await this.stop(key);
    const uid = this.#stored.get(key);
    if (uid === undefined) return;
    await this.#parts.bus.delete(topicPrefix + uid);
    this.#stored.delete(key);
  }

  /** Removes what sources that are gone left behind. */
  async removeOrphans(exists: (uid: string) => boolean): Promise<void> {
    for (const name of await this.#parts.bus.stored()) {
      if (!name.startsWith(topicPrefix) || exists(name.slice(topicPrefix.length))) continue;
      await this.#parts.bus.delete(name);
    }
  }

  /** Stops all timers; the bus closes the deliveries. */
  close(): void {
    for (const running of this.#running.values()) running.cancelTimer();
    this.#running.clear();
  }

  #schedule(running: Running): void {
    running.cancelTimer();
    const { clock } = this.#parts;
    const due = running.settings.schedule.next(clock.now());
    if (due === undefined) return;
    const wait = (): void => {
      const left = due - clock.now();
      if (left <= 0) {
        this.#fire(running);
        this.#schedule(running);
        return;
      }
      running.cancelTimer = clock.after(Math.min(left, maxTimerMs), wait);
    };
    wait();
  }

  #fire({ topic, settings }: Running): void {
    const { clock, log } = this.#parts;
    topic
      .append({ event: settings.makeEvent(clock.now()), headers: {} })
      .catch((error: unknown) =>
        log.error(
          { source: settings.plan.name, error: messageOf(error) },
          'ping source cannot store its event',
        ),
      );
  }
}

/** The event of one firing. */
export function makePingEvent(source: PingSource, now: number): CloudEvent {
  const { namespace = '', name } = source.metadata;
  const { data, dataBase64, contentType, ceOverrides } = source.spec ?? {};
  const extensions = Object.entries(ceOverrides?.extensions ?? {}).map(
    ([name, value]) => [name.toLowerCase(), value] as const,
  );
  const attributes: Attributes = {
    ...Object.fromEntries(extensions),
    specversion: '1.0',
    id: randomUUID(),
    source: pingEventSource(namespace, name),
    type: pingEventType,
    time: new Date(now).toISOString(),
    ...(contentType && { datacontenttype: contentType }),
  };
  return { attributes, data: dataBase64 ? Buffer.from(dataBase64, 'base64') : Buffer.from(data ?? '') };
}
