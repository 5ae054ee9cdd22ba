/** The triggers that deliver now: one consumer group each, whose settings may change under running deliveries. */
import type { Delivery, Subscription, Topic } from '../buses/bus.ts';
import type { DeliveryPlan, Dispatcher } from '../dispatcher/dispatcher.ts';
import { Limiter } from '../dispatcher/limiter.ts';
import type { Filter } from '../filter/filter.ts';

/** What a trigger wants at the moment. */
export interface TriggerSettings {
  readonly filter: Filter;
  readonly plan: DeliveryPlan;
  /** One event at a time, in the order of the log. */
  readonly ordered: boolean;
}

interface Active {
  readonly uid: string;
  readonly topic: Topic;
  readonly subscription: Subscription;
  settings: TriggerSettings;
}

/** Requests of one trigger under way at once. */
const maxRequests = 64;
/** Events of one trigger in delivery at once: the requests, and those that wait for their next attempt. */
const maxInFlight = 1000;

export class TriggerSubscriptions {
  readonly #dispatcher: Dispatcher;
  readonly #active = new Map<string, Active>();

  constructor(dispatcher: Dispatcher) {
    this.#dispatcher = dispatcher;
  }

  /**
   * Delivers the topic's events to the trigger `key`, or changes how. Events that are being retried take the new
   * settings at their next attempt; none is lost. The group `uid` must exist.
   */
  async activate(key: string, uid: string, topic: Topic, settings: TriggerSettings): Promise<void> {
    const known = this.#active.get(key);
    if (known?.uid === uid && known.topic === topic) {
      known.settings = settings;
      return;
    }
    await this.deactivate(key);
    const limiter = new Limiter(() => (active.settings.ordered ? 1 : maxRequests));
    const subscription = topic.subscribe(uid, {
      maxInFlight: () => (active.settings.ordered ? 1 : maxInFlight),
      handle: (delivery) => this.#handle(active, delivery, limiter),
    });
    const active: Active = { uid, topic, subscription, settings };
    this.#active.set(key, active);
  }

  /** Stops delivering; the group keeps its place. Events under way are delivered again after the next `activate`. */
  async deactivate(key: string): Promise<void> {
    const known = this.#active.get(key);
    if (!known) return;
    this.#active.delete(key);
    await known.subscription.close(0);
  }

  async #handle(active: Active, delivery: Delivery, limiter: Limiter): Promise<void> {
    if (!active.settings.filter(delivery.event.attributes)) return;
    await this.#dispatcher.deliver(delivery, () => active.settings.plan, limiter);
  }
}
