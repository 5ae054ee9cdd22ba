/** The Client of parts that run in the same process as the API: no HTTP, no copies, the stored frozen objects. */
import type { KubeObject } from '../../api/object.ts';
import type { ResourceDef } from '../../api/resource.ts';
import type { ApiService } from '../server/service/service.ts';
import type { WriteRequest } from '../server/service/requests.ts';
import type { Client, List, WatchEvent, WatchOptions, WriteOptions } from './client.ts';

/**
 * `user` is what admission sees, e.g. `system:serviceaccount:knative-serving:controller`; its last part owns the fields that
 * a write without `fieldManager` changes. Results are frozen and shared:
 * copy with `structuredClone` before changing. Unknown fields are dropped silently, as a typed client would.
 */
export function inProcessClient(service: ApiService, identity: { readonly user: string }): Client {
  const { user } = identity;
  const write = (options: WriteOptions = {}): WriteRequest => ({
    user,
    fieldValidation: 'Ignore',
    ...(options.subresource ? { subresource: options.subresource } : {}),
    ...(options.dryRun ? { dryRun: true } : {}),
    ...(options.fieldManager ? { fieldManager: options.fieldManager } : {}),
  });
  return {
    get: async <T extends KubeObject>(def: ResourceDef<T>, key: { namespace?: string; name: string }) =>
      (await service.get(def, key)).object as T,
    list: async <T extends KubeObject>(def: ResourceDef<T>, options = {}): Promise<List<T>> => {
      const { records, resourceVersion, continue: token } = await service.list(def, options);
      const items = records.map((record) => record.object as T);
      return { items, resourceVersion, ...(token ? { continue: token } : {}) };
    },
    watch: <T extends KubeObject>(def: ResourceDef<T>, options: WatchOptions = {}) =>
      watchEvents<T>(service, def, options),
    create: async <T extends KubeObject>(def: ResourceDef<T>, object: T, options?: WriteOptions) =>
      (await service.create(def, object.metadata.namespace, object, write(options))).object as T,
    update: async <T extends KubeObject>(def: ResourceDef<T>, object: T, options?: WriteOptions) =>
      (await service.update(def, object.metadata, object, write(options))).object as T,
    patch: async (def, key, patch, options) =>
      (await service.patch(def, key, patch, write(options))).object as never,
    delete: async (def, key, options = {}) => {
      await service.delete(def, key, { ...options, user });
    },
  };
}

async function* watchEvents<T extends KubeObject>(
  service: ApiService,
  def: ResourceDef,
  options: WatchOptions,
): AsyncGenerator<WatchEvent<T>> {
  const stream = await service.watch(def, options);
  for await (const { type, object } of stream) {
    yield type === 'BOOKMARK' ? { type, object } : { type, object: object as T };
  }
}
