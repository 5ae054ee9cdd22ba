import { controllerRef, type KubeObject } from '../../api/object.ts';
import type { PodTemplateSpec } from '../../api/kubernetes/pod-defaults.ts';
import type { ControllerRevision } from '../../api/kubernetes/workloads.ts';

/** Longest name of an owner that leaves room for the hash. */
const maxStem = 223;

/**
 * What a revision keeps of its owner: a strategic merge patch that brings the template back, which is how `kubectl rollout
 * undo` uses it.
 */
export function revisionData(template: PodTemplateSpec | undefined): { [key: string]: unknown } {
  return { spec: { template: { ...template, $patch: 'replace' } } };
}

/** The template that a revision keeps. */
export function templateOf(revision: ControllerRevision): PodTemplateSpec {
  const spec = revision.data?.['spec'] as { template?: PodTemplateSpec & { $patch?: string } } | undefined;
  const { $patch: _directive, ...template } = spec?.template ?? {};
  return template;
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
