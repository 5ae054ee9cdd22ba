/**
 * Brings one event to one subscriber: attempts, waits between them, the reply, the dead letter sink. Ends when the event
 * is dealt with for good; throws only when it was told to stop first.
 */
import type { Clock } from '../../base/clock.ts';
import { KnapsackError, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { BusMessage, Delivery } from '../buses/bus.ts';
import { InvalidEventError, withAttributes, type CloudEvent } from '../cloudevents/event.ts';
import { decodeHttp, encodeBinary, encodeStructured, modeOf } from '../cloudevents/http.ts';
import { ttlAttribute } from '../ingress/admit.ts';
import { forwardedHeaders } from './forwarded-headers.ts';
import type { Limiter } from './limiter.ts';
import { nextWait, type Attempt, type RetryPolicy } from './retry.ts';
import type { Sender, SendResult } from './sender.ts';

/** Where an event goes. */
export interface Target {
  readonly url: string;
  /** PEM. */
  readonly caCerts?: string | undefined;
}

export interface DeliveryPolicy extends RetryPolicy {
  /** Of one request, ms. Absent: {@link defaultTimeoutMs}. */
  readonly timeoutMs?: number | undefined;
  /** Content mode of what the subscriber gets. Default binary. */
  readonly format?: 'binary' | 'json' | undefined;
}

/** How events of one trigger or source are delivered. */
export interface DeliveryPlan {
  /** For logs: `trigger default/hello`. */
  readonly name: string;
  readonly namespace: string;
  readonly subscriber: Target;
  readonly policy: DeliveryPolicy;
  readonly deadLetterSink?: Target | undefined;
  /** Takes the subscriber's answer, when that is an event. Absent: answers are dropped. */
  readonly reply?:
    | { readonly url: string; readonly append: (message: BusMessage) => Promise<void> }
    | undefined;
}

/** A function that wakes from zero is slow, not failed: as long as the longest request that Serving allows. */
const defaultTimeoutMs = 600_000;

/** Length of the `knativeerrordata` extension at most (knative/eventing cuts the encoded text). */
const errorDataLength = 1024;

/** Why an event could not be delivered, as the dead letter sink is told. */
interface Failure {
  readonly destination: string;
  readonly code: number;
  readonly body: Buffer;
}

type Outcome = { readonly failure: Failure } | { readonly failure?: undefined; readonly reply?: BusMessage };

export interface DispatcherParts {
  readonly sender: Sender;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Dispatcher {
  readonly #parts: DispatcherParts;

  constructor(parts: DispatcherParts) {
    this.#parts = parts;
  }

  /**
   * `plan` is asked before each attempt, so that a changed subscriber gets the events that the old one refused.
   * `limiter` bounds the requests under way; waits between attempts do not count.
   * @throws the signal's reason when `delivery.signal` aborts first.
   */
  async deliver(delivery: Delivery, plan: () => DeliveryPlan, limiter: Limiter): Promise<void> {
    const outcome = await this.#withReply(delivery, plan, limiter);
    if (!outcome.failure) return;
    const { name, deadLetterSink } = plan();
    const { id, source, type } = delivery.event.attributes;
    const { destination, code } = outcome.failure;
    const fields = { delivery: name, id, source, type, destination, status: code };
    if (!deadLetterSink) {
      this.#parts.log.warn(fields, 'event given up: delivery failed and there is no dead letter sink');
      return;
    }
    const letter = { ...delivery, event: withAttributes(delivery.event, errorExtensions(outcome.failure)) };
    const second = await this.#attempts(letter, deadLetterPlan(plan, deadLetterSink), limiter);
    if (second.failure) {
      this.#parts.log.error(
        { ...fields, deadLetterSink: deadLetterSink.url, deadLetterStatus: second.failure.code },
        'event given up: neither subscriber nor dead letter sink took it',
      );
    } else {
      this.#parts.log.info(fields, 'event sent to the dead letter sink');
    }
  }

  async #withReply(delivery: Delivery, plan: () => DeliveryPlan, limiter: Limiter): Promise<Outcome> {
    // The subscriber does not see the TTL; its answer inherits it (knative/eventing pkg/broker/filter).
    const ttl = delivery.event.attributes[ttlAttribute];
    const visible = { ...delivery, event: withAttributes(delivery.event, { [ttlAttribute]: undefined }) };
    const outcome = await this.#attempts(visible, plan, limiter);
    const target = plan().reply;
    if (outcome.failure || !outcome.reply || !target) return outcome;
    const event = withAttributes(outcome.reply.event, { [ttlAttribute]: ttl });
    return this.#appendReply({ ...outcome.reply, event }, delivery.signal, plan);
  }

  /** Sends until it works or the policy gives up. */
  async #attempts(delivery: Delivery, plan: () => DeliveryPlan, limiter: Limiter): Promise<Outcome> {
    for (let retries = 0; ; retries++) {
      const outcome = await limiter.run(delivery.signal, () => this.#attempt(delivery, plan()));
      delivery.signal.throwIfAborted();
      if (!outcome.failed) return outcome.outcome;
      const { name, policy } = plan();
      const wait = nextWait(policy, retries, outcome.attempt, this.#parts.clock.now());
      if (wait === undefined) return outcome.outcome;
      this.#parts.log.debug(
        { delivery: name, retries, wait, status: outcome.attempt.status },
        'event delivery failed, trying again',
      );
      await this.#pause(wait, delivery.signal);
    }
  }

  async #attempt(
    delivery: Delivery,
    plan: DeliveryPlan,
  ): Promise<{ failed: boolean; attempt: Attempt; outcome: Outcome }> {
    const { subscriber, policy } = plan;
    const result = await this.#parts.sender.send({
      url: subscriber.url,
      caCerts: subscriber.caCerts,
      message: policy.format === 'json' ? encodeStructured(delivery.event) : encodeBinary(delivery.event),
      headers: { ...delivery.headers, prefer: 'reply', 'kn-namespace': plan.namespace },
      timeoutMs: policy.timeoutMs ?? defaultTimeoutMs,
      signal: delivery.signal,
    });
    const judged = judge(result, subscriber.url, delivery.headers);
    const retryAfter = result.status === undefined ? undefined : result.headers['retry-after'];
    const status = result.status === undefined ? undefined : judged.failure?.code;
    return {
      failed: judged.failure !== undefined,
      attempt: { status, retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined },
      outcome: judged,
    };
  }

  /** Stores the answer, with the waits of the policy when the bus cannot take it now. */
  async #appendReply(message: BusMessage, signal: AbortSignal, plan: () => DeliveryPlan): Promise<Outcome> {
    for (let retries = 0; ; retries++) {
      const { reply, policy } = plan();
      if (!reply) return {};
      try {
        await reply.append(message);
        return {};
      } catch (error) {
        const code = error instanceof KnapsackError ? error.entry.status : 500;
        const wait = nextWait(policy, retries, { status: code }, this.#parts.clock.now());
        if (wait === undefined) {
          return { failure: { destination: reply.url, code, body: Buffer.from(messageOf(error)) } };
        }
        await this.#pause(wait, signal);
      }
    }
  }

  /** @throws the signal's reason when it aborts first. */
  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        cancel();
        reject(signal.reason as Error);
      };
      const cancel = this.#parts.clock.after(ms, () => {
        signal.removeEventListener('abort', stop);
        resolve();
      });
      if (signal.aborted) stop();
      else signal.addEventListener('abort', stop, { once: true });
    });
  }
}

