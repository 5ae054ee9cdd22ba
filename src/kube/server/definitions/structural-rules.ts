/**
 * The rules that make a schema structural (apiextensions-apiserver `pkg/apiserver/schema` and `pkg/apis/apiextensions/
 * validation`), in the words of kube-apiserver.
 */
import { Regex } from '../../../base/regex/regex.ts';
import { messageOf } from '../../../base/errors.ts';
import { kubernetesSchema } from '../../../api/kubernetes/schemas.ts';
import type { Issue } from '../../../api/resource.ts';
import { isMembers } from '../../../api/structural-members.ts';
import { applyDefaults, prune, typeIssues, validateStructure } from '../../../api/structural.ts';
import type { RawSchema } from './definition.ts';
import { Faults } from './faults.ts';
import { checkLists } from './list-rules.ts';
import { toSchema } from './schema.ts';

const types = ['array', 'boolean', 'integer', 'number', 'object', 'string'];
const mapTypes = ['atomic', 'granular'];
const unsupported = [
  '$ref',
  '$schema',
  'id',
  'additionalItems',
  'definitions',
  'dependencies',
  'patternProperties',
];
/** What may stand in `allOf`, `anyOf`, `oneOf` and `not`: everything but these. */
const forbiddenInLogic = [
  'description',
  'default',
  'title',
  'additionalProperties',
  'nullable',
  'x-kubernetes-preserve-unknown-fields',
  'x-kubernetes-embedded-resource',
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-map-type',
  'x-kubernetes-validations',
];

/** A hundred patterns of the largest size, or any number that people write. */
const maxPatternSize = 2_000_000;

/** How a schema is reached from the one around it; decides what it must have. */
type Position = 'root' | 'property' | 'item' | 'value';

/** Faults of a version's schema; `path` leads to it. */
export function structuralIssues(raw: unknown, path: string): Issue[] {
  const rules = new Faults();
  if (!isMembers(raw)) {
    rules.required(path, 'schemas are required');
    return rules.issues;
  }
  if (!checkShape(rules, raw, path)) return rules.issues;
  if (raw['type'] === undefined || raw['type'] === '')
    rules.required(`${path}.type`, 'must not be empty at the root');
  else if (raw['type'] !== 'object') rules.invalid(`${path}.type`, raw['type'], 'must be object at the root');
  checkSchema(rules, raw, path, 'root', 0);
  if (rules.issues.length === 0) checkDefaults(rules, raw, path, false);
  return rules.issues;
}

/** Members that hold schemas but are typed loosely on the wire must look like schemas, too. False: look no further. */
function checkShape(rules: Faults, raw: RawSchema, path: string): boolean {
  const before = rules.issues.length;
  eachChild(raw, path, (child, at) => {
    if (typeof child === 'boolean') return;
    if (!isMembers(child)) {
      if (!Array.isArray(child)) rules.invalid(at, child, 'must be a schema');
      return;
    }
    const [fault] = typeIssues(kubernetesSchema('apiextensions.v1.JSONSchemaProps'), child, true);
    if (fault) rules.invalid(at, fault.value, fault.detail);
    else checkShape(rules, child, at);
  });
  return rules.issues.length === before;
}

function eachChild(raw: RawSchema, path: string, visit: (child: unknown, at: string) => void): void {
  for (const [name, child] of members(raw['properties'])) visit(child, `${path}.properties[${name}]`);
  for (const key of ['additionalProperties', 'items', 'not'] as const) {
    if (raw[key] !== undefined && raw[key] !== null) visit(raw[key], `${path}.${key}`);
  }
  for (const key of ['allOf', 'anyOf', 'oneOf'] as const) {
    const list = raw[key];
    if (Array.isArray(list)) list.forEach((child: unknown, i) => visit(child, `${path}.${key}[${i}]`));
  }
}

function members(value: unknown): [string, unknown][] {
  return isMembers(value) ? Object.entries(value) : [];
}

/** Deeper than any schema that is written by hand or made from types. */
const maxDepth = 100;

function checkSchema(rules: Faults, raw: RawSchema, path: string, position: Position, depth: number): void {
  if (depth > maxDepth) return rules.forbidden(path, `must not nest deeper than ${maxDepth} schemas`);
  checkUnsupported(rules, raw, path);
  checkType(rules, raw, path, position);
  checkValueKeywords(rules, raw, path);
  checkExtensions(rules, raw, path, position);
  checkLists(rules, raw, path);
  for (const [name, child] of members(raw['properties'])) {
    const at = `${path}.properties[${name}]`;
    if (!isMembers(child)) continue;
    if (name === 'metadata' && (position === 'root' || raw['x-kubernetes-embedded-resource'] === true)) {
      checkMetadata(rules, child, at, position === 'root');
    } else if (position === 'root' && (name === 'apiVersion' || name === 'kind')) {
      if (child['type'] !== 'string') rules.invalid(`${at}.type`, child['type'] ?? '', `must be string`);
    } else checkSchema(rules, child, at, 'property', depth + 1);
  }
  if (isMembers(raw['additionalProperties'])) {
    checkSchema(rules, raw['additionalProperties'], `${path}.additionalProperties`, 'value', depth + 1);
  }
  if (isMembers(raw['items'])) checkSchema(rules, raw['items'], `${path}.items`, 'item', depth + 1);
  checkLogic(rules, raw, path, depth);
}

