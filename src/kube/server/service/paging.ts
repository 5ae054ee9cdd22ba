/** Continue tokens: each names a frozen list of records, so that all pages show one moment. */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../../base/clock.ts';
import { badRequest, expired } from './errors.ts';
import type { Served } from './requests.ts';

export interface Snapshot {
  /** What the list was of: a token works only for the same question. */
  readonly question: string;
  readonly records: readonly Served[];
  readonly resourceVersion: string;
}

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

  /** Keeps a snapshot and gives the token that continues it at `offset`. */
  keep(snapshot: Snapshot, offset: number): string {
    const id = randomUUID();
    this.#put(id, snapshot);
    return tokenOf(id, offset);
  }

  /** The snapshot behind a token. Throws 410 when it is gone and 400 when the token is not one of ours. */
  resume(
    token: string,
    question: string,
  ): { snapshot: Snapshot; offset: number; readonly next: (offset: number) => string } {
    const match = /^([0-9a-f-]{36})\.(\d{1,9})$/.exec(Buffer.from(token, 'base64url').toString());
    if (!match) throw badRequest('continue key is not valid: it was not given out by this server');
    const [, id = '', offset = ''] = match;
    const kept = this.#kept.get(id);
    if (!kept || kept.until < this.#clock.now()) {
      this.#kept.delete(id);
      throw expired(
        'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.',
      );
    }
    if (kept.snapshot.question !== question) {
      throw badRequest('continue key is not valid: it belongs to a list with other parameters');
    }
    this.#put(id, kept.snapshot);
    return { snapshot: kept.snapshot, offset: Number(offset), next: (at) => tokenOf(id, at) };
  }

  #put(id: string, snapshot: Snapshot): void {
    this.#kept.delete(id);
    this.#kept.set(id, { snapshot, until: this.#clock.now() + lifetimeMs });
    for (const [oldest, { until }] of this.#kept) {
      if (this.#kept.size <= maxSnapshots && until >= this.#clock.now()) break;
      this.#kept.delete(oldest);
    }
  }
}

function tokenOf(id: string, offset: number): string {
  return Buffer.from(`${id}.${offset}`).toString('base64url');
}
