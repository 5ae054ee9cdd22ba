/** `pods/binding`: a scheduler puts a pod on a node (kubernetes pkg/registry/core/pod/storage `BindingREST`). */
import type { Clock } from '../../../base/clock.ts';
import { timestamp, type ObjectMeta } from '../../../api/object.ts';
import type { Pod } from '../../../api/pods.ts';
import { pods } from '../../../api/kubernetes/pods.ts';
import { hasReason, type ApiError } from '../../api-error.ts';
import type { ObjectKey } from '../../client/client.ts';
import { conflict, invalid } from '../service/errors.ts';
import type { Issue, ResourceDef } from '../../../api/resource.ts';
import type { WriteRequest } from '../service/requests.ts';
import type { ApiService } from '../service/service.ts';

/** Enough of a definition to decode and to speak of a Binding. */
export const bindings: ResourceDef = {
  group: '',
  version: 'v1',
  kind: 'Binding',
  listKind: 'BindingList',
  plural: 'bindings',
  singular: 'binding',
  namespaced: true,
  builtin: true,
  schema: { $ref: 'core.v1.Binding' },
  columns: [],
};

export interface Binding {
  readonly metadata: Partial<ObjectMeta>;
  readonly target: { readonly kind?: string; readonly name?: string };
}

const maxAttempts = 20;

/** Throws 422 for a target that is no node, 409 for a pod that may not be bound. */
export async function bind(
  service: ApiService,
  clock: Clock,
  key: ObjectKey,
  binding: Binding,
  request: WriteRequest,
): Promise<void> {
  checkTarget(key, binding);
  for (let attempt = 1; ; attempt++) {
    const { object: pod } = await service.get(pods, key);
    const refusal = refusalOf(pod, binding);
    if (refusal) throw refusal;
    try {
      await assign(service, key, pod, binding, request);
      break;
    } catch (error) {
      if (attempt >= maxAttempts || !hasReason(error, 'Conflict')) throw error;
    }
  }
  if (!request.dryRun) await reportScheduled(service, clock, key, request);
}

function checkTarget({ name }: ObjectKey, { target }: Binding): void {
  const issues: Issue[] = [];
  if (target.kind && target.kind !== 'Node') {
    const detail = 'supported values: "Node", "<empty>"';
    issues.push({ type: 'NotSupported', path: 'target.kind', value: target.kind, detail });
  }
  if (!target.name) issues.push({ type: 'Required', path: 'target.name', detail: '' });
  if (issues.length > 0) throw invalid(bindings, name, issues);
}

function refusalOf(pod: Pod, { metadata, target }: Binding): ApiError | undefined {
  const { name, uid, resourceVersion, deletionTimestamp } = pod.metadata;
  const refuse = (why: string): ApiError => conflict({ ...bindings, plural: 'pods/binding' }, name, why);
  if (metadata.uid && metadata.uid !== uid) {
    return refuse(`Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${uid}`);
  }
  if (metadata.resourceVersion && metadata.resourceVersion !== resourceVersion) {
    return refuse(
      `Precondition failed: ResourceVersion in precondition: ${metadata.resourceVersion}, ResourceVersion in object meta: ${resourceVersion}`,
    );
  }
  if (deletionTimestamp !== undefined) {
    return refuse(`pod ${name} is being deleted, cannot be assigned to a host`);
  }
  const { nodeName, schedulingGates = [] } = pod.spec ?? {};
  if (nodeName) return refuse(`pod ${name} is already assigned to node ${JSON.stringify(nodeName)}`);
  if (schedulingGates.length > 0) return refuse(`pod ${name} has non-empty .spec.schedulingGates`);
  return target.name ? undefined : refuse('no target');
}

async function assign(
  service: ApiService,
  key: ObjectKey,
  pod: Pod,
  { metadata, target }: Binding,
  request: WriteRequest,
): Promise<void> {
  const { uid, resourceVersion } = pod.metadata;
  const { annotations, labels } = metadata;
  const body = {
    metadata: {
      uid,
      resourceVersion,
      ...(annotations ? { annotations } : {}),
      ...(labels ? { labels } : {}),
    },
    spec: { nodeName: target.name },
  };
  await service.patch(pods, key, { type: 'merge', body }, request);
}

/** For nodes whose agent is not in this process; the one that is says so itself. */
async function reportScheduled(
  service: ApiService,
  clock: Clock,
  key: ObjectKey,
  request: WriteRequest,
): Promise<void> {
  const condition = { type: 'PodScheduled', status: 'True', lastTransitionTime: timestamp(clock.now()) };
  const patch = { type: 'strategic', body: { status: { conditions: [condition] } } } as const;
  try {
    await service.patch(pods, key, patch, { ...request, subresource: 'status' });
  } catch (error) {
    // The pod is gone again; that it was bound is true all the same.
    if (!hasReason(error, 'NotFound')) throw error;
  }
}
