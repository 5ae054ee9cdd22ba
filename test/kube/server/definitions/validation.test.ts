import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { UntypedObject } from '../../../../src/api/object.ts';
import { startTestApi, type TestApi } from '../../../support/api.ts';
import { definitionsOf, thing, version, type Kind } from './support.ts';

let api: TestApi;
let definitions: Kind;

before(async () => {
  api = await startTestApi();
  definitions = definitionsOf(api.service);
});
after(() => api.close());

type Members = Record<string, unknown>;

/** Creates the definition, and takes it away again where that succeeds. */
async function fault(definition: UntypedObject): Promise<string> {
  try {
    await definitions.create(definition);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('the definition was accepted');
}

const schemaPath = 'spec.versions[0].schema.openAPIV3Schema';
const spec = `${schemaPath}.properties[spec]`;

/** Schemas of `spec`, and what is said of them. */
const schemas: readonly (readonly [string, Members, string])[] = [
  [
    'a property without a type',
    { properties: { a: {} } },
    `${spec}.properties[a].type: Required value: must not be empty for specified object fields`,
  ],
  [
    'items without a type',
    { properties: { a: { type: 'array', items: {} } } },
    `${spec}.properties[a].items.type: Required value: must not be empty for specified array items`,
  ],
  [
    'a list without items',
    { properties: { a: { type: 'array' } } },
    `${spec}.properties[a].items: Required value: must be specified`,
  ],
  [
    'an unknown type',
    { properties: { a: { type: 'text' } } },
    `${spec}.properties[a].type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", "object", "string"`,
  ],
  ['a reference', { properties: { a: { $ref: '#/x' } } }, `$ref: Forbidden: $ref is not supported`],
  [
    'patternProperties',
    { patternProperties: { a: { type: 'string' } } },
    'patternProperties: Forbidden: patternProperties is not supported',
  ],
  [
    'uniqueItems',
    { properties: { a: { type: 'array', items: { type: 'string' }, uniqueItems: true } } },
    'uniqueItems cannot be set to true since the runtime complexity becomes quadratic',
  ],
  [
    'both kinds of members',
    { properties: { a: { type: 'string' } }, additionalProperties: { type: 'string' } },
    'additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive',
  ],
  [
    'additionalProperties: false',
    { additionalProperties: false },
    'additionalProperties cannot be set to false',
  ],
  [
    'a list of items schemas',
    { properties: { a: { type: 'array', items: [{ type: 'string' }] } } },
    'items must be a schema object and not an array',
  ],
  [
    'a bad pattern',
    { properties: { a: { type: 'string', pattern: '(' } } },
    `${spec}.properties[a].pattern: Invalid value: "(": must be a valid regular expression, but isn't: error parsing regexp: missing closing )`,
  ],
  [
    'int-or-string with a type',
    { properties: { a: { 'x-kubernetes-int-or-string': true, type: 'string' } } },
    'must be empty if x-kubernetes-int-or-string is true',
  ],
  [
    'preserving unknown fields of text',
    { properties: { a: { type: 'string', 'x-kubernetes-preserve-unknown-fields': true } } },
    'must be object if x-kubernetes-preserve-unknown-fields is true',
  ],
  [
    'x-kubernetes-preserve-unknown-fields: false',
    { 'x-kubernetes-preserve-unknown-fields': false },
    'x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined',
  ],
  [
    'an embedded resource without members',
    { properties: { a: { type: 'object', 'x-kubernetes-embedded-resource': true } } },
    'must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields',
  ],
  [
    'a list type of a text',
    { properties: { a: { type: 'string', 'x-kubernetes-list-type': 'set' } } },
    'must be array if x-kubernetes-list-type is specified',
  ],
  [
    'a map list without keys',
    { properties: { a: { type: 'array', items: { type: 'object' }, 'x-kubernetes-list-type': 'map' } } },
    'x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map',
  ],
  [
    'a key that no item has',
    {
      properties: {
        a: {
          type: 'array',
          items: { type: 'object' },
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['k'],
        },
      },
    },
    'x-kubernetes-list-map-keys[0]: Invalid value: "k": entries must all be names of item properties',
  ],
  [
    'an optional key',
    {
      properties: {
        a: {
          type: 'array',
          items: { type: 'object', properties: { k: { type: 'string' } } },
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['k'],
        },
      },
    },
    'this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property',
  ],
  [
    'a set of open objects',
    { properties: { a: { type: 'array', items: { type: 'object' }, 'x-kubernetes-list-type': 'set' } } },
    'must be atomic as item of a list with x-kubernetes-list-type=set',
  ],
  [
    'a type inside anyOf',
    { properties: { a: { type: 'string', anyOf: [{ type: 'string' }] } } },
    `${spec}.properties[a].anyOf[0].type: Forbidden: must be empty to be structural`,
  ],
  [
    'a default inside oneOf',
    { oneOf: [{ default: 1 }] },
    'oneOf[0].default: Forbidden: must be undefined to be structural',
  ],
  [
    'a property known to allOf alone',
    { allOf: [{ properties: { a: { minLength: 1 } } }] },
    `${spec}.properties[a]: Required value: because it is defined in openAPIV3Schema.properties[spec].allOf[0].properties[a]`,
  ],
  [
    'a default of a wrong type',
    { properties: { a: { type: 'string', default: 1 } } },
    `${spec}.properties[a].default: Invalid value: "integer": in body must be of type string: "integer"`,
  ],
  [
    'a default out of bounds',
    { properties: { a: { type: 'integer', minimum: 5, default: 1 } } },
    `${spec}.properties[a].default: Invalid value: 1: in body should be greater than or equal to 5`,
  ],
  [
    'a default with unknown fields',
    { properties: { a: { type: 'object', default: { b: 1 } } } },
    'must not have unknown fields',
  ],
  [
    'an items member that is no schema',
    { properties: { a: { type: 'array', items: 'text' } } },
    'must be a schema',
  ],
  [
    'an items member of a wrong form',
    { properties: { a: { type: 'array', items: { type: 'string', minLength: 'x' } } } },
    'cannot unmarshal string into Go struct field',
  ],
  [
    'a rule that is no CEL',
    { 'x-kubernetes-validations': [{ rule: 'self.a ==' }] },
    `${spec}.x-kubernetes-validations[0].rule: Invalid value: "self.a ==": compilation failed: ERROR: <input>:1:`,
  ],
  [
    'a rule about a field that is not there',
    { 'x-kubernetes-validations': [{ rule: 'self.a == 1' }] },
    "undefined field 'a'",
  ],
  [
    'a rule that is no bool',
    { properties: { a: { type: 'integer' } }, 'x-kubernetes-validations': [{ rule: 'self.a + 1' }] },
    'cel expression must evaluate to a bool',
  ],
  [
    'a rule of mixed types',
    {
      properties: { a: { type: 'number' } },
      'x-kubernetes-validations': [{ rule: 'self.a > 1 && self.a + 1 > 2.0' }],
    },
    "found no matching overload for '_+_' applied to '(double, int)'",
  ],
  [
    'an empty rule',
    { 'x-kubernetes-validations': [{ rule: ' ' }] },
    'rule: Required value: rule is not specified',
  ],
  [
    'a reason that is none',
    { 'x-kubernetes-validations': [{ rule: 'true', reason: 'Nope' }] },
    'reason: Unsupported value: "Nope"',
  ],
  [
    'a message of two lines',
    { 'x-kubernetes-validations': [{ rule: 'true', message: 'a\nb' }] },
    'message must not contain line breaks',
  ],
  [
    'a rule of two lines without message',
    { 'x-kubernetes-validations': [{ rule: 'true ||\nfalse' }] },
    'message must be specified if rule contains line breaks',
  ],
  [
    'a message expression that is no text',
    { 'x-kubernetes-validations': [{ rule: 'true', messageExpression: '1' }] },
    'messageExpression must evaluate to a string',
  ],
  [
    'a field path that leads nowhere',
    { 'x-kubernetes-validations': [{ rule: 'true', fieldPath: '.nope' }] },
    'fieldPath must be a valid path',
  ],
  [
    'oldSelf where elements have no identity',
    {
      properties: {
        a: {
          type: 'array',
          maxItems: 5,
          items: { type: 'string', maxLength: 5, 'x-kubernetes-validations': [{ rule: 'self == oldSelf' }] },
        },
      },
    },
    'oldSelf cannot be used on the uncorrelatable portion of the schema',
  ],
  [
    'optionalOldSelf without oldSelf',
    { 'x-kubernetes-validations': [{ rule: 'true', optionalOldSelf: true }] },
    'may not be set if oldSelf is not used in rule',
  ],
  [
    'a rule that costs too much',
    {
      properties: { a: { type: 'array', items: { type: 'array', items: { type: 'string' } } } },
      'x-kubernetes-validations': [{ rule: 'self.a.all(x, x.all(y, y.contains("x")))' }],
    },
    'estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)',
  ],
];

describe('schemas that are not structural', () => {
  for (const [what, schema, message] of schemas) {
    it(what, async () => {
      const text = await fault(thing([version('v1', schema)]));
      assert.ok(text.includes(message), text);
    });
  }
});

/** Changes of a good definition, and what is said of them. */
const changes: readonly (readonly [
  string,
  (definition: UntypedObject & { spec: Members }) => void,
  string,
])[] = [
  [
    'a name that is another',
    (d) => (d.metadata.name = 'x.test.example.dev'),
    'metadata.name: Invalid value: "x.test.example.dev": must be spec.names.plural+"."+spec.group',
  ],
  [
    'a group without a dot',
    (d) => (d.spec['group'] = 'test'),
    'spec.group: Invalid value: "test": should be a domain with at least one dot',
  ],
  [
    "a group of Kubernetes' own",
    (d) => (d.spec['group'] = 'test.k8s.io'),
    'protected groups must have approval annotation',
  ],
  [
    'a plural in capitals',
    (d) => Object.assign(d.spec['names'] as Members, { plural: 'Things' }),
    'spec.names.plural: Invalid value: "Things": a DNS-1035 label',
  ],
  [
    'one kind for object and list',
    (d) => Object.assign(d.spec['names'] as Members, { listKind: 'Thing' }),
    'kind and listKind may not be the same',
  ],
  [
    'a scope that is none',
    (d) => (d.spec['scope'] = 'World'),
    'spec.scope: Unsupported value: "World": supported values: "Cluster", "Namespaced"',
  ],
  [
    'no storage version',
    (d) => (d.spec['versions'] = [version('v1', {}, { storage: false })]),
    'must have exactly one version marked as storage version',
  ],
  [
    'two storage versions',
    (d) => (d.spec['versions'] = [version('v1', {}), version('v2', {})]),
    'must have exactly one version marked as storage version',
  ],
  [
    'a version twice',
    (d) => (d.spec['versions'] = [version('v1', {}), version('v1', {}, { storage: false })]),
    'must contain unique version names',
  ],
  [
    'no schema',
    (d) => (d.spec['versions'] = [{ name: 'v1', served: true, storage: true }]),
    'schema.openAPIV3Schema: Required value: schemas are required',
  ],
  [
    'unknown fields preserved',
    (d) => (d.spec['preserveUnknownFields'] = true),
    'spec.preserveUnknownFields: Invalid value: true: must be false',
  ],
  [
    'a column of no type',
    (d) =>
      (d.spec['versions'] = [
        version('v1', {}, { additionalPrinterColumns: [{ name: 'A', type: 'time', jsonPath: '.a' }] }),
      ]),
    'additionalPrinterColumns[0].type: Invalid value: "time": must be one of',
  ],
  [
    'a column of no path',
    (d) =>
      (d.spec['versions'] = [
        version('v1', {}, { additionalPrinterColumns: [{ name: 'A', type: 'string', jsonPath: '.a[?(' }] }),
      ]),
    'additionalPrinterColumns[0].jsonPath: Invalid value',
  ],
  [
    'a scale outside spec',
    (d) =>
      (d.spec['versions'] = [
        version(
          'v1',
          {},
          {
            subresources: {
              scale: { specReplicasPath: '.x.replicas', statusReplicasPath: '.status.replicas' },
            },
          },
        ),
      ]),
    'should be a json path under .spec.',
  ],
  [
    'a selectable field that is none',
    (d) => (d.spec['versions'] = [version('v1', {}, { selectableFields: [{ jsonPath: '.spec.nope' }] })]),
    'selectableFields[0].jsonPath: Invalid value',
  ],
  [
    'a webhook without configuration',
    (d) => (d.spec['conversion'] = { strategy: 'Webhook' }),
    'spec.conversion.webhook.clientConfig: Required value',
  ],
  [
    'a webhook over HTTP',
    (d) =>
      (d.spec['conversion'] = {
        strategy: 'Webhook',
        webhook: { conversionReviewVersions: ['v1'], clientConfig: { url: 'http://x' } },
      }),
    "'https' is the only allowed URL scheme",
  ],
  [
    'a review version that is not spoken',
    (d) =>
      (d.spec['conversion'] = {
        strategy: 'Webhook',
        webhook: { conversionReviewVersions: ['v9'], clientConfig: { url: 'https://x' } },
      }),
    'must include at least one of v1',
  ],
  [
    'a strategy that is none',
    (d) => (d.spec['conversion'] = { strategy: 'Magic' }),
    'spec.conversion.strategy: Unsupported value: "Magic"',
  ],
  [
    'a warning without deprecation',
    (d) => (d.spec['versions'] = [version('v1', {}, { deprecationWarning: 'x' })]),
    'can only be set for deprecated versions',
  ],
  [
    'metadata restricted beyond names',
    (d) =>
      (d.spec['versions'] = [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: { metadata: { type: 'object', properties: { labels: { type: 'object' } } } },
            },
          },
        },
      ]),
    'must not specify anything other than name and generateName',
  ],
  [
    'a root that is a list',
    (d) =>
      (d.spec['versions'] = [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'array', items: { type: 'string' } } },
        },
      ]),
    'must be object at the root',
  ],
  ['no names', (d) => delete d.spec['names'], 'spec.names: Required value'],
  ['no spec', (d) => delete (d as UntypedObject)['spec'], 'spec: Required value'],
];

describe('definitions that say too little or too much', () => {
  for (const [what, change, message] of changes) {
    it(what, async () => {
      const definition = thing([version('v1', {})]) as UntypedObject & { spec: Members };
      change(definition);
      const text = await fault(definition);
      assert.ok(text.includes(message), text);
    });
  }
});

describe('what stays as it is', () => {
  const name = 'things.test.example.dev';
  const immutable: readonly (readonly [Members, string])[] = [
    [{ scope: 'Cluster' }, 'spec.scope: Invalid value: "Cluster": field is immutable'],
    [{ names: { kind: 'Other' } }, 'spec.names.kind: Invalid value: "Other": field is immutable'],
    [{ group: 'other.example.dev' }, 'spec.group: Invalid value: "other.example.dev": field is immutable'],
  ];

  it('refuses to change what objects rest on', async () => {
    await definitions.create(thing([version('v1', {})]));
    for (const [change, message] of immutable) {
      await assert.rejects(definitions.merge(name, { spec: change }), (error: Error) =>
        error.message.includes(message),
      );
    }
    await definitions.delete(name);
  });
});
