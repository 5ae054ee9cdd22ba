/** Whatever of a kind's fields is there or missing: an object is stored or refused, and nothing breaks. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import * as fc from 'fast-check';
import { resources } from '../../../src/api/registry.ts';
import { apiVersionOf, type ResourceDef } from '../../../src/api/resource.ts';
import type { Schema } from '../../../src/api/schema.ts';
import { resolveSchema, resourceSchema } from '../../../src/api/structural.ts';
import { ApiError } from '../../../src/kube/api-error.ts';
import { startTestApi, type TestApi } from '../../support/api.ts';

const texts = fc.constantFrom(
  '',
  'a',
  'Deployment',
  'cpu',
  'apps/v1',
  '/x',
  '1Gi',
  '50%',
  '10.0.0.1',
  'Always',
  '*.a',
);
const numbers = fc.constantFrom(-1, 0, 1, 80, 70_000);

/** Values that the schema's types admit, with any member missing. */
function valueOf(schema: Schema, depth: number): fc.Arbitrary<unknown> {
  const found = resolveSchema(schema);
  if (found.enum) return fc.constantFrom(...found.enum);
  if (found['x-kubernetes-int-or-string']) return fc.oneof(texts, numbers);
  switch (found.type) {
    case 'string':
      return texts;
    case 'integer':
    case 'number':
      return numbers;
    case 'boolean':
      return fc.boolean();
    case 'array':
      return depth === 0 || !found.items
        ? fc.constant([])
        : fc.array(valueOf(found.items, depth - 1), { maxLength: 2 });
    case 'object':
      return objectOf(found, depth);
    default:
      return fc.constantFrom('a', 1, {}, []);
  }
}

function objectOf(schema: Schema, depth: number): fc.Arbitrary<object> {
  if (depth === 0) return fc.constant({});
  if (!schema.properties) {
    const { additionalProperties } = schema;
    return additionalProperties
      ? fc.dictionary(fc.constantFrom('cpu', 'storage', 'a'), valueOf(additionalProperties, depth - 1), {
          maxKeys: 2,
        })
      : fc.constant({});
  }
  // A few members of many, so that what is nested deep is reached as well.
  const members = Object.entries(schema.properties).map(([name, member]): fc.Arbitrary<[string, unknown]> =>
    valueOf(member, depth - 1).map((value) => [name, value]),
  );
  return fc
    .subarray(members)
    .chain((chosen) => fc.tuple(...chosen))
    .map((entries) => Object.fromEntries(entries));
}

describe('any object', () => {
  let api: TestApi;
  before(async () => {
    api = await startTestApi();
  });
  after(() => api.close());

  async function tryToWrite(def: ResourceDef, body: object, next: object): Promise<void> {
    const name = `n${Math.floor(Math.random() * 1e9)}`;
    const metadata = { name, ...(def.namespaced ? { namespace: 'default' } : {}) };
    const object = { ...body, apiVersion: apiVersionOf(def), kind: def.kind, metadata };
    try {
      const made = await api.client.create(def, object);
      def.cells?.(made, Date.now());
      const key = def.namespaced ? { namespace: 'default', name } : { name };
      const labels = { type: 'merge', body: { metadata: { labels: { a: 'b' } } } } as const;
      const { apiVersion, kind, metadata: current } = await api.client.patch(def, key, labels);
      await api.client.update(def, { ...next, apiVersion, kind, metadata: current });
    } catch (error) {
      assert.ok(error instanceof ApiError && error.code < 500, `${def.kind}: ${(error as Error).stack}`);
    }
  }

  for (const def of resources) {
    it(`of ${def.kind}.${def.version}.${def.group || 'core'}`, async () => {
      const { metadata: _, apiVersion: _version, kind: _kind, ...own } = resourceSchema(def).properties ?? {};
      const body = objectOf({ type: 'object', properties: own }, 7);
      await fc.assert(
        fc.asyncProperty(body, body, (made, next) => tryToWrite(def, made, next)),
        { numRuns: 60 },
      );
    });
  }
});
