import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { resources } from '../../src/api/registry.ts';
import type { Issue } from '../../src/api/resource.ts';
import type { Schema } from '../../src/api/schema.ts';
import { kubernetesFacts, kubernetesSchema } from '../../src/api/kubernetes/schemas.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import {
  applyDefaults,
  isMembers,
  prune,
  resolveSchema,
  resourceSchema,
  typeIssues,
  validateStructure,
} from '../../src/api/structural.ts';

const widget = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      required: ['size'],
      properties: {
        size: { type: 'integer', minimum: 1, maximum: 9 },
        mode: { type: 'string', enum: ['fast', 'slow'], default: 'fast' },
        name: { type: 'string', pattern: '^[a-z]+$', minLength: 2, maxLength: 4 },
        port: { 'x-kubernetes-int-or-string': true },
        note: { type: 'string', nullable: true },
        limits: { type: 'object', additionalProperties: { type: 'string' } },
        free: {
          type: 'object',
          'x-kubernetes-preserve-unknown-fields': true,
          properties: { known: { type: 'object', properties: {} } },
        },
        nested: { type: 'object', default: {}, properties: { deep: { type: 'boolean', default: true } } },
        items: {
          type: 'array',
          maxItems: 3,
          minItems: 1,
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
          items: {
            type: 'object',
            properties: { name: { type: 'string' }, value: { type: 'number', default: 1 } },
          },
        },
        tags: { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'string' } },
        embedded: {
          type: 'object',
          'x-kubernetes-embedded-resource': true,
          properties: { spec: { type: 'string' } },
        },
        template: { $ref: 'core.v1.PodTemplateSpec' },
      },
    },
  },
} as const satisfies Schema;

const text = ({ type, path, detail }: Issue): string => `${type} ${path}${detail ? ` ${detail}` : ''}`;
const faults = (spec: unknown): string[] => validateStructure(widget, { spec }, false).map(text);

describe('bounds of what a schema may cost', () => {
  const checked = (spec: Schema, value: unknown): string[] => {
    const schema: Schema = { type: 'object', properties: { spec } };
    return validateStructure(schema, { spec: value }, false).map(text);
  };

  it('all patterns share one budget, and a spent one is said to be so, once', () => {
    const hard = Array.from({ length: 300 }, (_, i): Schema => ({ pattern: `(a|aa)*b${i}$` }));
    const words = ['Forbidden  the patterns of the schema take too long to check on this object'];
    assert.deepEqual(checked({ type: 'string', allOf: hard }, 'a'.repeat(100_000)), words);
    const many: Schema = { type: 'array', items: { type: 'string', pattern: '^(a+)+$' } };
    const long = 'a'.repeat(20_000);
    assert.deepEqual(checked(many, Array(100).fill(long)), words);
    assert.deepEqual(checked(many, Array(10).fill(long)), []);
    const large: Schema = { type: 'object', properties: {} };
    const properties = Object.fromEntries(
      Array.from({ length: 500 }, (_, i): [string, Schema] => [
        `p${i}`,
        { type: 'string', pattern: `^(a{1000}){19}${i}` },
      ]),
    );
    const value = Object.fromEntries(Object.keys(properties).map((name) => [name, 'a']));
    assert.deepEqual(checked({ ...large, properties }, value), words);
  });

  it('a schema that looks at a long text again and again, and faults at a long path, are bounded', () => {
    const words = ['Forbidden  the schema takes too long to check on this object'];
    const lengths = Array.from({ length: 5000 }, (_, i): Schema => ({ maxLength: 150_000 + i }));
    assert.deepEqual(checked({ type: 'string', allOf: lengths }, 'a'.repeat(200_000)), words);
    const map: Schema = {
      type: 'object',
      additionalProperties: { type: 'array', items: { type: 'integer' } },
    };
    assert.deepEqual(checked(map, { ['k'.repeat(1_000_000)]: Array(1000).fill('x') }), words);
    assert.equal(checked(map, { k: Array(100_000).fill('x') }).length, 100_000);
  });

  it('counts characters as code points', () => {
    const three: Schema = { type: 'string', minLength: 3, maxLength: 3 };
    assert.deepEqual(checked(three, '\u{1f600}'.repeat(3)), []);
    for (const wrong of ['\u{1f600}'.repeat(2), 'ab', 'abcd', '\u{1f600}'.repeat(4)]) {
      assert.equal(checked(three, wrong).length, 1, wrong);
    }
  });

  it('finds the one wrong value of a large map or list of plain values', () => {
    const strings: Schema = { type: 'object', additionalProperties: { type: 'string' } };
    const value: Record<string, unknown> = Object.fromEntries(
      Array.from({ length: 1000 }, (_, i) => [`k${i}`, 'x']),
    );
    assert.deepEqual(checked(strings, value), []);
    for (const wrong of [1, null, {}, [], true]) {
      assert.match(checked(strings, { ...value, k500: wrong }).join(), /^TypeInvalid spec\[k500\] /);
      const list: Schema = { type: 'array', items: { type: 'string' } };
      assert.match(checked(list, ['x', wrong]).join(), /^TypeInvalid spec\[1\] /);
    }
  });
});

