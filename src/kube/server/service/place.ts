/** Where an object lives: keys, the namespace and name of a path, subresources that a resource has. */
import type { KubeObject } from '../../../api/object.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import { ApiError } from '../../api-error.ts';
import type { ObjectKey } from '../../client/client.ts';
import { isNamespace } from './deletion.ts';
import { badRequest, misnamed } from './errors.ts';
import type { ObjectSubresource } from './requests.ts';

/** The key in the store's table. */
export function keyIn(def: ResourceDef, key: { readonly name: string; readonly namespace?: string }): string {
  return def.namespaced ? `${key.namespace ?? ''}/${key.name}` : key.name;
}

/** Throws 404 where the resource has no scale. */
export function scalePaths(def: ResourceDef): NonNullable<NonNullable<ResourceDef['subresources']>['scale']> {
  const paths = def.subresources?.scale;
  if (!paths) throw new ApiError('NotFound', 'the server could not find the requested resource');
  return paths;
}

/** Throws 404 where the resource does not have the subresource. */
export function checkSubresource(def: ResourceDef, subresource: ObjectSubresource): void {
  const exists =
    subresource === 'status'
      ? def.subresources?.status === true
      : subresource === 'scale'
        ? def.subresources?.scale !== undefined
        : subresource === 'approval'
          ? def.subresources?.approval === true
          : subresource === 'ephemeralcontainers'
            ? def.group === '' && def.plural === 'pods'
            : isNamespace(def);
  if (!exists) throw new ApiError('NotFound', 'the server could not find the requested resource');
}

/** Puts a new object into the namespace of the path. Throws 400 when its own is another. */
export function placeInNamespace(def: ResourceDef, object: KubeObject, namespace: string | undefined): void {
  const meta = object.metadata;
  if (!def.namespaced) {
    delete meta.namespace;
    return;
  }
  if (!namespace && !meta.namespace) {
    throw badRequest('an empty namespace may not be set during creation');
  }
  if (namespace && meta.namespace && meta.namespace !== namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
  meta.namespace = namespace ?? meta.namespace ?? '';
}

/** A PUT or the outcome of a PATCH must stay where the path says. */
export function checkPlace(def: ResourceDef, key: ObjectKey, object: KubeObject): void {
  const meta = object.metadata;
  if (meta.name && meta.name !== key.name) {
    throw misnamed(meta.name, key.name);
  }
  meta.name = key.name;
  placeInNamespace(def, object, key.namespace);
}
