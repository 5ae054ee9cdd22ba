/** The brokers that take events now, and the topic of each. Reconcilers fill it; the ingress reads it per request. */
import type { Clock } from '../../base/clock.ts';
import type { Bus, BusMessage, Topic } from '../buses/bus.ts';
import type { IngressTarget } from '../ingress/server.ts';
import { admit } from '../ingress/admit.ts';

const topicPrefix = 'broker-';

interface OpenBroker {
  readonly uid: string;
  readonly topic: Topic;
}

export class BrokerTopics {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #exists: (key: string) => boolean | undefined;
  readonly #open = new Map<string, OpenBroker>();

  /** `exists` tells whether the API has a broker of that key (`namespace/name`); undefined while that is not known. */
  constructor(bus: Bus, clock: Clock, exists: (key: string) => boolean | undefined) {
    this.#bus = bus;
    this.#clock = clock;
    this.#exists = exists;
  }

  /** Lets a broker take events. A broker of the same name and another uid is another broker: its events are gone. */
  async open(key: string, uid: string): Promise<Topic> {
    const known = this.#open.get(key);
    if (known?.uid === uid) return known.topic;
    if (known) await this.remove(key);
    const topic = await this.#bus.open(topicPrefix + uid);
    this.#open.set(key, { uid, topic });
    return topic;
  }

  /** The topic of a broker that is open with this uid. */
  get(key: string, uid: string): Topic | undefined {
    const known = this.#open.get(key);
    return known?.uid === uid ? known.topic : undefined;
  }

  /** Refuses events from now on and removes those that are stored. */
  async remove(key: string): Promise<void> {
    const known = this.#open.get(key);
    if (!known) return;
    this.#open.delete(key);
    await this.#bus.delete(topicPrefix + known.uid);
  }

  /** Removes stored topics of brokers that are gone: a crash came between the broker's deletion and its topic's. */
  async removeOrphans(exists: (uid: string) => boolean): Promise<void> {
    for (const name of await this.#bus.stored()) {
      if (!name.startsWith(topicPrefix) || exists(name.slice(topicPrefix.length))) continue;
      await this.#bus.delete(name);
    }
  }

  lookup(namespace: string, name: string): IngressTarget {
    const key = `${namespace}/${name}`;
    const known = this.#open.get(key);
    if (known) return { append: (message) => known.topic.append(message) };
    return this.#exists(key) === false ? 'unknown' : 'starting';
  }

  /** Takes an event as the ingress does: a reply of a subscriber, with its TTL. */
  async reply(key: string, uid: string, message: BusMessage): Promise<void> {
    await this.get(key, uid)?.append({ ...message, event: admit(message.event, this.#clock.now()) });
  }
}
