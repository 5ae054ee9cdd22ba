/**
 * Continue tokens: each names a frozen list of records, so that all pages show one moment. A token outlives its list: then it
 * still says where to go on in what there is now, which a client may choose to do.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../../base/clock.ts';
import { ApiError } from '../../api-error.ts';
import { badRequest } from './errors.ts';
import type { Served } from './requests.ts';

export interface Snapshot {
  /** What the list was of: a token works only for the same question. */
  readonly question: string;
  readonly records: readonly Served[];
  readonly resourceVersion: string;
}

/** What a token stands for. */
export type Continuation =
  | {
      readonly kind: 'snapshot';
      readonly snapshot: Snapshot;
      readonly offset: number;
      /** The token of a later page. */
      readonly next: (offset: number) => string;
    }
  /** Everything behind this key, as it is now. */
  | { readonly kind: 'behind'; readonly key: string };

interface Token {
  /** Absent: the list that it belonged to is given up. */
  readonly id?: string;
  readonly offset?: number;
  /** Key of the last object that was shown. */
  readonly key: string;
}

/** From the first page on, whoever reads how often: as long as etcd keeps a version before it is compacted. */
const lifetimeMs = 5 * 60_000;
/** Old versions stay in memory while a snapshot holds them. */
const maxSnapshots = 64;

export class Snapshots {
  readonly #clock: Clock;
  /** In order of last use. */
  readonly #kept = new Map<string, { snapshot: Snapshot; until: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Keeps a snapshot and gives the function that makes its tokens: each continues at an offset. */
  keep(snapshot: Snapshot): (offset: number) => string {
    const id = randomUUID();
    this.#put(id, snapshot, this.#clock.now() + lifetimeMs);
    return (offset) => tokenOf({ id, offset, key: keyAt(snapshot, offset) });
  }

  /**
   * What is behind a token. Throws 410 with another token, which goes on without the one moment, when the list is gone, and
   * 400 when the token is not one of ours.
   */
  resume(text: string, question: string): Continuation {
    const { id, offset = 0, key } = parseToken(text);
    if (id === undefined) return { kind: 'behind', key };
    const kept = this.#kept.get(id);
    if (!kept || kept.until < this.#clock.now()) {
      this.#kept.delete(id);
      throw new ExpiredList(tokenOf({ key }));
    }
    if (kept.snapshot.question !== question) {
      throw badRequest('continue key is not valid: it belongs to a list with other parameters');
    }
    const { snapshot } = kept;
    this.#put(id, snapshot, kept.until);
    const next = (at: number): string => tokenOf({ id, offset: at, key: keyAt(snapshot, at) });
    return { kind: 'snapshot', snapshot, offset, next };
  }

  #put(id: string, snapshot: Snapshot, until: number): void {
    this.#kept.delete(id);
    this.#kept.set(id, { snapshot, until });
    for (const [oldest, { until: end }] of this.#kept) {
      if (this.#kept.size <= maxSnapshots && end >= this.#clock.now()) break;
      this.#kept.delete(oldest);
    }
  }
}

/** 410 whose Status carries a token for the rest of the list, inconsistent with what came before. */
export class ExpiredList extends ApiError {
  readonly continue: string;

  constructor(token: string) {
    super(
      'Expired',
      'The provided continue parameter is too old to display a consistent list result. You can start a new list without ' +
        'the continue parameter, or use the continue token in this response to retrieve the remainder of the results. ' +
        'Continuing with the provided token results in an inconsistent list - objects that were created, modified, or ' +
        'deleted between the time the first chunk was returned and now may show up in the list.',
    );
    this.continue = token;
  }
}

/** The key that an object is stored and sorted by. */
export function keyOf({ object }: Served): string {
  const { namespace, name } = object.metadata;
  return namespace ? `${namespace}/${name}` : name;
}

function keyAt(snapshot: Snapshot, offset: number): string {
  const last = snapshot.records[offset - 1];
  return last ? keyOf(last) : '';
}

function tokenOf(token: Token): string {
  return Buffer.from(JSON.stringify(token)).toString('base64url');
}

function parseToken(text: string): Token {
  let token: Partial<Token> | null = null;
  try {
    token = JSON.parse(Buffer.from(text, 'base64url').toString()) as Partial<Token> | null;
  } catch {
    // Told below.
  }
  const { id, offset, key } = typeof token === 'object' && token !== null ? token : {};
  const isOurs =
    typeof key === 'string' &&
    (id === undefined || typeof id === 'string') &&
    (offset === undefined || (Number.isSafeInteger(offset) && offset >= 0));
  if (!isOurs) throw badRequest('continue key is not valid: it was not given out by this server');
  return token as Token;
}
