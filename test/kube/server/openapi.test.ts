import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { resources } from '../../../src/api/registry.ts';
import { defineResource } from '../../../src/api/resource.ts';
import { ApiCatalog, compareVersions } from '../../../src/kube/server/catalog.ts';
import { makeOpenApiV2, makeOpenApiV3 } from '../../../src/kube/server/openapi/documents.ts';
import { encodeOpenApiV2 } from '../../../src/kube/server/openapi/gnostic.ts';
import { OpenApiDocuments } from '../../../src/kube/server/openapi/index.ts';
import { definitionName, kubernetesDefinitionName } from '../../../src/kube/server/openapi/schemas.ts';
import { ProtobufReader } from '../../../src/kube/server/protobuf-reader.ts';

const catalog = new ApiCatalog(resources);

interface Operation {
  parameters: { name: string }[];
  requestBody?: { content: object };
  consumes?: string[];
  'x-kubernetes-group-version-kind': { kind: string };
}
interface Document {
  paths: Record<string, Record<string, Operation>>;
  definitions?: Record<string, object>;
  components?: { schemas: Record<string, object> };
}

/** All `$ref` targets below a value. */
function* refs(value: unknown): Generator<string> {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, child] of Object.entries(value)) {
    if (key === '$ref' && typeof child === 'string') yield child;
    else yield* refs(child);
  }
}

/** Named entries of a protobuf message: field `list` holds pairs of name (1) and value (2). */
function namedEntries(message: ProtobufReader, list: number): Map<string, ProtobufReader> {
  const out = new Map<string, ProtobufReader>();
  while (message.more()) {
    const { number, wire } = message.tag();
    if (number !== list || wire !== 2) {
      message.skip(wire);
      continue;
    }
    const pair = message.message();
    let name = '';
    let value: ProtobufReader | undefined;
    while (pair.more()) {
      const field = pair.tag();
      if (field.number === 1) name = pair.string();
      else value = pair.message();
    }
    if (value) out.set(name, value);
  }
  return out;
}

function child(message: ProtobufReader, wanted: number): ProtobufReader {
  while (message.more()) {
    const { number, wire } = message.tag();
    if (number === wanted && wire === 2) return message.message();
    message.skip(wire);
  }
  throw new Error(`no field ${wanted}`);
}

