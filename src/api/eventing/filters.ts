/** Faults of a trigger's filters (knative/eventing pkg/apis/eventing/v1, CloudEvents Subscriptions API). */
import type { Issue } from '../resource.ts';
import type { Schema } from '../schema.ts';
import { fault, invalidKey, join } from '../knative/field-errors.ts';

const attributeMap = { type: 'object', additionalProperties: { type: 'string' } } as const satisfies Schema;
/** Filters nest without end, which a structural schema cannot say; {@link validateFilters} checks them all the same. */
const nested = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } as const satisfies Schema;

export const filtersSchema = {
  type: 'array',
  description: 'Filters that must all match. Each has one dialect. Hides `filter`.',
  items: {
    type: 'object',
    properties: {
      exact: attributeMap,
      prefix: attributeMap,
      suffix: attributeMap,
      all: { type: 'array', items: nested },
      any: { type: 'array', items: nested },
      not: nested,
      cesql: { type: 'string' },
    },
  },
} as const satisfies Schema;

const attributeName = /^[a-z][a-z0-9]*$/;
const nameRule = 'Attribute name must start with a letter and can only contain lowercase alphanumeric';
const maps = ['exact', 'prefix', 'suffix'] as const;
const lists = ['all', 'any'] as const;
const dialects = new Set<string>([...maps, ...lists, 'not', 'cesql']);
const maxDepth = 32;

export function validateAttributeNames(attributes: object | undefined, path: string): Issue[] {
  return Object.keys(attributes ?? {})
    .filter((name) => !attributeName.test(name))
    .map((name) => invalidKey(name, path, nameRule));
}

/** `filters` comes from a client and its nested part has not met a schema: nothing about its shape is assumed. */
export function validateFilters(filters: unknown, path: string, depth = 0): Issue[] {
  if (filters === undefined) return [];
  if (!Array.isArray(filters)) return [fault('expected a list of filters', path)];
  return filters.flatMap((filter, i) => validateFilter(filter, join(path, i), depth));
}

function validateFilter(filter: unknown, path: string, depth: number): Issue[] {
  if (depth > maxDepth) return [fault(`filters nest deeper than ${maxDepth}`, path)];
  if (!isRecord(filter)) return [fault('expected a filter', path)];
  const set = Object.keys(filter);
  const unknown = set.filter((name) => !dialects.has(name));
  if (unknown.length > 0) return unknown.map((name) => fault('unknown filter dialect', join(path, name)));
  if (set.length > 1) return [fault('multiple dialects found, filters can have only one dialect set', path)];
  if ('cesql' in filter) {
    return [
      fault(
        'CESQL filters are not supported',
        join(path, 'cesql'),
        'Knapsack has the dialects exact, prefix, suffix, all, any and not',
      ),
    ];
  }
  return [
    ...maps.flatMap((name) => (name in filter ? validateMap(filter[name], join(path, name)) : [])),
    ...lists.flatMap((name) =>
      name in filter ? validateFilters(filter[name], join(path, name), depth + 1) : [],
    ),
    ...('not' in filter ? validateFilter(filter['not'], join(path, 'not'), depth + 1) : []),
  ];
}

function validateMap(map: unknown, path: string): Issue[] {
  if (!isRecord(map)) return [fault('expected attribute names with text', path)];
  const texts = Object.entries(map).filter(([, value]) => typeof value !== 'string');
  return [
    ...validateAttributeNames(map, path),
    ...texts.map(([name]) => fault('expected text', join(path, name))),
  ];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
