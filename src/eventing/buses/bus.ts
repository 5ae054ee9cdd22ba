/**
 * What carries events between a producer and its subscribers. The default bus is a log on this machine's disk
 * (`log-bus.ts`); a message broker can stand behind the same interface.
 *
 * The contract of every bus: `append` resolves only when the event will survive a crash; each consumer group sees every
 * event that was appended after it was created, at least once; groups do not disturb each other.
 */
import type { CloudEvent } from '../cloudevents/event.ts';

/** What is stored: the event, and those request headers that travel with it (trace context, `knative-…`). */
export interface BusMessage {
  readonly event: CloudEvent;
  /** Lower-case names. */
  readonly headers: { readonly [name: string]: string };
}

export interface Delivery extends BusMessage {
  /** When the event was appended, milliseconds since the epoch. */
  readonly appendedAt: number;
  /** Aborted when the subscription closes and its grace is over: end soon, and throw if the event is not dealt with. */
  readonly signal: AbortSignal;
}

export interface SubscribeOptions {
  /** Most deliveries under way at once, asked before each one. 1 keeps order. */
  maxInFlight(): number;
  /** Resolves: the event is dealt with for good. Throws: it is delivered again later. */
  handle(delivery: Delivery): Promise<void>;
}

export interface Subscription {
  /** Takes no new events, waits up to `graceMs` for those under way, then aborts them; they stay undelivered. */
  close(graceMs: number): Promise<void>;
}

/** How far behind a group is. */
export interface GroupLag {
  readonly group: string;
  /** Events appended and not yet dealt with. */
  readonly lag: number;
}

/** One ordered stream of events. */
export interface Topic {
  /**
   * Resolves when the event is stored for good.
   * @throws KnapsackError of the catalogue's `EVENTING_LOG_…` codes when it is not.
   */
  append(message: BusMessage): Promise<void>;
  /** Makes a consumer group that starts with the next event; resolves when that is durable. Keeps one that exists. */
  createGroup(group: string): Promise<void>;
  /** Ends the group's subscription, if any, and forgets the group. */
  deleteGroup(group: string): Promise<void>;
  lag(): readonly GroupLag[];
  /** Delivers to `options.handle` from where the group is. One subscription a group. The group must exist. */
  subscribe(group: string, options: SubscribeOptions): Subscription;
}

export interface Bus {
  /** Opens a topic, making it where there is none. The same name gives the same topic. */
  open(name: string): Promise<Topic>;
  /** Removes a topic with all its events and groups. */
  delete(name: string): Promise<void>;
  /** Names of the topics that are stored, opened or not. */
  stored(): Promise<string[]>;
  /** Closes all subscriptions (see {@link Subscription.close}) and topics. */
  close(graceMs: number): Promise<void>;
}
