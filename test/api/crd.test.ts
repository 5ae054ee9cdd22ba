import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { establish, makeCustomResourceDefinitions } from '../../src/api/crd.ts';
import { resources } from '../../src/api/registry.ts';
import { defineResource } from '../../src/api/resource.ts';

interface Version {
  name: string;
  served: boolean;
  storage: boolean;
  schema: { openAPIV3Schema: { type: string; properties: Record<string, unknown> } };
  additionalPrinterColumns: { name: string; jsonPath: string }[];
}

/** Every keyword object inside a schema. */
function* schemas(value: unknown): Generator<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return;
  const schema = value as Record<string, unknown>;
  yield schema;
  for (const child of Object.values(schema['properties'] ?? {})) yield* schemas(child);
  yield* schemas(schema['items']);
  yield* schemas(schema['additionalProperties']);
}

describe('custom resource definitions', () => {
  const definitions = makeCustomResourceDefinitions(resources);

  it('are made of all kinds that are not built in, sorted by name', () => {
    const names = definitions.map(({ metadata }) => metadata.name);
    const plurals = resources.filter((def) => !def.builtin).map((def) => `${def.plural}.${def.group}`);
    assert.deepEqual(names, [...new Set(plurals)].sort());
    assert.ok(names.includes('services.serving.knative.dev'));
  });

  it('carry names, labels, columns and subresources', () => {
    const service = definitions.find(({ metadata }) => metadata.name === 'services.serving.knative.dev');
    assert.equal(service?.metadata.labels?.['duck.knative.dev/addressable'], 'true');
    assert.deepEqual(service?.spec.names.shortNames?.toSorted(), ['ksvc', 'kservice'].toSorted());
    const [version] = service.spec.versions as readonly Version[];
    assert.ok(version?.storage && version.served);
    assert.deepEqual(version.additionalPrinterColumns.at(-1)?.name, 'Age');
  });

  for (const { metadata, spec } of definitions) {
    it(`of ${metadata.name} have structural schemas that a cluster accepts`, () => {
      assert.equal((spec.versions as readonly Version[]).filter(({ storage }) => storage).length, 1);
      for (const version of spec.versions as readonly Version[]) {
        const root = version.schema.openAPIV3Schema;
        assert.equal(root.type, 'object');
        assert.deepEqual(root.properties['metadata'], { type: 'object' });
        for (const schema of schemas(root)) {
          assert.equal(schema['$ref'], undefined);
          const isTyped =
            schema['type'] ??
            schema['x-kubernetes-int-or-string'] ??
            schema['x-kubernetes-preserve-unknown-fields'];
          assert.ok(isTyped, JSON.stringify(schema).slice(0, 200));
          assert.ok(!Object.keys(schema).some((key) => key.startsWith('x-kubernetes-patch-')));
          // Keys of a keyed list must be required or have a default.
          const items = (schema['items'] ?? {}) as {
            required?: string[];
            properties?: Record<string, { default?: unknown }>;
          };
          for (const key of (schema['x-kubernetes-list-map-keys'] ?? []) as string[]) {
            assert.ok(items.required?.includes(key) || items.properties?.[key]?.default !== undefined, key);
          }
        }
      }
    });
  }

  it('put the versions of a plural into one definition, the first being stored', () => {
    const version = (name: string) =>
      defineResource({
        group: 'example.com',
        version: name,
        kind: 'Thing',
        plural: 'things',
        namespaced: false,
        builtin: false,
        schema: { type: 'object' },
        columns: [],
      });
    const [definition, ...others] = makeCustomResourceDefinitions([version('v1'), version('v1alpha1')]);
    assert.equal(others.length, 0);
    assert.equal(definition?.spec.scope, 'Cluster');
    const versions = definition.spec.versions as readonly Version[];
    assert.deepEqual(
      versions.map(({ name, storage }) => [name, storage]),
      [
        ['v1', true],
        ['v1alpha1', false],
      ],
    );
  });

  it('are established with the same identity on every start', () => {
    const [first] = definitions;
    assert.ok(first);
    const [a, b] = [establish(first, '2026-01-01T00:00:00Z'), establish(first, '2026-01-02T00:00:00Z')];
    assert.equal(a.metadata.uid, b.metadata.uid);
    assert.match(a.metadata.uid ?? '', /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
    const { conditions } = a.status as { conditions: { type: string; status: string }[] };
    assert.deepEqual(
      conditions.map(({ type, status }) => `${type}=${status}`),
      ['NamesAccepted=True', 'Established=True'],
    );
  });
});