describe('validation of form, custom kinds', () => {
  const cases: [string, unknown, string[]][] = [
    ['a good one', { size: 1, mode: 'slow', name: 'abc', port: 'http', note: null, limits: { a: 'b' } }, []],
    ['a missing member', {}, ['Required spec.size']],
    [
      'a wrong type',
      { size: 'x' },
      ['TypeInvalid spec.size spec.size in body must be of type integer: "string"'],
    ],
    [
      'a fraction for an integer',
      { size: 1.5 },
      ['TypeInvalid spec.size spec.size in body must be of type integer: "number"'],
    ],
    [
      'null where it is not allowed',
      { size: 1, name: null },
      ['TypeInvalid spec.name spec.name in body must be of type string: "null"'],
    ],
    ['null where a default stands', { size: 1, mode: null }, []],
    ['too small', { size: 0 }, ['Invalid spec.size spec.size in body should be greater than or equal to 1']],
    ['too big', { size: 10 }, ['Invalid spec.size spec.size in body should be less than or equal to 9']],
    ['an unknown value', { size: 1, mode: 'x' }, ['NotSupported spec.mode supported values: "fast", "slow"']],
    [
      'a text of the wrong form and length',
      { size: 1, name: 'A' },
      [
        'Invalid spec.name spec.name in body should be at least 2 chars long',
        "Invalid spec.name spec.name in body should match '^[a-z]+$'",
      ],
    ],
    [
      'a text that is too long',
      { size: 1, name: 'abcde' },
      ['TooLong spec.name may not be more than 4 bytes'],
    ],
    [
      'a boolean port',
      { size: 1, port: true },
      ['TypeInvalid spec.port spec.port in body must be of type integer,string: "boolean"'],
    ],
    [
      'a map value',
      { size: 1, limits: { a: 1 } },
      ['TypeInvalid spec.limits[a] spec.limits[a] in body must be of type string: "integer"'],
    ],
    [
      'too few items',
      { size: 1, items: [] },
      ['Invalid spec.items spec.items in body should have at least 1 items'],
    ],
    [
      'too many items',
      { size: 1, items: [{ name: 'a' }, { name: 'b' }, { name: 'c' }, { name: 'd' }] },
      ['TooMany spec.items must have at most 3 items'],
    ],
    [
      'items with the same key',
      { size: 1, items: [{ name: 'a' }, { name: 'a' }] },
      ['Duplicate spec.items[1]'],
    ],
    ['a set with an item twice', { size: 1, tags: ['a', 'b', 'a'] }, ['Duplicate spec.tags[2]']],
    [
      'nulls that Go clients send inside Kubernetes types',
      { size: 1, template: { metadata: { creationTimestamp: null }, spec: { containers: null } } },
      [],
    ],
  ];
  for (const [what, spec, expected] of cases) it(what, () => assert.deepEqual(faults(spec), expected));
});

