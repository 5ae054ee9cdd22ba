/** Tokens in the files of pods: each is kept until most of its time is over (kubernetes pkg/kubelet/token). */
import type { Clock } from '../base/clock.ts';
import type { TokenSource } from './volume-files.ts';

interface Kept {
  readonly token: Promise<string>;
  readonly podUid: string;
  /** From then on it is asked for anew, milliseconds since the epoch. */
  readonly staleAt: number;
}

/** The part of its time that a token is used for; the rest is for whoever has read it just before. */
const usedPart = 0.8;
const maxUsedMs = 24 * 3600 * 1000;

export class PodTokens {
  readonly #source: TokenSource;
  readonly #clock: Clock;
  readonly #kept = new Map<string, Kept>();

  constructor(source: TokenSource, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
  }

  /** As {@link TokenSource}: a kept one, or a new one. */
  readonly get: TokenSource = (request) => {
    const { pod, serviceAccount, audience = '', expirationSeconds } = request;
    const key = [pod.uid, serviceAccount, audience, expirationSeconds].join('\n');
    const kept = this.#kept.get(key);
    if (kept && kept.staleAt > this.#clock.now()) return kept.token;
    const token = this.#source(request);
    const usedMs = Math.min(expirationSeconds * 1000 * usedPart, maxUsedMs);
    this.#kept.set(key, { token, podUid: pod.uid, staleAt: this.#clock.now() + usedMs });
    token.catch(() => this.#kept.delete(key));
    return token;
  };

  /** Uids of pods with a token that should be replaced now. Forgets tokens of pods that are not `live`. */
  stale(live: ReadonlySet<string>): Set<string> {
    const out = new Set<string>();
    const now = this.#clock.now();
    for (const [key, { podUid, staleAt }] of this.#kept) {
      if (!live.has(podUid)) this.#kept.delete(key);
      else if (staleAt <= now) out.add(podUid);
    }
    return out;
  }
}
