/** The scale subresource: `autoscaling/v1` Scale, read from and written to paths of the object. */
import type { KubeObject, UntypedObject } from '../../../api/object.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import type { Schema } from '../../../api/schema.ts';
import { formatSelector, type Labels } from '../../../api/kubernetes/selectors.ts';
import { isMembers } from '../../../api/structural-members.ts';
import { ApiError } from '../../api-error.ts';
import { badRequest } from './errors.ts';

type ScalePaths = NonNullable<NonNullable<ResourceDef['subresources']>['scale']>;

export interface Scale extends KubeObject {
  spec: { replicas?: number };
  status: { replicas: number; selector?: string };
}

/** What patches of the scale subresource go by. */
export const scaleSchema: Schema = { $ref: 'autoscaling.v1.Scale' };

/** The Scale of an object. */
export function readScale(paths: ScalePaths, object: KubeObject): Scale {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const replicas = numberAt(object, paths.specReplicas);
  const selector =
    paths.labelSelector === undefined ? undefined : selectorText(valueAt(object, paths.labelSelector));
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    },
    spec: replicas === undefined ? {} : { replicas },
    status: { replicas: numberAt(object, paths.statusReplicas) ?? 0, ...(selector ? { selector } : {}) },
  };
}

/** The object with the Scale's replicas: what the write of the scale subresource stores. Throws 400 and 422. */
export function applyScale(paths: ScalePaths, object: KubeObject, body: unknown): UntypedObject {
  if (!isMembers(body)) throw badRequest('the object provided is unrecognized (must be of type Scale)');
  if (body['kind'] !== undefined && body['kind'] !== 'Scale') {
    throw badRequest(
      `the kind in the data (${JSON.stringify(body['kind'])}) does not match the expected kind (Scale)`,
    );
  }
  const spec = isMembers(body['spec']) ? body['spec'] : {};
  const replicas = spec['replicas'] ?? 0;
  if (typeof replicas !== 'number' || !Number.isInteger(replicas)) {
    throw badRequest(
      `Scale in version "v1" cannot be handled as a Scale: json: cannot unmarshal ${typeof replicas} into Go struct field ScaleSpec.spec.replicas of type int32`,
    );
  }
  if (replicas < 0 || replicas > 2147483647) {
    const why = `Invalid value: ${replicas}: must be greater than or equal to 0`;
    const { name } = object.metadata;
    throw new ApiError('Invalid', `Scale.autoscaling "${name}" is invalid: spec.replicas: ${why}`, {
      name,
      group: 'autoscaling',
      kind: 'Scale',
      causes: [{ reason: 'FieldValueInvalid', message: why, field: 'spec.replicas' }],
    });
  }
  return withValue(object as UntypedObject, pathOf(paths.specReplicas), replicas);
}

function pathOf(jsonPath: string): string[] {
  return jsonPath.split('.').filter((part) => part !== '');
}

function valueAt(object: unknown, jsonPath: string): unknown {
  let value: unknown = object;
  for (const part of pathOf(jsonPath)) value = isMembers(value) ? value[part] : undefined;
  return value;
}

function numberAt(object: unknown, jsonPath: string): number | undefined {
  const value = valueAt(object, jsonPath);
  return typeof value === 'number' ? value : undefined;
}

/** A copy of `target` with `value` at the path, which is not empty. */
function withValue<T extends object>(target: T, path: readonly string[], value: unknown): T {
  const [head = '', ...rest] = path;
  if (rest.length === 0) return { ...target, [head]: value };
  const child = isMembers(target) ? target[head] : undefined;
  return { ...target, [head]: withValue(isMembers(child) ? child : {}, rest, value) };
}

/** A LabelSelector, or a plain map of labels, in the text form that clients pass as `labelSelector`. */
function selectorText(selector: unknown): string | undefined {
  if (typeof selector === 'string') return selector;
  if (!isMembers(selector) || Object.keys(selector).length === 0) return undefined;
  const structured = 'matchLabels' in selector || 'matchExpressions' in selector;
  return formatSelector(structured ? selector : { matchLabels: selector as Labels });
}
