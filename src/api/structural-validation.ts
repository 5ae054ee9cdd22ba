/** Faults of form: an object against its structural schema. */
import { deepEqual, type Json } from '../base/json.ts';
import { kubernetesTypeName, timeType } from './kubernetes/schemas.ts';
import type { Issue } from './resource.ts';
import type { Schema } from './schema.ts';
import { formatFault, matchesPattern, type PatternBudget } from './structural-formats.ts';
import {
  areAll,
  isMembers,
  memberSchema,
  plainMembers,
  plainScalar,
  resolveSchema,
} from './structural-members.ts';
import { timeFault } from './times.ts';

interface Walk {
  readonly issues: Issue[];
  readonly budget: WalkBudget;
  /** Only types: what a decoder refuses before anything else looks at the object. */
  readonly typesOnly: boolean;
}

/** What one walk may still do. Large objects meet large schemas: the product of both must not stop the server. */
interface WalkBudget extends PatternBudget {
  visits: number;
}

/** More than the largest object has values. Together with the schema that people write it is some tenths of a second. */
const maxVisits = 2_000_000;
/** For all patterns together, states looked at: some tenths of a second, too. */
const maxPatternSteps = 20_000_000;
/** Characters that take as long to look at as a value. */
const charactersAVisit = 64;

function newBudget(): WalkBudget {
  return { visits: maxVisits, steps: maxPatternSteps };
}

/** Where the walk is, and how to speak about it. */
interface Place {
  readonly path: string;
  /** Kubernetes' own kind: Go decoder's words, and Go's leniency about what is absent. */
  readonly builtin: boolean;
  /** Enclosing Go struct (`DeploymentSpec`), for the decoder's words. */
  readonly struct: string;
  /** Inside one of Kubernetes' own types, also in a custom kind: null is absent there. */
  readonly native: boolean;
  /** Inside `status`: absent required members are Go zero values there, never faults. */
  readonly lenient: boolean;
}

/**
 * All faults of form: types, required members, enums, patterns, ranges, unique list keys, nullability.
 * For a built-in kind `TypeInvalid` issues carry the Go decoder's message (a 400, not a 422, on a real cluster) and list
 * keys are left to the kind's own validation, as in Kubernetes.
 */
export function validateStructure(schema: Schema, value: unknown, builtin: boolean): Issue[] {
  const walk: Walk = { issues: [], budget: newBudget(), typesOnly: false };
  visit(walk, schema, value, { path: '', builtin, struct: '', native: false, lenient: false });
  if (walk.budget.visits >= 0) return walk.issues;
  const what = walk.budget.steps < 0 ? 'the patterns of the schema take' : 'the schema takes';
  return [{ type: 'Forbidden', path: '', detail: `${what} too long to check on this object` }];
}

/** Each fault repeats its path, which may be long. */
function report(walk: Walk, issue: Issue): void {
  walk.budget.visits -= issue.path.length / charactersAVisit;
  if (walk.budget.visits >= 0) walk.issues.push(issue);
}

/**
 * Only the `TypeInvalid` faults. Run it before a kind's `mutate`, which may rely on types but not on anything being
 * present.
 */
export function typeIssues(schema: Schema, value: unknown, builtin: boolean): Issue[] {
  const walk: Walk = { issues: [], budget: newBudget(), typesOnly: true };
  visit(walk, schema, value, { path: '', builtin, struct: '', native: false, lenient: false });
  return walk.issues;
}

function visit(walk: Walk, schema: Schema, value: unknown, place: Place): void {
  if (walk.budget.visits-- <= 0) return;
  const resolved = resolveSchema(schema);
  const native = place.native || kubernetesTypeName(resolved) !== undefined;
  if (value === null) {
    if (schema.nullable || resolved.nullable || !resolved.type || place.builtin || native) return;
    // Defaults take the place of null, and they may not have been filled yet.
    if (schema.default !== undefined) return;
    report(walk, typeIssue(resolved, value, place));
    return;
  }
  if (!hasType(resolved, value)) {
    report(walk, typeIssue(resolved, value, place));
    return;
  }
  if (place.builtin && typeof value === 'string' && resolved.format === 'date-time') {
    checkTime(walk, schema, value, place);
  }
  if (!walk.typesOnly) checkValue(walk, resolved, value, place);
  if (Array.isArray(value)) {
    if (!walk.typesOnly) checkList(walk, resolved, value, place);
    const items = resolved.items;
    const scalar = items && plainScalar(items);
    if (items && !(scalar && areAll(scalar, value))) {
      for (let i = 0; i < value.length; i++) {
        visit(walk, items, value[i], { ...place, native, path: `${place.path}[${i}]` });
      }
    }
  } else if (isMembers(value)) {
    visitMembers(walk, resolved, value, place, native);
  }
}