function checkUnsupported(rules: Faults, raw: RawSchema, path: string): void {
  for (const key of unsupported) {
    const value = raw[key];
    if (value === undefined || value === '' || value === null) continue;
    if (isMembers(value) && Object.keys(value).length === 0) continue;
    rules.forbidden(`${path}.${key}`, `${key} is not supported`);
  }
  if (raw['uniqueItems'] === true) {
    rules.forbidden(
      `${path}.uniqueItems`,
      'uniqueItems cannot be set to true since the runtime complexity becomes quadratic',
    );
  }
  if (raw['additionalProperties'] === false) {
    rules.forbidden(`${path}.additionalProperties`, 'additionalProperties cannot be set to false');
  }
  if (raw['additionalProperties'] !== undefined && members(raw['properties']).length > 0) {
    const detail = 'additionalProperties and properties are mutual exclusive';
    if (raw['additionalProperties'] !== false) rules.forbidden(`${path}.additionalProperties`, detail);
  }
  if (Array.isArray(raw['items'])) {
    rules.forbidden(`${path}.items`, 'items must be a schema object and not an array');
  }
}

const emptyTypes: Readonly<Record<Position, string>> = {
  root: 'must not be empty at the root',
  property: 'must not be empty for specified object fields',
  item: 'must not be empty for specified array items',
  value: 'must not be empty for specified object fields',
};

function checkType(rules: Faults, raw: RawSchema, path: string, position: Position): void {
  const type = raw['type'];
  const intOrString = raw['x-kubernetes-int-or-string'] === true;
  const open = raw['x-kubernetes-preserve-unknown-fields'] === true;
  if (type === undefined || type === '') {
    if (position !== 'root' && !intOrString && !open) rules.required(`${path}.type`, emptyTypes[position]);
  } else if (intOrString) {
    rules.invalid(`${path}.type`, type, 'must be empty if x-kubernetes-int-or-string is true');
  } else if (!types.includes(type as string)) {
    rules.supported(`${path}.type`, type, types);
  } else if (type === 'array' && !raw['items']) {
    rules.required(`${path}.items`, 'must be specified');
  }
}

function checkValueKeywords(rules: Faults, raw: RawSchema, path: string): void {
  const { pattern } = raw;
  if (typeof pattern === 'string' && pattern !== '') {
    if (rules.patternSize > maxPatternSize) {
      return rules.forbidden(`${path}.pattern`, 'the patterns of the schema are too large together');
    }
    try {
      rules.patternSize += new Regex(pattern).size;
    } catch (error) {
      const detail = `must be a valid regular expression, but isn't: ${messageOf(error)}`;
      rules.invalid(`${path}.pattern`, pattern, detail);
    }
  }
  if (raw['multipleOf'] !== undefined && !(Number(raw['multipleOf']) > 0)) {
    rules.invalid(`${path}.multipleOf`, raw['multipleOf'], 'must be greater than 0');
  }
}

function checkExtensions(rules: Faults, raw: RawSchema, path: string, position: Position): void {
  const type = raw['type'];
  for (const key of ['x-kubernetes-preserve-unknown-fields', 'x-kubernetes-embedded-resource']) {
    if (raw[key] === false && key === 'x-kubernetes-preserve-unknown-fields') {
      rules.invalid(`${path}.${key}`, false, 'must be true or undefined');
    }
    if (raw[key] === true && type !== 'object' && !(key.endsWith('fields') && !type)) {
      rules.invalid(`${path}.type`, type ?? '', `must be object if ${key} is true`);
    }
  }
  if (raw['x-kubernetes-embedded-resource'] === true) {
    if (position === 'root') {
      rules.forbidden(`${path}.x-kubernetes-embedded-resource`, 'must be empty at the root');
    }
    if (raw['x-kubernetes-preserve-unknown-fields'] !== true && members(raw['properties']).length === 0) {
      rules.required(
        `${path}.properties`,
        'must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields',
      );
    }
  }
  const mapType = raw['x-kubernetes-map-type'];
  if (mapType !== undefined) {
    if (!mapTypes.includes(mapType as string))
      rules.supported(`${path}.x-kubernetes-map-type`, mapType, mapTypes);
    if (type !== 'object') {
      rules.invalid(`${path}.type`, type ?? '', 'must be object if x-kubernetes-map-type is specified');
    }
  }
}

