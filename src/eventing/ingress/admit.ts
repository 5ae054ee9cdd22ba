/** What a broker adds to an event that it takes in. Pure. */
import { withAttributes, type CloudEvent } from '../cloudevents/event.ts';
import { KnapsackError } from '../../base/errors.ts';

/** How many brokers an event may still go through; stops loops of replies. */
export const ttlAttribute = 'knativebrokerttl';
/** When the broker took the event in, RFC 3339. Subscribers see it. */
const arrivalAttribute = 'knativearrivaltime';

const maxTtl = 255;

/** The TTL that an event carries, or undefined when it carries none that can be read. */
function ttlOf(event: CloudEvent): number | undefined {
  const value = event.attributes[ttlAttribute];
  if (typeof value === 'number') return value;
  return typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : undefined;
}

/**
 * The event as the broker stores it: TTL 255 or one less than it had, and the time of arrival.
 * @throws KnapsackError EVENTING_EVENT_EXPIRED when the TTL is used up.
 */
export function admit(event: CloudEvent, now: number): CloudEvent {
  const ttl = ttlOf(event);
  const next = ttl === undefined ? maxTtl : ttl - 1;
  if (next <= 0) {
    throw new KnapsackError(
      'EVENTING_EVENT_EXPIRED',
      `event ${event.attributes.id} of ${event.attributes.source} has ${ttlAttribute} ${ttl}: it goes no further`,
    );
  }
  return withAttributes(event, { [ttlAttribute]: next, [arrivalAttribute]: new Date(now).toISOString() });
}