describe('validation of form, built-in kinds', () => {
  const schema = resourceSchema(pods);
  const podFaults = (spec: unknown): string[] =>
    validateStructure(schema, { metadata: {}, spec }, true).map(text);
  const cases: [string, unknown, string[]][] = [
    ['null members', { containers: [], nodeName: null }, []],
    [
      'a text for a list',
      { containers: 'x' },
      [
        'TypeInvalid spec.containers json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container',
      ],
    ],
    [
      'a number for a text',
      { containers: [{ name: 'a', image: 3 }] },
      [
        'TypeInvalid spec.containers[0].image json: cannot unmarshal number into Go struct field Container.spec.containers.image of type string',
      ],
    ],
    [
      'a number that is too big',
      { containers: [{ name: 'a', ports: [{ containerPort: 2147483648 }] }] },
      [
        'TypeInvalid spec.containers[0].ports[0].containerPort json: cannot unmarshal number 2147483648 into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32',
      ],
    ],
    ['a missing name', { containers: [{}] }, ['Required spec.containers[0].name']],
    [
      'the same variable twice, as Kubernetes allows',
      { containers: [{ name: 'a', env: [{ name: 'X' }, { name: 'X' }] }] },
      [],
    ],
    ['a quantity', { containers: [{ name: 'a', resources: { limits: { cpu: 2, memory: '1Gi' } } }] }, []],
    [
      'a malformed quantity',
      { containers: [{ name: 'a', resources: { limits: { cpu: 'lots' } } }] },
      [
        "Invalid spec.containers[0].resources.limits[cpu] quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
      ],
    ],
  ];
  for (const [what, spec, expected] of cases) it(what, () => assert.deepEqual(podFaults(spec), expected));

  it('does not ask for what a status may leave out', () => {
    const status = { containerStatuses: [{ name: 'a' }] };
    assert.deepEqual(validateStructure(schema, { metadata: {}, status }, true), []);
  });

  it('finds only types when asked for types', () => {
    const object = { metadata: {}, spec: { containers: [{ image: 3 }] } };
    assert.deepEqual(
      typeIssues(schema, object, true).map(({ type }) => type),
      ['TypeInvalid'],
    );
  });
});

describe('defaults', () => {
  it('fill what is missing, also inside objects that are themselves defaulted', () => {
    const object = { spec: { size: 1, mode: null, items: [{ name: 'a' }, { name: 'b', value: 2 }] } };
    applyDefaults(widget, object);
    assert.deepEqual(object, {
      spec: {
        size: 1,
        mode: 'fast',
        nested: { deep: true },
        items: [
          { name: 'a', value: 1 },
          { name: 'b', value: 2 },
        ],
      },
    });
  });
  it('are copies: changing one object does not change the next', () => {
    const first = { spec: { size: 1, nested: undefined as unknown } };
    const second = { spec: { size: 1, nested: undefined as unknown } };
    applyDefaults(widget, first);
    (first.spec.nested as { deep: boolean }).deep = false;
    applyDefaults(widget, second);
    assert.deepEqual(second.spec.nested, { deep: true });
  });
  it('treat Kubernetes types as Go decodes them', () => {
    const object = {
      metadata: { name: 'x', creationTimestamp: null, labels: {} },
      spec: {
        nodeName: '',
        hostNetwork: false,
        terminationGracePeriodSeconds: 0,
        initContainers: [],
        containers: [{ name: 'a', args: [], resources: { limits: { cpu: 2 } } }],
        volumes: [{ name: 'v', emptyDir: {} }],
      },
    };
    applyDefaults(resourceSchema(pods), object);
    assert.deepEqual(object, {
      metadata: { name: 'x' },
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [{ name: 'a', resources: { limits: { cpu: '2' } } }],
        volumes: [{ name: 'v', emptyDir: {} }],
      },
      status: {},
    });
  });
  it('leave what the store shares alone, as webhooks hand it on with the object', () => {
    const entry = { manager: 'a', operation: 'Update', apiVersion: 'v1', time: '2026-01-01T00:00:00Z' };
    const object = { metadata: { managedFields: [Object.freeze(entry)] } };
    applyDefaults(resourceSchema(pods), object);
    assert.equal(object.metadata.managedFields[0]?.time, '2026-01-01T00:00:00Z');
  });
  it('give an empty text for a null in a map of texts', () => {
    const object = { metadata: { annotations: { a: null } } };
    applyDefaults(resourceSchema(pods), object);
    assert.deepEqual(object.metadata, { annotations: { a: '' } });
  });
});

