/** Which revisions nobody needs any more (knative/serving pkg/reconciler/gc). Pure. */
import type { GcConfig } from '../../api/serving/config/deployment.ts';
import { annotations, labels } from '../../api/serving/labels.ts';
import type { Configuration, Revision } from '../../api/serving/index.ts';

/** Oldest first. `now` is ms since the epoch. */
export function staleRevisions(
  configuration: Configuration,
  revisions: readonly Revision[],
  config: GcConfig,
  now: number,
): Revision[] {
  const { latestReadyRevisionName, latestCreatedRevisionName } = configuration.status ?? {};
  const candidates = revisions
    .filter(({ metadata }) => {
      const reserve = metadata.labels?.[labels.routingState] === 'reserve';
      const kept = metadata.annotations?.[annotations.noGc]?.toLowerCase() === 'true';
      const latest = metadata.name === latestReadyRevisionName || metadata.name === latestCreatedRevisionName;
      return reserve && !kept && !latest && !metadata.deletionTimestamp;
    })
    .sort((a, b) => lastActive(a) - lastActive(b));
  const { minNonActiveRevisions: min, maxNonActiveRevisions: max } = config;
  const stale: Revision[] = [];
  let left = candidates.length;
  for (const revision of candidates) {
    if (left <= min) break;
    const tooMany = max !== undefined && left > max;
    if (!tooMany && !isOld(revision, config, now)) continue;
    stale.push(revision);
    left--;
  }
  return stale;
}

/** Older than both retention times; when both are disabled age never counts. */
function isOld(revision: Revision, config: GcConfig, now: number): boolean {
  const { retainSinceCreateTimeMs: created, retainSinceLastActiveTimeMs: active } = config;
  if (created === undefined && active === undefined) return false;
  const age = now - Date.parse(revision.metadata.creationTimestamp ?? '');
  return (
    (created === undefined || age > created) && (active === undefined || now - lastActive(revision) > active)
  );
}

function lastActive({ metadata }: Revision): number {
  const moved = Date.parse(metadata.annotations?.[annotations.routingStateModified] ?? '');
  return Number.isFinite(moved) ? moved : Date.parse(metadata.creationTimestamp ?? '');
}
