/**
 * One priority level: how many of its requests run at once, and the queues of those that wait. A flow is dealt a hand of
 * the queues by its hash and waits in the shortest of them, so that one that floods the level fills its own hand alone;
 * seats that come free go to the queues in turn.
 */
import { createHash } from 'node:crypto';
import { ApiError } from '../../api-error.ts';

export interface Limits {
  readonly seats: number;
  /** Absent: whoever finds no seat is refused. */
  readonly queuing?: { readonly queues: number; readonly handSize: number; readonly lengthLimit: number };
}

/** Gives the seat back. May be called again, to no effect. */
export type Release = () => void;

interface Waiting {
  readonly grant: () => void;
}

/** A request waits no longer than this, ms: a quarter of what upstream gives a request. */
const maxWaitMs = 15_000;

function tooMany(): ApiError {
  return new ApiError('TooManyRequests', 'Too many requests, please try again later.', {
    retryAfterSeconds: 1,
  });
}

export class Level {
  #limits: Limits;
  #running = 0;
  /** By number; only those in which somebody waits. In the order in which their turn comes. */
  readonly #queues = new Map<number, Waiting[]>();

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** For the requests that come; those that wait or run are not touched. */
  set limits(limits: Limits) {
    this.#limits = limits;
    this.#fill();
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    let sum = 0;
    for (const queue of this.#queues.values()) sum += queue.length;
    return sum;
  }

  /** A seat at once, or a promise of one. Throws and rejects with 429; rejects when `signal` is aborted meanwhile. */
  enter(flow: string, signal: AbortSignal): Release | Promise<Release> {
    if (this.#running < this.#limits.seats && this.#queues.size === 0) return this.#seat();
    const { queuing } = this.#limits;
    if (!queuing) throw tooMany();
    const number = this.#shortest(flow, queuing.queues, queuing.handSize);
    const queue = this.#queues.get(number) ?? [];
    if (queue.length >= queuing.lengthLimit) throw tooMany();
    this.#queues.set(number, queue);
    return this.#wait(number, queue, signal);
  }

  #wait(number: number, queue: Waiting[], signal: AbortSignal): Promise<Release> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', gone);
      };
      const waiting: Waiting = {
        grant: () => {
          leave();
          resolve(this.#seat());
        },
      };
      const refuse = (): void => {
        leave();
        const at = queue.indexOf(waiting);
        if (at >= 0) queue.splice(at, 1);
        if (queue.length === 0) this.#queues.delete(number);
        reject(tooMany());
      };
      const gone = refuse;
      const timer = setTimeout(refuse, maxWaitMs);
      signal.addEventListener('abort', gone, { once: true });
      queue.push(waiting);
    });
  }

  #seat(): Release {
    this.#running++;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#running--;
      this.#fill();
    };
  }

  #fill(): void {
    for (const [number, queue] of this.#queues) {
      if (this.#running >= this.#limits.seats) return;
      // Its next turn comes after that of all others.
      this.#queues.delete(number);
      const first = queue.shift();
      if (queue.length > 0) this.#queues.set(number, queue);
      first?.grant();
    }
  }

  #shortest(flow: string, queues: number, handSize: number): number {
    const hand = dealHand(flow, queues, handSize);
    let best = hand[0] ?? 0;
    for (const number of hand) if (this.#length(number) < this.#length(best)) best = number;
    return best;
  }

  #length(number: number): number {
    return this.#queues.get(number)?.length ?? 0;
  }
}

/** Different numbers below `queues`, which follow from the flow alone (shuffle sharding). Pure. */
export function dealHand(flow: string, queues: number, handSize: number): number[] {
  const digest = createHash('sha256').update(flow).digest();
  let hash = digest.readBigUInt64BE(0);
  const hand: number[] = [];
  for (let i = 0; i < Math.min(handSize, queues); i++) {
    const left = BigInt(queues - i);
    let card = Number(hash % left);
    hash /= left;
    // The card-th of those that are not dealt yet.
    for (const dealt of [...hand].sort((a, b) => a - b)) if (card >= dealt) card++;
    hand.push(card);
  }
  return hand;
}
