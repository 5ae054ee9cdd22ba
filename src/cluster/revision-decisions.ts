/** The history of a StatefulSet or DaemonSet as pure functions (kubernetes pkg/controller/history). */
import { deepEqual } from '../base/json.ts';
import type { PodTemplateSpec } from '../api/kubernetes/pod-defaults.ts';
import type { ControllerRevision } from '../api/kubernetes/workloads.ts';
import { templateOf } from './resources/controller-revision.ts';

/** Oldest first: by number, then by age. */
export function inOrder(revisions: readonly ControllerRevision[]): ControllerRevision[] {
  const age = ({ metadata }: ControllerRevision): string =>
    `${metadata.creationTimestamp ?? ''} ${metadata.name}`;
  return [...revisions].sort((a, b) => a.revision - b.revision || (age(a) < age(b) ? -1 : 1));
}

export function nextNumber(revisions: readonly ControllerRevision[]): number {
  return Math.max(0, ...revisions.map(({ revision }) => revision)) + 1;
}

/** The newest revision that keeps this template, undefined when none does. */
export function findEqual(
  revisions: readonly ControllerRevision[],
  template: PodTemplateSpec | undefined,
): ControllerRevision | undefined {
  return inOrder(revisions).findLast((revision) => keeps(revision, template));
}

/** Whether the revision is that of this template. */
export function keeps(revision: ControllerRevision, template: PodTemplateSpec | undefined): boolean {
  return deepEqual(templateOf(revision), template ?? {});
}

/** Revisions beyond the limit that nothing uses, the oldest first. `isLive` is true for one that pods still have. */
export function surplusRevisions(
  revisions: readonly ControllerRevision[],
  isLive: (revision: ControllerRevision) => boolean,
  limit: number,
): ControllerRevision[] {
  const unused = inOrder(revisions).filter(
    (revision) => !isLive(revision) && !revision.metadata.deletionTimestamp,
  );
  return unused.slice(0, Math.max(0, unused.length - limit));
}
