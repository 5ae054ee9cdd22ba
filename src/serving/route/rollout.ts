/**
 * Gradual rollout: traffic of a Configuration moves to its newest revision step by step over `rollout-duration`
 * (knative/serving pkg/reconciler/route/traffic `Rollout`). The state lives in an annotation of the ingress. Pure.
 */
import { parseDuration } from '../../base/duration.ts';
import type { Ingress } from '../../api/networking/index.ts';
import type { ServingConfig } from '../../api/serving/config/index.ts';
import { annotations } from '../../api/serving/labels.ts';
import type { Route } from '../../api/serving/index.ts';
import { ingressSays } from './status.ts';
import { groupByTag, type RevisionTarget, type Traffic } from './traffic.ts';

/** The rollout of one Configuration on the route's main host. */
export interface ConfigurationRollout {
  readonly configurationName: string;
  /** Share of the whole route, percent. */
  readonly percent: number;
  /** Oldest first; the last one is being rolled out. Percents sum to `percent`. */
  readonly revisions: readonly { readonly revisionName: string; readonly percent: number }[];
  /** When the newest revision got its first share, ms. */
  readonly startTime: number;
  /** When the next step is due, ms; absent until the ingress served the first one. */
  readonly nextStepTime?: number;
  /** Time between steps, ms, and percent per step. */
  readonly stepDuration?: number;
  readonly stepSize?: number;
}

export interface RolloutStep {
  /** What the ingress should carry now. */
  readonly traffic: Traffic;
  readonly inProgress: boolean;
  /** Annotation value; absent when nothing is being rolled out. */
  readonly state?: string;
  /** When to look again, ms. */
  readonly nextAt?: number;
}

/** `existing`: the ingress as it is. `now` is ms since the epoch. */
export function stepRollout(
  route: Route,
  traffic: Traffic,
  existing: Ingress | undefined,
  config: ServingConfig,
  now: number,
): RolloutStep {
  const own = parseDuration(route.metadata.annotations?.[annotations.rolloutDuration] ?? '');
  const durationMs = own ?? config.network.rolloutDurationMs;
  if (durationMs <= 0 || !existing) return { traffic, inProgress: false };
  const states = readStates(existing);
  const ready = ingressSays(existing).status === 'True';
  const running: ConfigurationRollout[] = [];
  const targets = traffic.targets.flatMap((target) => {
    if (!target.latestRevision || target.percent < 2 || target.configurationName === '') return [target];
    const before = states.find(({ configurationName }) => configurationName === target.configurationName);
    const state = nextState(route, target, before, { now, durationMs, ready });
    if (!state) return [target];
    running.push(state);
    return state.revisions.map(({ revisionName, percent }, i) => ({
      ...target,
      revisionName,
      percent,
      // Only the newest one answers for the tag.
      tag: i === state.revisions.length - 1 ? target.tag : '',
    }));
  });
  if (running.length === 0) return { traffic, inProgress: false };
  const due = running.flatMap(({ nextStepTime }) => nextStepTime ?? []);
  return {
    traffic: { targets, byTag: groupByTag(targets) },
    inProgress: true,
    state: JSON.stringify({ configurations: running }),
    ...(due.length > 0 ? { nextAt: Math.min(...due) } : {}),
  };
}

function readStates(ingress: Ingress): readonly ConfigurationRollout[] {
  const text = ingress.metadata.annotations?.[annotations.rollout];
  if (!text) return [];
  try {
    return (JSON.parse(text) as { configurations?: ConfigurationRollout[] }).configurations ?? [];
  } catch {
    // Someone else wrote it: start over.
    return [];
  }
}

interface Moment {
  readonly now: number;
  readonly durationMs: number;
  readonly ready: boolean;
}

/** The rollout after this moment, or undefined when all traffic is where it belongs. */
function nextState(
  route: Route,
  target: RevisionTarget,
  before: ConfigurationRollout | undefined,
  moment: Moment,
): ConfigurationRollout | undefined {
  const newest = before?.revisions.at(-1)?.revisionName;
  if (before && before.percent === target.percent && newest === target.revisionName)
    return advance(before, moment);
  const served = before?.revisions ?? servedNow(route, target);
  const others = served.filter(
    ({ revisionName, percent }) => revisionName !== target.revisionName && percent > 0,
  );
  if (others.length === 0) return undefined;
  const shares = rescale(others, target.percent - 1);
  return {
    configurationName: target.configurationName,
    percent: target.percent,
    revisions: [...shares, { revisionName: target.revisionName, percent: 1 }],
    startTime: moment.now,
  };
}

/**
 * What the route served for the configuration before: its status says. The newest counts: right after a rollout the status
 * that is known may still be that of its last step.
 */
function servedNow(route: Route, target: RevisionTarget): { revisionName: string; percent: number }[] {
  const last = route.status?.traffic?.findLast(
    ({ latestRevision, tag = '', revisionName }) => latestRevision && tag === target.tag && revisionName,
  );
  return last?.revisionName ? [{ revisionName: last.revisionName, percent: target.percent }] : [];
}

function advance(
  state: ConfigurationRollout,
  { now, durationMs, ready }: Moment,
): ConfigurationRollout | undefined {
  const { nextStepTime, stepDuration, stepSize, percent } = state;
  if (nextStepTime === undefined || stepDuration === undefined || stepSize === undefined) {
    if (!ready) return state;
    // The time that the first share took to be served is the least that a step takes.
    const step = Math.max(1, Math.ceil((now - state.startTime) / 1000)) * 1000;
    const steps = Math.min(percent - 1, Math.max(1, Math.floor((durationMs - step) / step)));
    const size = Math.max(1, Math.round((percent - 1) / steps));
    return { ...state, stepDuration: step, stepSize: size, nextStepTime: now + step };
  }
  if (now < nextStepTime) return state;
  const revisions = shift(state.revisions, stepSize);
  return revisions.length === 1 ? undefined : { ...state, revisions, nextStepTime: now + stepDuration };
}

/** Moves up to `size` percent to the last one, from the one before it first; drops the empty ones. */
function shift(
  revisions: ConfigurationRollout['revisions'],
  size: number,
): ConfigurationRollout['revisions'] {
  const next = revisions.map((revision) => ({ ...revision }));
  const newest = next.at(-1);
  let left = size;
  for (const revision of next.slice(0, -1).reverse()) {
    const moved = Math.min(left, revision.percent);
    revision.percent -= moved;
    if (newest) newest.percent += moved;
    left -= moved;
  }
  return next.filter(({ percent }) => percent > 0);
}

/** Scales shares to a new sum in whole percents; the last one takes the rounding. */
function rescale(
  shares: readonly { revisionName: string; percent: number }[],
  sum: number,
): { revisionName: string; percent: number }[] {
  const total = shares.reduce((all, { percent }) => all + percent, 0);
  let rest = sum;
  const scaled = shares.map(({ revisionName, percent }, i) => {
    const share = i === shares.length - 1 ? rest : Math.min(rest, Math.floor((percent * sum) / total));
    rest -= share;
    return { revisionName, percent: share };
  });
  return scaled.filter(({ percent }) => percent > 0);
}
