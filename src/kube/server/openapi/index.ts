/** OpenAPI documents as bytes, each made when it is first asked for and kept. */
import { createHash } from 'node:crypto';
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
  readonly #cache = new Map<string, CachedDocument>();

  /** `version`: the Kubernetes version that the server speaks, `v1.33.0`. */
  constructor(catalog: ApiCatalog, version: string) {
    this.#catalog = catalog;
    this.#version = version;
  }

  v2Json(): CachedDocument {
    return this.#cached('v2.json', () => toBytes(makeOpenApiV2(this.#catalog, this.#version)));
  }

  v2Protobuf(): CachedDocument {
    return this.#cached('v2.pb', () => encodeOpenApiV2(makeOpenApiV2(this.#catalog, this.#version)));
  }

  /** `GET /openapi/v3`. */
  v3Index(): CachedDocument {
    return this.#cached('v3', () => {
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
    return this.#cached(`v3/${groupVersion.apiVersion}`, () =>
      toBytes(makeOpenApiV3(this.#catalog, groupVersion, this.#version)),
    );
  }

  #cached(key: string, make: () => Buffer): CachedDocument {
    let document = this.#cache.get(key);
    if (!document) {
      const bytes = make();
      document = { bytes, etag: `"${createHash('sha256').update(bytes).digest('hex')}"` };
      this.#cache.set(key, document);
    }
    return document;
  }
}

function toBytes(document: object): Buffer {
  return Buffer.from(JSON.stringify(document));
}
