/** Requests about large objects: the work grows with the object, not with its square. Nothing here looks at a clock. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { configMaps, deployments, pods, services } from '../../../src/api/kubernetes/index.ts';
import type { ResourceDef } from '../../../src/api/resource.ts';
import { inspectJson, repeatedMembers } from '../../../src/kube/server/json-text.ts';
import type { PatchRequest } from '../../../src/kube/server/service/requests.ts';
import { startTestApi, type TestApi } from '../../support/api.ts';
import { assertNotQuadratic } from '../../support/growth.ts';

const lists: ResourceDef = {
  group: 'x.dev',
  version: 'v1',
  kind: 'Lists',
  listKind: 'ListsList',
  plural: 'lists',
  singular: 'lists',
  namespaced: true,
  builtin: false,
  columns: [],
  schema: {
    type: 'object',
    properties: {
      spec: {
        type: 'object',
        properties: {
          keyed: {
            type: 'array',
            'x-kubernetes-list-type': 'map',
            'x-kubernetes-list-map-keys': ['name'],
            items: {
              type: 'object',
              required: ['name'],
              properties: { name: { type: 'string' }, value: { type: 'string', maxLength: 3 } },
            },
          },
          set: { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'string' } },
          free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        },
      },
    },
  },
};

const range = <T>(length: number, make: (i: number) => T): T[] => Array.from({ length }, (_, i) => make(i));
const members = (length: number, value: unknown = 'x'): Record<string, unknown> =>
  Object.fromEntries(range(length, (i) => [`k${i}`, value]));
const entryOf = (fields: object): object => ({
  manager: 'm',
  operation: 'Update',
  apiVersion: 'v1',
  time: '2020-01-01T00:00:00Z',
  fieldsType: 'FieldsV1',
  fieldsV1: fields,
});

describe('large objects', () => {
  const user = 'system:admin';
  let api: TestApi;
  let last = 0;
  before(async () => {
    api = await startTestApi({ resources: [lists] });
  });
  after(() => api.close());

  const objectOf = (def: ResourceDef, name: string, more: object, metadata: object = {}): object => ({
    apiVersion: def.group ? `${def.group}/${def.version}` : def.version,
    kind: def.kind,
    metadata: { name, ...metadata },
    ...more,
  });
  /** What the server makes of it does not matter, only that it is done with it. */
  const answered = (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => error);
  const dryRun = (def: ResourceDef, more: object, metadata: object = {}): Promise<unknown> =>
    answered(
      api.service.create(def, 'default', objectOf(def, 'dry', more, metadata), { user, dryRun: true }),
    );
  const podSpec = (more: object): object => ({ spec: { containers: [{ name: 'c', image: 'x', ...more }] } });

  const creations: readonly [string, ResourceDef, (n: number) => [more: object, metadata?: object]][] = [
    ['data of a ConfigMap', configMaps, (n) => [{ data: members(n) }]],
    ['keys of a ConfigMap that are none', configMaps, (n) => [{ data: { [`a b${n}`]: 'x', ...members(n) } }]],
    ['unknown fields', configMaps, (n) => [members(n)]],
    ['labels', configMaps, (n) => [{}, { labels: members(n) }]],
    ['labels that are none', configMaps, (n) => [{}, { labels: members(n, '-') }]],
    ['annotations', configMaps, (n) => [{}, { annotations: members(n) }]],
    ['finalizers', configMaps, (n) => [{}, { finalizers: range(n, (i) => `x.dev/f${i}`) }]],
    [
      'owners',
      configMaps,
      (n) => [
        {},
        { ownerReferences: range(n, (i) => ({ apiVersion: 'v1', kind: 'X', name: 'x', uid: `u${i}` })) },
      ],
    ],
    [
      'one large entry of managedFields',
      configMaps,
      (n) => [{}, { managedFields: [entryOf({ 'f:data': members(n, {}) })] }],
    ],
    [
      'items in managedFields',
      configMaps,
      (n) => [
        {},
        {
          managedFields: [
            entryOf({ 'f:data': Object.fromEntries(range(n, (i) => [`k:{"name":"n${n - i}"}`, {}])) }),
          ],
        },
      ],
    ],
    [
      'very many managers',
      configMaps,
      (n) => [{}, { managedFields: range(n, (i) => ({ ...entryOf({ 'f:data': {} }), manager: `m${i}` })) }],
    ],
    ['environment', pods, (n) => [podSpec({ env: range(n, (i) => ({ name: `E${i}`, value: '$(E0)' })) })]],
    ['ports', services, (n) => [{ spec: { ports: range(n, (i) => ({ name: `p${i}`, port: 1 + i })) } }]],
    ['keyed items', lists, (n) => [{ spec: { keyed: range(n, (i) => ({ name: `n${i}`, value: 'x' })) } }]],
    ['keyed items that repeat', lists, (n) => [{ spec: { keyed: range(n, () => ({ name: 'n' })) } }]],
    ['wrong items', lists, (n) => [{ spec: { keyed: range(n, (i) => ({ name: `n${i}`, value: 'long' })) } }]],
    ['a set', lists, (n) => [{ spec: { set: range(n, (i) => `v${i}`) } }]],
    ['anything', lists, (n) => [{ spec: { free: members(n, [{}]) } }]],
  ];
  for (const [what, def, make] of creations) {
    it(`are created in time: ${what}`, () =>
      assertNotQuadratic((n) => {
        const [more, metadata] = make(n);
        return () => dryRun(def, more, metadata);
      }, 1500));
  }

  /** An object that is there, and what `change` makes of it. */
  async function changed(
    def: ResourceDef,
    make: (n: number) => object,
    change: (n: number) => PatchRequest,
    n = 1500,
  ): Promise<void> {
    const names = new Map<number, string>();
    for (const length of [n, 8 * n]) {
      const name = `o${last++}`;
      names.set(length, name);
      await api.service.create(def, 'default', objectOf(def, name, make(length)), {
        user,
        fieldManager: 'm',
      });
    }
    await assertNotQuadratic((length) => {
      const key = { namespace: 'default', name: names.get(length) ?? '' };
      const patch = change(length);
      const body = patch.type === 'apply' ? objectOf(def, key.name, patch.body as object) : patch.body;
      return () =>
        answered(
          api.service.patch(
            def,
            key,
            { ...patch, body },
            {
              user,
              dryRun: true,
              fieldManager: 'm',
            },
          ),
        );
    }, n);
  }

  const keyed = (n: number, value: string): object => ({
    spec: { keyed: range(n, (i) => ({ name: `n${i}`, value })) },
  });

  it('are changed in time: a merge patch of all members', () =>
    changed(
      configMaps,
      (n) => ({ data: members(n) }),
      (n) => ({ type: 'merge', body: { data: members(n, 'y') } }),
    ));

  it('are changed in time: the same applied again, something else, less', async () => {
    const data = (n: number, value: string): object => ({ data: members(n, value) });
    await changed(
      configMaps,
      (n) => data(n, 'x'),
      (n) => ({ type: 'apply', body: data(n, 'x') }),
    );
    await changed(
      configMaps,
      (n) => data(n, 'x'),
      (n) => ({ type: 'apply', body: data(n, 'y') }),
    );
    await changed(
      lists,
      (n) => keyed(n, 'x'),
      (n) => ({ type: 'apply', body: keyed(n, 'y') }),
    );
    await changed(
      lists,
      (n) => keyed(n, 'x'),
      (n) => ({ type: 'apply', body: keyed(n / 2, 'y') }),
    );
  });

  it('are changed in time: items that were right and are all wrong', () =>
    changed(
      lists,
      (n) => keyed(n, 'x'),
      (n) => ({ type: 'merge', body: keyed(n, 'long') }),
    ));

  it('are changed in time: strategic patches of long lists, in another order', () =>
    changed(
      deployments,
      (n) => ({
        spec: {
          selector: { matchLabels: { a: 'b' } },
          template: {
            metadata: { labels: { a: 'b' } },
            ...podSpec({ env: range(n, (i) => ({ name: `E${i}`, value: 'x' })) }),
          },
        },
      }),
      (n) => ({
        type: 'strategic',
        body: {
          spec: {
            template: podSpec({
              env: range(n, (i) => ({ name: `E${n - i - 1}`, value: 'y' })),
              '$setElementOrder/env': range(n, (i) => ({ name: `E${n - i - 1}` })),
            }),
          },
        },
      }),
    ));

  it('are changed in time: as many operations of a JSON patch as members', () =>
    changed(
      configMaps,
      (n) => ({ data: members(n) }),
      (n) => ({
        type: 'json',
        body: range(n, (i) => ({ op: 'move', from: `/data/k${i}`, path: `/data/m${i}` })),
      }),
    ));

  it('texts are looked through in time for what repeats', () =>
    assertNotQuadratic((n) => {
      const text = `{${range(n, (i) => `"k${i}":{"a":1,"a":[]}`).join(',')},"k0":1}`;
      return () => {
        assert.equal(inspectJson(Buffer.from(text)).members, 3 * n + 1);
        assert.ok(repeatedMembers(text).length <= 100);
      };
    }, 2000));

  it('paths of what repeats are not written a hundred times over when they are long', () => {
    const long = 'k'.repeat(200_000);
    const text = `{"${long}":[${range(100, () => '{"a":1,"a":1}').join(',')}]}`;
    const found = repeatedMembers(text);
    assert.equal(found.length, 1);
    assert.ok(found[0]?.endsWith('[0].a'));
  });
});
