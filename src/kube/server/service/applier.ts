/** Server-side apply: a configuration becomes a change of an object, its creation, or a change of its scale. */
import type { Clock } from '../../../base/clock.ts';
import type { UntypedObject } from '../../../api/object.ts';
import { apiVersionOf, type ResourceDef } from '../../../api/resource.ts';
import { isMembers } from '../../../api/structural-members.ts';
import { ApiError, isAlreadyExists, isNotFound } from '../../api-error.ts';
import type { ObjectKey } from '../../client/client.ts';
import { readObject } from './admission.ts';
import { badRequest, conflict, modified } from './errors.ts';
import { applyConfiguration } from './ownership/configuration.ts';
import { checkPlace, scalePaths } from './place.ts';
import { served, type Reads } from './reads.ts';
import type { WriteRequest, WriteResult } from './requests.ts';
import { applyScale, readScale } from './scale.ts';
import type { Change, Writer } from './writer.ts';

export interface ApplierOptions {
  readonly reads: Reads;
  readonly writer: Writer;
  readonly clock: Clock;
}

/** How often an apply starts again because the object came or went meanwhile. */
const maxAttempts = 5;

export class Applier {
  readonly #reads: Reads;
  readonly #writer: Writer;
  readonly #clock: Clock;

  constructor({ reads, writer, clock }: ApplierOptions) {
    this.#reads = reads;
    this.#writer = writer;
    this.#clock = clock;
  }

  /** Throws 409 for fields that belong to others, unless `force`. An object that is not there is created. */
  async apply(
    def: ResourceDef,
    key: ObjectKey,
    config: unknown,
    request: WriteRequest,
  ): Promise<WriteResult> {
    if (request.subresource === 'scale') return this.#applyScale(def, key, config, request);
    for (let attempt = 1; ; attempt++) {
      const exists = this.#reads.current(def, key) !== undefined;
      try {
        // Only the object itself can be made by an apply, not a part of it.
        if (!exists && !request.subresource) return await this.#create(def, key, config, request);
        return await this.#writer.change(def, key, request, (stored) =>
          this.#changeOf(def, stored, config, request),
        );
      } catch (error) {
        const raced = exists ? isNotFound(error) && !request.subresource : isAlreadyExists(error);
        if (!raced || attempt === maxAttempts) throw error;
      }
    }
  }

  #changeOf(
    def: ResourceDef,
    stored: UntypedObject,
    config: unknown,
    request: WriteRequest,
  ): Change | ApiError {
    const applied = applyConfiguration(def, stored, config, request, this.#clock.now());
    if (applied instanceof ApiError) return applied;
    return {
      object: readObject(def, applied.object),
      unconditional: true,
      managers: applied.managers,
    };
  }

  async #create(
    def: ResourceDef,
    key: ObjectKey,
    config: unknown,
    request: WriteRequest,
  ): Promise<WriteResult> {
    request.authorizeCreation?.();
    const applied = applyConfiguration(def, undefined, config, request, this.#clock.now());
    if (applied instanceof ApiError) throw applied;
    const object = readObject(def, applied.object);
    const { name, generateName, uid, resourceVersion } = object.metadata;
    if (!name && generateName) throw badRequest('metadata.generateName may not be used with apply');
    checkPlace(def, key, object);
    if (uid) {
      const why = `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`;
      throw conflict(def, key.name, why);
    }
    if (resourceVersion) throw modified(def, key.name);
    const result = await this.#writer.create(def, key.namespace, object, request, applied.managers);
    return { ...result, created: true };
  }

  /** A Scale says one thing about its object, and that is what is applied to it. */
  async #applyScale(
    def: ResourceDef,
    key: ObjectKey,
    config: unknown,
    request: WriteRequest,
  ): Promise<WriteResult> {
    const paths = scalePaths(def);
    if (!isMembers(config) || config['kind'] !== 'Scale' || config['apiVersion'] !== 'autoscaling/v1') {
      throw badRequest('invalid object type: a Scale of autoscaling/v1 is wanted');
    }
    const metadata = isMembers(config['metadata']) ? config['metadata'] : {};
    if (metadata['managedFields'] !== undefined && metadata['managedFields'] !== null) {
      throw badRequest('metadata.managedFields must be nil');
    }
    const head = { apiVersion: apiVersionOf(def), kind: def.kind, metadata: { ...metadata, name: key.name } };
    const wants = isMembers(config['spec']) && config['spec']['replicas'] !== undefined;
    const partial: unknown = wants ? applyScale(paths, head, config) : head;
    const result = await this.#writer.change(def, key, request, (stored) =>
      this.#changeOf(def, stored, partial, request),
    );
    const { warnings, ...shown } = result;
    return { ...served(readScale(paths, shown.object)), warnings };
  }
}
