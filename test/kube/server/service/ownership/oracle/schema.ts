/** One type with every relation that fields may have, as a structural schema and in structured-merge-diff's own words. */
import type { Schema } from '../../../../../../src/api/schema.ts';

const text: Schema = { type: 'string' };
const number: Schema = { type: 'integer' };
const pair: Schema = {
  type: 'object',
  properties: { a: text, b: number, inner: { type: 'object', properties: { x: text, y: text } } },
};
const set = (items: Schema): Schema => ({ type: 'array', items, 'x-kubernetes-list-type': 'set' });

export const rootSchema: Schema = {
  type: 'object',
  properties: {
    text,
    number,
    labels: { type: 'object', additionalProperties: text },
    whole: { type: 'object', additionalProperties: text, 'x-kubernetes-map-type': 'atomic' },
    pair,
    wholePair: { ...pair, 'x-kubernetes-map-type': 'atomic' },
    words: set(text),
    numbers: set(number),
    list: { type: 'array', items: text },
    pairs: { type: 'object', additionalProperties: pair },
    items: {
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
      items: {
        type: 'object',
        properties: {
          name: text,
          value: number,
          tags: set(text),
          pair,
          labels: { type: 'object', additionalProperties: text },
        },
      },
    },
    ports: {
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['port', 'protocol'],
      items: {
        type: 'object',
        properties: { port: number, protocol: { type: 'string', default: 'TCP' }, name: text },
      },
    },
    free: { 'x-kubernetes-preserve-unknown-fields': true },
  },
};

export const rootOracleSchema = `types:
- name: root
  map:
    fields:
    - {name: text, type: {scalar: string}}
    - {name: number, type: {scalar: numeric}}
    - {name: labels, type: {map: {elementType: {scalar: string}}}}
    - {name: whole, type: {map: {elementType: {scalar: string}, elementRelationship: atomic}}}
    - {name: pair, type: {namedType: pair}}
    - {name: wholePair, type: {namedType: wholePair}}
    - {name: words, type: {list: {elementType: {scalar: string}, elementRelationship: associative}}}
    - {name: numbers, type: {list: {elementType: {scalar: numeric}, elementRelationship: associative}}}
    - {name: list, type: {list: {elementType: {scalar: string}, elementRelationship: atomic}}}
    - {name: pairs, type: {map: {elementType: {namedType: pair}}}}
    - {name: items, type: {list: {elementType: {namedType: item}, elementRelationship: associative, keys: [name]}}}
    - {name: ports, type: {list: {elementType: {namedType: port}, elementRelationship: associative, keys: [port, protocol]}}}
    - {name: free, type: {namedType: __untyped_deduced_}}
- name: pair
  map:
    fields:
    - {name: a, type: {scalar: string}}
    - {name: b, type: {scalar: numeric}}
    - {name: inner, type: {namedType: inner}}
- name: wholePair
  map:
    elementRelationship: atomic
    fields:
    - {name: a, type: {scalar: string}}
    - {name: b, type: {scalar: numeric}}
    - {name: inner, type: {namedType: inner}}
- name: inner
  map:
    fields:
    - {name: x, type: {scalar: string}}
    - {name: "y", type: {scalar: string}}
- name: item
  map:
    fields:
    - {name: name, type: {scalar: string}}
    - {name: value, type: {scalar: numeric}}
    - {name: tags, type: {list: {elementType: {scalar: string}, elementRelationship: associative}}}
    - {name: pair, type: {namedType: pair}}
    - {name: labels, type: {map: {elementType: {scalar: string}}}}
- name: port
  map:
    fields:
    - {name: port, type: {scalar: numeric}}
    - {name: protocol, type: {scalar: string}, default: TCP}
    - {name: name, type: {scalar: string}}
- name: __untyped_atomic_
  scalar: untyped
  list: {elementType: {namedType: __untyped_atomic_}, elementRelationship: atomic}
  map: {elementType: {namedType: __untyped_atomic_}, elementRelationship: atomic}
- name: __untyped_deduced_
  scalar: untyped
  list: {elementType: {namedType: __untyped_atomic_}, elementRelationship: atomic}
  map: {elementType: {namedType: __untyped_deduced_}, elementRelationship: separable}
`;
