import { controllerRef, type KubeObject } from '../../api/object.ts';
import type { PodTemplateSpec } from '../../api/kubernetes/pod-defaults.ts';
import type { ControllerRevision } from '../../api/kubernetes/workloads.ts';

/** Longest name of an owner that leaves room for the hash. */
const maxStem = 223;

/**
 * What a revision keeps of its owner: a strategic merge patch that brings the template back, which is how `kubectl rollout
 * undo` uses it. Clients tell the revision of a template by its bytes, so members come in Go's order and with the null that
 * Go's encoder writes.
 */
export function revisionData(template: PodTemplateSpec | undefined): { [key: string]: unknown } {
  const metadata = { creationTimestamp: null, ...template?.metadata };
  return inKeyOrder({ spec: { template: { ...template, metadata, $patch: 'replace' } } }) as {
    [key: string]: unknown;
  };
}

/** The template that a revision keeps. */
export function templateOf(revision: ControllerRevision): PodTemplateSpec {
  const spec = revision.data?.['spec'] as { template?: PodTemplateSpec & { $patch?: string } } | undefined;
  const { $patch: _directive, ...template } = spec?.template ?? {};
  return withoutNulls(template) as PodTemplateSpec;
}

function inKeyOrder(value: unknown): unknown {
  return mapMembers(value, inKeyOrder, (entries) => entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function withoutNulls(value: unknown): unknown {
  return mapMembers(value, withoutNulls, (entries) => entries.filter(([, member]) => member !== null));
}

type Entries = [string, unknown][];

function mapMembers(
  value: unknown,
  each: (member: unknown) => unknown,
  choose: (entries: Entries) => Entries,
): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(each);
  return Object.fromEntries(choose(Object.entries(value)).map(([key, member]) => [key, each(member)]));
}

interface RevisionParts {
  readonly hash: string;
  readonly hashLabel: string;
  readonly number: number;
  readonly template: PodTemplateSpec | undefined;
}

export function makeControllerRevision(owner: KubeObject, parts: RevisionParts): ControllerRevision {
  const { name, namespace, annotations } = owner.metadata;
  return {
    apiVersion: 'apps/v1',
    kind: 'ControllerRevision',
    metadata: {
      name: `${name.slice(0, maxStem)}-${parts.hash}`,
      ...(namespace ? { namespace } : {}),
      labels: { ...parts.template?.metadata?.labels, [parts.hashLabel]: parts.hash },
      ...(annotations ? { annotations } : {}),
      ownerReferences: [controllerRef(owner)],
    },
    revision: parts.number,
    data: revisionData(parts.template),
  };
}