/** What an answer means. A 2xx may be empty or an event; anything else in it is a fault of the subscriber (502). */
function judge(result: SendResult, destination: string, requestHeaders: Delivery['headers']): Outcome {
  if (result.status === undefined) {
    return { failure: { destination, code: 500, body: Buffer.from(`dispatch error: ${result.error}`) } };
  }
  const { status, headers, body } = result;
  if (status < 200 || status > 299) return { failure: { destination, code: status, body } };
  if (modeOf(headers) === 'none' && body.length === 0) return {};
  let event: CloudEvent;
  try {
    event = decodeHttp(headers, body);
  } catch (error) {
    if (!(error instanceof InvalidEventError)) throw error;
    const reason = `a subscriber answers with nothing or with a CloudEvent; this answer is neither: ${error.message}`;
    return { failure: { destination, code: 502, body: Buffer.from(reason) } };
  }
  return { reply: { event, headers: { ...requestHeaders, ...forwardedHeaders(headers) } } };
}

function errorExtensions({ destination, code, body }: Failure): Record<string, string | number> {
  return {
    knativeerrordest: destination,
    knativeerrorcode: code,
    ...(body.length > 0 ? { knativeerrordata: body.toString('base64').slice(0, errorDataLength) } : {}),
  };
}

function deadLetterPlan(plan: () => DeliveryPlan, sink: Target): () => DeliveryPlan {
  return () => {
    const current = plan();
    const policy = { ...current.policy, format: undefined };
    return { ...current, policy, subscriber: current.deadLetterSink ?? sink, reply: undefined };
  };
}
