import { randomSuffix } from '../../base/names.ts';
import { controllerRef, type KubeObject } from '../../api/object.ts';
import type { Pod } from '../../api/pods.ts';
import type { PodTemplateSpec } from '../../api/kubernetes/pod-defaults.ts';

/** Longest prefix of a generated name that leaves room for the suffix (apiserver `names`). */
const maxPrefix = 58;

/**
 * A pod of a template, named and owned. The name is drawn here and not by the server, so that the caller knows it
 * before the request goes out. It begins with `stem`, by default the owner's name.
 */
export function makePod(owner: KubeObject, template: PodTemplateSpec, stem = owner.metadata.name): Pod {
  const generateName = `${stem}-`;
  const { labels, annotations, finalizers } = template.metadata ?? {};
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `${generateName.slice(0, maxPrefix)}${randomSuffix()}`,
      generateName,
      ...(owner.metadata.namespace ? { namespace: owner.metadata.namespace } : {}),
      ...(labels ? { labels } : {}),
      ...(annotations ? { annotations } : {}),
      ...(finalizers ? { finalizers } : {}),
      ownerReferences: [controllerRef(owner)],
    },
    ...(template.spec ? { spec: template.spec } : {}),
  };
}