describe('OpenAPI', () => {
  const v2 = makeOpenApiV2(catalog, 'v1.33.0') as unknown as Document;

  it('v2 refers only to what it defines', () => {
    const defined = new Set(Object.keys(v2.definitions ?? {}).map((name) => `#/definitions/${name}`));
    for (const target of refs(v2)) assert.ok(defined.has(target), target);
  });

  for (const group of catalog.groups) {
    for (const groupVersion of group.versions) {
      it(`v3 of ${groupVersion.apiVersion} refers only to what it defines`, () => {
        const document = makeOpenApiV3(catalog, groupVersion, 'v1.33.0') as unknown as Document;
        const schemas = document.components?.schemas ?? {};
        const defined = new Set(Object.keys(schemas).map((name) => `#/components/schemas/${name}`));
        for (const target of refs(document)) assert.ok(defined.has(target), target);
        for (const def of groupVersion.resources) assert.ok(schemas[definitionName(def)], def.kind);
      });
    }
  }

  it('v2 says nothing of the members of a custom resource that may have any, or kubectl would refuse them', () => {
    const open = defineResource({
      group: 'test.example.dev',
      version: 'v1',
      kind: 'Open',
      plural: 'opens',
      namespaced: true,
      builtin: false,
      columns: [],
      schema: {
        type: 'object',
        description: 'Anything.',
        properties: { spec: { type: 'object' } },
        'x-kubernetes-preserve-unknown-fields': true,
      },
    });
    const served = new ApiCatalog([open]);
    const name = 'dev.example.test.v1.Open';
    const { definitions } = makeOpenApiV2(served, 'v1.33.0') as unknown as Document;
    const groupVersionKind = [{ group: 'test.example.dev', version: 'v1', kind: 'Open' }];
    assert.deepEqual(definitions?.[name], {
      type: 'object',
      'x-kubernetes-group-version-kind': groupVersionKind,
    });
    const groupVersion = served.groups[0]?.versions[0];
    assert.ok(groupVersion);
    const v3 = makeOpenApiV3(served, groupVersion, 'v1.33.0') as unknown as Document;
    const shown = v3.components?.schemas[name] as { properties: object; description: string };
    assert.equal(shown.description, 'Anything.');
    assert.deepEqual(Object.keys(shown.properties), ['spec', 'apiVersion', 'kind', 'metadata']);
  });

  it('tells kubectl apply of fieldValidation and of the patches that a kind takes', () => {
    const apps = catalog.groupVersion('apps', 'v1');
    const serving = catalog.groupVersion('serving.knative.dev', 'v1');
    assert.ok(apps && serving);
    const patchOf = (document: Document, path: string): Operation | undefined =>
      document.paths[path]?.['patch'];
    const builtin = patchOf(
      makeOpenApiV3(catalog, apps, '') as unknown as Document,
      '/apis/apps/v1/namespaces/{namespace}/deployments/{name}',
    );
    assert.ok(builtin);
    assert.ok(builtin.parameters.some(({ name }) => name === 'fieldValidation'));
    assert.ok(
      Object.keys(builtin.requestBody?.content ?? {}).includes('application/strategic-merge-patch+json'),
    );
    const path = '/apis/serving.knative.dev/v1/namespaces/{namespace}/services/{name}';
    const custom = patchOf(makeOpenApiV3(catalog, serving, '') as unknown as Document, path);
    assert.ok(
      !Object.keys(custom?.requestBody?.content ?? {}).includes('application/strategic-merge-patch+json'),
    );
    assert.ok(!patchOf(v2, path)?.consumes?.includes('application/strategic-merge-patch+json'));
  });

  it('v2 says the same as protobuf', () => {
    const bytes = encodeOpenApiV2(makeOpenApiV2(catalog, 'v1.33.0'));
    const whole = (): ProtobufReader => new ProtobufReader(bytes, 0, bytes.length);
    const definitions = namedEntries(child(whole(), 9), 1);
    assert.deepEqual([...definitions.keys()], Object.keys(v2.definitions ?? {}));
    const paths = namedEntries(child(whole(), 8), 2);
    assert.deepEqual([...paths.keys()], Object.keys(v2.paths));
    const name = kubernetesDefinitionName('core.v1.PodSpec');
    const podSpec = definitions.get(name);
    assert.ok(podSpec);
    const json = v2.definitions?.[name] as { properties: object };
    assert.deepEqual([...namedEntries(child(podSpec, 25), 1).keys()], Object.keys(json.properties));
  });

  it('is made once and kept', () => {
    const documents = new OpenApiDocuments(catalog, 'v1.33.0');
    assert.equal(documents.v2Protobuf().bytes, documents.v2Protobuf().bytes);
    assert.equal(documents.v3('apps', 'v1')?.etag, documents.v3('apps', 'v1')?.etag);
    assert.equal(documents.v3('none', 'v1'), undefined);
    const { paths } = JSON.parse(documents.v3Index().bytes.toString()) as {
      paths: Record<string, { serverRelativeURL: string }>;
    };
    assert.equal(paths['apis/apps/v1']?.serverRelativeURL, '/openapi/v3/apis/apps/v1');
    assert.ok(paths['api/v1']);
  });
});

it('versions are ordered as Kubernetes orders them', () => {
  const given = ['v1alpha1', 'foo1', 'v2', 'v10beta3', 'v1', 'v11alpha2', 'v1beta1', 'foo10', 'v10'];
  const wanted = ['v10', 'v2', 'v1', 'v10beta3', 'v1beta1', 'v11alpha2', 'v1alpha1', 'foo1', 'foo10'];
  assert.deepEqual(given.toSorted(compareVersions), wanted);
});