/** At the root only the form of names can be restricted; everything else about ObjectMeta is the server's. */
function checkMetadata(rules: Faults, raw: RawSchema, path: string, root: boolean): void {
  if (!root) {
    // The metadata of an embedded object is ObjectMeta, too, and no object itself.
    if (raw['x-kubernetes-embedded-resource'] === true) {
      rules.forbidden(`${path}.x-kubernetes-embedded-resource`, 'must be undefined');
    }
    return;
  }
  const { type, properties, description: _, ...others } = raw;
  if (type !== 'object') rules.invalid(`${path}.type`, type ?? '', 'must be object');
  const allowed = members(properties).every(([name]) => name === 'name' || name === 'generateName');
  if (!allowed || Object.keys(others).length > 0) {
    rules.forbidden(
      path,
      'must not specify anything other than name and generateName, but metadata is implicitly specified',
    );
    return;
  }
  for (const [name, child] of members(properties)) {
    if (!isMembers(child)) continue;
    const at = `${path}.properties[${name}]`;
    if (child['default'] !== undefined) rules.forbidden(`${at}.default`, 'must not be set in metadata');
    checkSchema(rules, child, at, 'property', 1);
  }
}

function checkLogic(rules: Faults, raw: RawSchema, path: string, depth: number): void {
  for (const key of ['allOf', 'anyOf', 'oneOf'] as const) {
    const list = raw[key];
    if (!Array.isArray(list)) continue;
    list.forEach((child: unknown, i) => {
      if (isMembers(child)) checkLogical(rules, raw, child, `${path}.${key}[${i}]`, depth + 1);
    });
  }
  if (isMembers(raw['not'])) checkLogical(rules, raw, raw['not'], `${path}.not`, depth + 1);
}

/** `base` is the structural schema beside the logical one: whatever the latter names must be there, too. */
function checkLogical(rules: Faults, base: RawSchema, raw: RawSchema, path: string, depth: number): void {
  if (depth > maxDepth) return rules.forbidden(path, `must not nest deeper than ${maxDepth} schemas`);
  checkUnsupported(rules, raw, path);
  checkValueKeywords(rules, raw, path);
  for (const key of forbiddenInLogic) {
    if (raw[key] === undefined || raw[key] === false || raw[key] === '') continue;
    rules.forbidden(`${path}.${key}`, 'must be undefined to be structural');
  }
  const type = raw['type'];
  const inIntOrString =
    base['x-kubernetes-int-or-string'] === true && (type === 'integer' || type === 'string');
  if (type !== undefined && type !== '' && !inIntOrString) {
    rules.forbidden(`${path}.type`, 'must be empty to be structural');
  }
  const baseProperties = isMembers(base['properties']) ? base['properties'] : {};
  const baseValues = isMembers(base['additionalProperties']) ? base['additionalProperties'] : undefined;
  const open = base['x-kubernetes-preserve-unknown-fields'] === true;
  for (const [name, child] of members(raw['properties'])) {
    const counterpart = Object.hasOwn(baseProperties, name) ? baseProperties[name] : baseValues;
    if (!isMembers(counterpart) && !open) {
      const at = path.replace(/\.(allOf|anyOf|oneOf|not)(\[\d+\])?(?=\.|$)/g, '');
      rules.required(
        `${at}.properties[${name}]`,
        `because it is defined in ${path.slice(path.indexOf('openAPIV3Schema'))}.properties[${name}]`,
      );
    }
    if (isMembers(child)) {
      const inner = isMembers(counterpart) ? counterpart : openSchema;
      checkLogical(rules, inner, child, `${path}.properties[${name}]`, depth + 1);
    }
  }
  if (isMembers(raw['items'])) {
    if (!isMembers(base['items']) && !open) {
      rules.required(`${path}.items`, 'must be specified in the structural part of the schema');
    }
    const inner = isMembers(base['items']) ? base['items'] : openSchema;
    checkLogical(rules, inner, raw['items'], `${path}.items`, depth + 1);
  }
  for (const key of ['allOf', 'anyOf', 'oneOf'] as const) {
    const list = raw[key];
    if (!Array.isArray(list)) continue;
    list.forEach((child: unknown, i) => {
      if (isMembers(child)) checkLogical(rules, base, child, `${path}.${key}[${i}]`, depth + 1);
    });
  }
  if (isMembers(raw['not'])) checkLogical(rules, base, raw['not'], `${path}.not`, depth + 1);
}

const openSchema: RawSchema = { 'x-kubernetes-preserve-unknown-fields': true };

/** Defaults must be valid where they stand, and hold nothing that pruning would take away. */
function checkDefaults(rules: Faults, raw: RawSchema, path: string, inDefault: boolean): void {
  const value = raw['default'];
  if (value !== undefined && !inDefault) {
    const schema = toSchema({ ...raw, default: undefined });
    const copy: unknown = structuredClone(value);
    const box = { value: copy };
    const boxed = { type: 'object' as const, properties: { value: schema } };
    const removed = prune(boxed, box);
    if (removed.length > 0) rules.invalid(`${path}.default`, value, 'must not have unknown fields');
    applyDefaults(boxed, box);
    if (value === null && raw['nullable'] === true) return;
    for (const fault of validateStructure(boxed, box, false)) {
      const detail = fault.detail.replaceAll('value in body', 'in body') || 'is invalid';
      rules.invalid(fault.path.replace(/^value/, `${path}.default`), fault.value ?? value, detail);
    }
  }
  eachChild(raw, path, (child, at) => {
    if (isMembers(child)) checkDefaults(rules, child, at, inDefault);
  });
}