describe('pruning', () => {
  it('removes unknown members and names them', () => {
    const object = {
      status: 1,
      spec: {
        size: 1,
        foo: 1,
        items: [{ name: 'a' }, { name: 'b', bar: 1 }],
        free: { anything: { goes: 1 }, known: { dropped: 1 } },
        embedded: { apiVersion: 'v1', kind: 'X', metadata: { name: 'x', bogus: 1 }, spec: 's', other: 1 },
        template: { spec: { containers: [{ name: 'a', imag: 'typo' }] } },
      },
    };
    assert.deepEqual(prune(widget, object), [
      'status',
      'spec.foo',
      'spec.items[1].bar',
      'spec.free.known.dropped',
      'spec.embedded.metadata.bogus',
      'spec.embedded.other',
      'spec.template.spec.containers[0].imag',
    ]);
    assert.deepEqual(object.spec.free, { anything: { goes: 1 }, known: {} });
  });
  it('knows all metadata of an embedded object, though its schema names but a part of it', () => {
    const schema: Schema = {
      type: 'object',
      'x-kubernetes-embedded-resource': true,
      properties: { metadata: { type: 'object', properties: { name: { type: 'string' } } } },
    };
    const object = { apiVersion: 'v1', metadata: { name: 'x', namespace: 'y', bogus: 1 } };
    assert.deepEqual(prune(schema, object), ['metadata.bogus']);
    assert.deepEqual(object.metadata, { name: 'x', namespace: 'y' });
  });
  it('keeps whatever a map holds', () => {
    const object = { spec: { limits: { anything: 'x' } } };
    assert.deepEqual(prune(widget, object), []);
  });
  it('is not led astray by names that every object has', () => {
    const object = JSON.parse('{"spec":{"constructor":1,"toString":2,"size":1}}') as object;
    assert.deepEqual(prune(widget, object), ['spec.constructor', 'spec.toString']);
  });
});

describe('the schemas of all resources', () => {
  it('resolve to the end, with apiVersion, kind and metadata', () => {
    const seen = new Set<Schema>();
    const visit = (schema: Schema): void => {
      const resolved = resolveSchema(schema);
      if (seen.has(resolved)) return;
      seen.add(resolved);
      for (const member of Object.values(resolved.properties ?? {})) visit(member);
      if (resolved.items) visit(resolved.items);
      if (resolved.additionalProperties) visit(resolved.additionalProperties);
    };
    for (const def of resources) {
      const schema = resourceSchema(def);
      assert.ok(schema.properties?.['metadata'], def.kind);
      assert.equal(resourceSchema(def), schema);
      visit(schema);
    }
    for (const name of Object.keys(kubernetesFacts)) if (!name.startsWith('_')) visit(kubernetesSchema(name));
  });
});

/** Values of a schema, and near misses of it. */
function valuesOf(schema: Schema, depth = 0): fc.Arbitrary<unknown> {
  const resolved = resolveSchema(schema);
  if (depth > 5) return fc.constant(undefined);
  if (resolved['x-kubernetes-int-or-string'])
    return fc.oneof(fc.nat(100), fc.constantFrom('1', '10%', '1Gi'));
  switch (resolved.type) {
    case 'string':
      return resolved.format === 'date-time'
        ? fc.constant('2026-01-01T00:00:00Z')
        : fc.string({ maxLength: 5 });
    case 'integer':
      return fc.nat(1000);
    case 'number':
      return fc.double({ noNaN: true, noDefaultInfinity: true });
    case 'boolean':
      return fc.boolean();
    case 'array':
      return fc
        .array(valuesOf(resolved.items ?? {}, depth + 1), { maxLength: 2 })
        .map((list) => list.filter((item) => item !== undefined));
    case 'object': {
      if (!resolved.properties) {
        const value = valuesOf(resolved.additionalProperties ?? {}, depth + 1);
        return fc.dictionary(
          fc.constantFrom('a', 'b'),
          value.map((item) => item ?? 'x'),
        );
      }
      const entries = Object.entries(resolved.properties);
      return fc
        .subarray(entries, { maxLength: Math.min(4, entries.length) })
        .chain((some) =>
          fc.record(
            Object.fromEntries(
              some.map(([name, member]) => [
                name,
                fc.oneof({ weight: 9, arbitrary: valuesOf(member, depth + 1) }, fc.constant(null)),
              ]),
            ),
          ),
        );
    }
    default:
      return fc.constant('x');
  }
}

describe('the walkers together', () => {
  it('do nothing the second time, and leave no nulls in Kubernetes types', () => {
    const schema = resourceSchema(pods);
    fc.assert(
      fc.property(valuesOf(schema), (value) => {
        const object = structuredClone(value);
        assert.deepEqual(prune(schema, object), [], 'all members are known');
        assert.deepEqual(typeIssues(schema, object, true), []);
        applyDefaults(schema, object);
        const once = structuredClone(object);
        applyDefaults(schema, object);
        assert.deepEqual(object, once);
        const nulls = (item: unknown): boolean =>
          item === null ||
          (Array.isArray(item) ? item.some(nulls) : isMembers(item) && Object.values(item).some(nulls));
        assert.equal(nulls(object), false);
      }),
      { numRuns: 200 },
    );
  });
});
