/** A client whose writes name the part of the program that makes them. */
import type { Client } from './client.ts';

/** The same client, but writes belong to `fieldManager` where their options name nobody. */
export function withFieldManager(client: Client, fieldManager: string): Client {
  return {
    get: (def, key) => client.get(def, key),
    list: (def, options) => client.list(def, options),
    watch: (def, options) => client.watch(def, options),
    create: (def, object, options) => client.create(def, object, { fieldManager, ...options }),
    update: (def, object, options) => client.update(def, object, { fieldManager, ...options }),
    patch: (def, key, patch, options) => client.patch(def, key, patch, { fieldManager, ...options }),
    delete: (def, key, options) => client.delete(def, key, options),
  };
}
