/**
 * Keeps the rules of this machine's packet filter as the Services and EndpointSlices say. Changes are collected for a
 * moment and become one transaction; without a change of rules nothing is run at all.
 */
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { endpointSlices, services, type EndpointSlice, type Service } from '../../api/kubernetes/services.ts';
import { keyOf } from '../../api/object.ts';
import type { Informer, Informers } from '../../kube/client/informer.ts';
import { serviceNameLabel } from '../endpoints.ts';
import { makeTable, makeTableChange, makeTableRemoval, type ProxyPlace } from './nft.ts';
import type { RunNft } from './nft-program.ts';
import { isProxied, makeRules, mergeRules, type RuleSet } from './rules.ts';

/** What comes within this time after a first change is applied with it, ms. */
const collectMs = 30;
/** The least time from one transaction to the next, ms: a rollout of many pods must not run nft for each. */
const restMs = 300;
/** First and longest wait after a failure, ms. */
const firstRetryMs = 1000;
const longestRetryMs = 60_000;

export interface ProxyOptions {
  readonly informers: Informers;
  readonly clock: Clock;
  readonly log: Logger;
  readonly place: ProxyPlace;
  /** Where pods find what listens on this machine. */
  readonly hostAddress: string;
  readonly run: RunNft;
}

export class ServiceProxy {
  readonly #options: ProxyOptions;
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #unsubscribe: (() => void)[] = [];
  /** By key of the Service. */
  readonly #parts = new Map<string, RuleSet>();
  readonly #dirty = new Set<string>();
  /** What the table holds; undefined when that is not known. */
  #applied: RuleSet | undefined;
  #timer: (() => void) | undefined;
  #running: Promise<string | undefined> | undefined;
  #lastRun = -restMs;
  #retryMs = firstRetryMs;
  #closed = false;

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#services = options.informers.for(services);
    this.#slices = options.informers.for(endpointSlices);
  }

  /** Puts the rules in place as things are now. Returns why that cannot be done, for people; it is tried again then. */
  async start(): Promise<string | undefined> {
    await Promise.all([this.#services.synced(), this.#slices.synced()]);
    if (this.#closed) return undefined;
    this.#unsubscribe.push(
      this.#services.onChange(({ object }) => this.#changed(keyOf(object))),
      this.#slices.onChange(({ object }) => this.#onSlice(object)),
    );
    this.#timer?.();
    this.#timer = undefined;
    return this.#sync();
  }

  #onSlice({ metadata: { namespace, labels } }: EndpointSlice): void {
    const name = labels?.[serviceNameLabel];
    if (name === undefined) return;
    const key = `${namespace}/${name}`;
    const service = this.#services.get(key);
    // One that is not there yet comes with a change of its own.
    if (service && isProxied(service)) this.#changed(key);
  }

  #changed(key: string): void {
    if (this.#closed) return;
    this.#dirty.add(key);
    this.#schedule(collectMs);
  }

  #schedule(ms: number): void {
    if (this.#timer || this.#running || this.#closed) return;
    const { clock } = this.#options;
    // A clock that was set back must not make the wait longer.
    const rest = Math.min(this.#lastRun + restMs - clock.now(), restMs);
    this.#timer = clock.after(Math.max(ms, rest), () => {
      this.#timer = undefined;
      void this.#sync();
    });
  }

  #sync(): Promise<string | undefined> {
    this.#running = this.#apply()
      .catch((error: unknown) => {
        // Nothing in an object may end the process; the next change begins with a new table.
        const problem = messageOf(error);
        this.#options.log.error({ problem }, 'rules for the addresses of Services failed by a defect');
        return problem;
      })
      .finally(() => {
        this.#running = undefined;
        if (this.#dirty.size > 0) this.#schedule(collectMs);
      });
    return this.#running;
  }

  async #apply(): Promise<string | undefined> {
    const { place, run, clock, log } = this.#options;
    const before = this.#applied;
    this.#applied = undefined;
    const wanted = this.#wanted();
    const script = before ? makeTableChange(place.tag, before, wanted) : makeTable(place, wanted);
    if (script === '') {
      this.#applied = wanted;
      return undefined;
    }
    const problem = await run(script);
    this.#lastRun = clock.now();
    if (problem === undefined) {
      this.#applied = wanted;
      this.#retryMs = firstRetryMs;
      return undefined;
    }
    if (this.#closed) return problem;
    // Somebody may have removed the table: the next attempt makes it anew.
    const retryMs = before ? 0 : this.#retryMs;
    log.warn({ problem, retryMs }, 'rules for the addresses of Services not applied');
    if (!before) this.#retryMs = Math.min(this.#retryMs * 2, longestRetryMs);
    this.#timer = clock.after(Math.max(retryMs, restMs), () => {
      this.#timer = undefined;
      void this.#sync();
    });
    return problem;
  }

  /** All rules as of now. Only those of Services that changed are made anew. */
  #wanted(): RuleSet {
    const { hostAddress } = this.#options;
    for (const key of this.#dirty) {
      this.#dirty.delete(key);
      const service = this.#services.get(key);
      if (!service || !isProxied(service)) {
        this.#parts.delete(key);
        continue;
      }
      const { namespace = '', name } = service.metadata;
      const slices = this.#slices.list({ namespace, labels: { [serviceNameLabel]: name } });
      this.#parts.set(key, makeRules(service, slices, { hostAddress }));
    }
    return mergeRules(this.#parts.values());
  }

  /** Removes the rules. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.();
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    await this.#running;
    const problem = await this.#options.run(makeTableRemoval(this.#options.place.tag));
    if (problem !== undefined)
      this.#options.log.warn({ problem }, 'rules for the addresses of Services not removed');
  }
}
