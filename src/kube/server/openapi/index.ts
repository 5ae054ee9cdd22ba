/** OpenAPI documents as bytes, each made when it is first asked for and kept until what it describes changes. */
import { createHash } from 'node:crypto';
import type { ResourceDef } from '../../../api/resource.ts';
import type { ApiCatalog } from '../catalog.ts';
import { makeOpenApiV2, makeOpenApiV3 } from './documents.ts';
import { encodeOpenApiV2 } from './gnostic.ts';

export interface CachedDocument {
  readonly bytes: Buffer;
  /** Quoted, of the content. */
  readonly etag: string;
}

export class OpenApiDocuments {
  readonly #catalog: ApiCatalog;
  readonly #version: string;
  readonly #cache = new Map<string, CachedDocument & { readonly of: readonly ResourceDef[] }>();

  /** `version`: the Kubernetes version that the server speaks, `v1.33.0`. */
  constructor(catalog: ApiCatalog, version: string) {
    this.#catalog = catalog;
    this.#version = version;
  }

  v2Json(): CachedDocument {
    return this.#cached('v2.json', this.#catalog.resources, () =>
      toBytes(makeOpenApiV2(this.#catalog, this.#version)),
    );
  }

  v2Protobuf(): CachedDocument {
    return this.#cached('v2.pb', this.#catalog.resources, () =>
      encodeOpenApiV2(makeOpenApiV2(this.#catalog, this.#version)),
    );
  }

  /** `GET /openapi/v3`. Without hashes in its addresses: clients ask again, with the ETag. */
  v3Index(): CachedDocument {
    return this.#cached('v3', this.#catalog.resources, () => {
      const paths: Record<string, { serverRelativeURL: string }> = {};
      for (const { group, version } of this.#catalog.groups.flatMap((g) => g.versions)) {
        const path = group === '' ? `api/${version}` : `apis/${group}/${version}`;
        paths[path] = { serverRelativeURL: `/openapi/v3/${path}` };
      }
      return toBytes({ paths });
    });
  }

  /** `GET /openapi/v3/…`; undefined for a group version that is not served. */
  v3(group: string, version: string): CachedDocument | undefined {
    const groupVersion = this.#catalog.groupVersion(group, version);
    if (!groupVersion) return undefined;
    return this.#cached(`v3/${groupVersion.apiVersion}`, groupVersion.resources, () =>
      toBytes(makeOpenApiV3(this.#catalog, groupVersion, this.#version)),
    );
  }

  #cached(key: string, of: readonly ResourceDef[], make: () => Buffer): CachedDocument {
    let document = this.#cache.get(key);
    if (!document || !sameMembers(document.of, of)) {
      const bytes = make();
      document = { bytes, etag: `"${createHash('sha256').update(bytes).digest('hex')}"`, of };
      this.#cache.set(key, document);
    }
    return document;
  }
}

function sameMembers(a: readonly ResourceDef[], b: readonly ResourceDef[]): boolean {
  return a === b || (a.length === b.length && a.every((def, i) => def === b[i]));
}

function toBytes(document: object): Buffer {
  return Buffer.from(JSON.stringify(document));
}