function visitMembers(
  walk: Walk,
  resolved: Schema,
  members: Record<string, unknown>,
  place: Place,
  native: boolean,
): void {
  const struct = structName(resolved) ?? place.struct;
  if (!walk.typesOnly && resolved.required && !place.lenient) {
    for (const name of resolved.required) {
      if (members[name] === undefined) {
        report(walk, { type: 'Required', path: join(place.path, name), detail: '' });
      }
    }
  }
  const scalar = plainMembers(resolved);
  if (scalar && areAll(scalar, members)) return;
  for (const key in members) {
    const child = members[key];
    if (child === undefined) continue;
    const member = memberSchema(resolved, key);
    if (!member) continue;
    const known = resolved.properties !== undefined && Object.hasOwn(resolved.properties, key);
    visit(walk, member, child, {
      path: known ? join(place.path, key) : `${place.path}[${key}]`,
      // ObjectMeta is decoded by Go types for custom kinds too.
      builtin: place.builtin || (place.path === '' && key === 'metadata'),
      struct,
      native,
      lenient: place.lenient || (place.builtin && place.path === '' && key === 'status'),
    });
  }
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

function structName(resolved: Schema): string | undefined {
  return kubernetesTypeName(resolved)?.split('.').at(-1);
}

function hasType(schema: Schema, value: unknown): boolean {
  if (schema['x-kubernetes-int-or-string']) {
    if (typeof value === 'number') return schema.format === 'quantity' || Number.isInteger(value);
    return typeof value === 'string';
  }
  switch (schema.type) {
    case 'string':
      return typeof value === 'string';
    case 'integer':
      return Number.isInteger(value) && fitsFormat(schema.format, value as number);
    case 'number':
      return typeof value === 'number';
    case 'boolean':
      return typeof value === 'boolean';
    case 'array':
      return Array.isArray(value);
    case 'object':
      return isMembers(value);
    default:
      return true;
  }
}

function fitsFormat(format: string | undefined, value: number): boolean {
  return format !== 'int32' || (value >= -2147483648 && value <= 2147483647);
}

function typeIssue(schema: Schema, value: unknown, place: Place): Issue {
  const found = typeName(value);
  if (!place.builtin) {
    const wanted = schema['x-kubernetes-int-or-string'] ? 'integer,string' : (schema.type ?? 'object');
    return {
      type: 'TypeInvalid',
      path: place.path,
      value: found,
      detail: `${place.path} in body must be of type ${wanted}: "${found}"`,
    };
  }
  // encoding/json names the enclosing struct and the fields without indices.
  const fields = place.path.replace(/\[[^\]]*\]/g, '');
  const what = typeof value === 'number' ? numberWords(schema, value) : goKind(found);
  return {
    type: 'TypeInvalid',
    path: place.path,
    value: found,
    detail: `json: cannot unmarshal ${what} into Go struct field ${place.struct}.${fields} of type ${goType(schema)}`,
  };
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

function goKind(name: string): string {
  return name === 'boolean' ? 'bool' : name;
}

/** Go shows the number itself only when it is a number that does not fit. */
function numberWords(schema: Schema, value: number): string {
  return schema.type === 'integer' || schema['x-kubernetes-int-or-string'] ? `number ${value}` : 'number';
}

function goType(schema: Schema): string {
  if (schema['x-kubernetes-int-or-string'])
    return schema.format === 'quantity' ? 'resource.Quantity' : 'intstr.IntOrString';
  switch (schema.type) {
    case 'integer':
      return schema.format ?? 'int64';
    case 'number':
      return 'float64';
    case 'boolean':
      return 'bool';
    case 'array':
      return `[]${goType(schema.items ? resolveSchema(schema.items) : {})}`;
    case 'object': {
      const name = kubernetesTypeName(schema);
      if (name) return name.split('.').slice(-2).join('.');
      return `map[string]${schema.additionalProperties ? goType(resolveSchema(schema.additionalProperties)) : 'interface {}'}`;
    }
    case 'string':
      return schema.format === 'date-time' ? 'v1.Time' : 'string';
    default:
      return 'interface {}';
  }
}

/** Go's decoder refuses what it cannot read as a time. */
function checkTime(walk: Walk, schema: Schema, value: string, { path }: Place): void {
  const type = timeType(schema);
  const detail = type && timeFault(type, value);
  if (detail) report(walk, { type: 'TypeInvalid', path, value: 'string', detail });
}

function checkValue(walk: Walk, schema: Schema, value: unknown, place: Place): void {
  const { path } = place;
  const invalid = (detail: string): void => {
    report(walk, {
      type: 'Invalid',
      path,
      value,
      detail: place.builtin ? detail : `${path} in body ${detail}`,
    });
  };
  if (schema.enum && !isListed(schema.enum, value)) {
    const supported = schema.enum.map((item) => JSON.stringify(item)).join(', ');
    report(walk, { type: 'NotSupported', path, value, detail: `supported values: ${supported}` });
  }
  if (typeof value === 'string') {
    if (schema.minLength !== undefined && isShorter(walk, value, schema.minLength)) {
      invalid(`should be at least ${schema.minLength} chars long`);
    }
    if (schema.maxLength !== undefined && !isShorter(walk, value, schema.maxLength + 1)) {
      report(walk, { type: 'TooLong', path, detail: `may not be more than ${schema.maxLength} bytes` });
    }
    if (schema.pattern !== undefined && !matchesPattern(schema, schema.pattern, value, walk.budget)) {
      // Nothing more is known of this object.
      if (walk.budget.steps < 0) walk.budget.visits = -1;
      else invalid(patternDetail(schema));
    }
    // In Kubernetes' own kinds Go's decoder has seen to all other formats.
    if (schema.format !== undefined && !place.builtin) {
      walk.budget.visits -= value.length / charactersAVisit;
      const fault = formatFault(schema.format, value);
      if (fault) invalid(fault);
    }
  } else if (typeof value === 'number') {
    checkNumber(schema, value, invalid);
  } else if (isMembers(value)) {
    checkSize(walk, schema, value, place);
  }
  if (schema.allOf ?? schema.anyOf ?? schema.oneOf ?? schema.not)
    checkCombinations(walk, schema, value, place);
}

const listed = new WeakMap<readonly Json[], ReadonlySet<unknown>>();

/** Scalars are looked up: enums may be long, and lists of their values longer. */
function isListed(values: readonly Json[], value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return values.some((item) => deepEqual(item, value));
  let scalars = listed.get(values);
  if (!scalars) {
    scalars = new Set(values);
    listed.set(values, scalars);
  }
  return scalars.has(value);
}

function checkNumber(schema: Schema, value: number, invalid: (detail: string) => void): void {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = schema;
  if (minimum !== undefined && (exclusiveMinimum ? value <= minimum : value < minimum)) {
    invalid(`should be greater than ${exclusiveMinimum ? '' : 'or equal to '}${minimum}`);
  }
  if (maximum !== undefined && (exclusiveMaximum ? value >= maximum : value > maximum)) {
    invalid(`should be less than ${exclusiveMaximum ? '' : 'or equal to '}${maximum}`);
  }
  if (multipleOf !== undefined && !isMultiple(value, multipleOf)) {
    invalid(`should be a multiple of ${multipleOf}`);
  }
}

/** Allows for the error of binary fractions: 0.3 is a multiple of 0.1. */
function isMultiple(value: number, factor: number): boolean {
  const quotient = value / factor;
  return Math.abs(quotient - Math.round(quotient)) <= Number.EPSILON * Math.abs(quotient) * 4;
}

function checkSize(walk: Walk, schema: Schema, members: object, { path }: Place): void {
  const { minProperties, maxProperties } = schema;
  if (minProperties === undefined && maxProperties === undefined) return;
  const count = Object.keys(members).length;
  if (minProperties !== undefined && count < minProperties) {
    const detail = `${path} in body should have at least ${minProperties} properties`;
    report(walk, { type: 'Invalid', path, value: count, detail });
  }
  if (maxProperties !== undefined && count > maxProperties) {
    const detail = `must have at most ${maxProperties} properties`;
    report(walk, { type: 'TooMany', path, value: count, detail });
  }
}

/** `allOf`, `anyOf`, `oneOf` and `not`: schemas beside the structural one. */
function checkCombinations(walk: Walk, schema: Schema, value: unknown, place: Place): void {
  const faults = (other: Schema): Issue[] => {
    const inner: Walk = { issues: [], budget: walk.budget, typesOnly: false };
    visit(inner, other, value, place);
    return inner.issues;
  };
  const invalid = (detail: string): void => {
    report(walk, {
      type: 'Invalid',
      path: place.path,
      value,
      detail: `${JSON.stringify(place.path)} ${detail}`,
    });
  };
  const { allOf, anyOf, oneOf, not } = schema;
  if (anyOf && anyOf.every((other) => faults(other).length > 0)) {
    invalid('must validate at least one schema (anyOf)');
  }
  if (oneOf) {
    const valid = oneOf.filter((other) => faults(other).length === 0).length;
    if (valid !== 1) {
      const found = valid === 0 ? 'Found none valid' : `Found ${valid} valid alternatives`;
      invalid(`must validate one and only one schema (oneOf). ${found}`);
    }
  }
  for (const other of allOf ?? []) {
    const found = faults(other);
    for (const issue of found) report(walk, issue);
  }
  if (not && faults(not).length === 0) invalid('must not validate the schema (not)');
}

/** Whether a text has fewer code points than that, which is how schemas count. Each is one or two units of a string. */
function isShorter(walk: Walk, text: string, length: number): boolean {
  if (text.length < length) return true;
  if (text.length >= 2 * length) return false;
  walk.budget.visits -= text.length / charactersAVisit;
  let count = 0;
  for (const _ of text) if (++count >= length) return false;
  return true;
}

function patternDetail(schema: Schema): string {
  return schema.format === 'quantity'
    ? `quantities must match the regular expression '${schema.pattern}'`
    : `should match '${schema.pattern}'`;
}

function checkList(walk: Walk, schema: Schema, list: readonly unknown[], place: Place): void {
  const { path } = place;
  if (schema.minItems !== undefined && list.length < schema.minItems) {
    const detail = `${path} in body should have at least ${schema.minItems} items`;
    report(walk, { type: 'Invalid', path, value: list.length, detail });
  }
  if (schema.maxItems !== undefined && list.length > schema.maxItems) {
    report(walk, {
      type: 'TooMany',
      path,
      value: list.length,
      detail: `must have at most ${schema.maxItems} items`,
    });
  }
  if (schema.uniqueItems && list.some((item, i) => list.findIndex((other) => deepEqual(item, other)) < i)) {
    const detail = `${path} in body shouldn't contain duplicates`;
    report(walk, { type: 'Invalid', path, value: list.length, detail });
  }
  const listType = schema['x-kubernetes-list-type'];
  // Kubernetes' own kinds look after their lists themselves (a container may repeat an environment name).
  if (place.builtin || (listType !== 'map' && listType !== 'set')) return;
  const keys = listType === 'map' ? (schema['x-kubernetes-list-map-keys'] ?? []) : undefined;
  const seen = new Set<string>();
  list.forEach((item, i) => {
    const id = keys ? keyValues(keys, item) : item;
    const text = JSON.stringify(id) ?? 'null';
    if (seen.has(text)) report(walk, { type: 'Duplicate', path: `${path}[${i}]`, value: id, detail: '' });
    seen.add(text);
  });
}

function keyValues(keys: readonly string[], item: unknown): Record<string, unknown> {
  const members = isMembers(item) ? item : {};
  return Object.fromEntries(keys.map((key) => [key, members[key] ?? null]));
}
