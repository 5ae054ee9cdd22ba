/** Rules of CustomResourceDefinitions (apiextensions-apiserver `pkg/apis/apiextensions/validation`), worded as there. */
import { deepEqual } from '../../../base/json.ts';
import { dnsSubdomainFault } from '../../../api/kubernetes/names.ts';
import type { Issue } from '../../../api/resource.ts';
import { isMembers } from '../../../api/structural-members.ts';
import { compileJsonPath } from '../jsonpath.ts';
import { conversionIssues } from './conversion-rules.ts';
import { isTrue, type Definition, type DefinitionVersion, type RawSchema } from './definition.ts';
import { structuralIssues } from './structural-rules.ts';

/** Looks at the rules of a schema (`x-kubernetes-validations`) once the schema itself is in order. */
export type RuleCheck = (schema: RawSchema, path: string) => readonly Issue[];

const dns1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const dns1035Detail =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const columnTypes = ['integer', 'number', 'string', 'boolean', 'date'];
const columnFormats = ['int32', 'int64', 'float', 'double', 'byte', 'date', 'date-time', 'password'];
const maxSelectableFields = 8;
const approval = 'api-approved.kubernetes.io';

/** Faults of a definition, beyond its form. `old` is the stored one of an update. */
export function definitionIssues(
  definition: Definition,
  old: Definition | undefined,
  checkRules: RuleCheck,
): Issue[] {
  const issues: Issue[] = [];
  const { spec } = definition;
  const name = `${spec.names.plural}.${spec.group}`;
  if (definition.metadata.name !== name) {
    const detail = 'must be spec.names.plural+"."+spec.group';
    issues.push({ type: 'Invalid', path: 'metadata.name', value: definition.metadata.name, detail });
  }
  issues.push(
    ...groupIssues(definition),
    ...nameIssues(definition),
    ...versionIssues(definition, old, checkRules),
    ...conversionIssues(spec),
    ...storedVersionIssues(definition),
  );
  if (spec.scope === '') {
    issues.push({ type: 'Required', path: 'spec.scope', detail: '' });
  } else if (spec.scope !== 'Cluster' && spec.scope !== 'Namespaced') {
    const detail = 'supported values: "Cluster", "Namespaced"';
    issues.push({ type: 'NotSupported', path: 'spec.scope', value: spec.scope, detail });
  }
  if (spec.preserveUnknownFields === true) {
    const detail =
      'must be false in order to use defaults in the schema; apiextensions.k8s.io/v1 allows nothing else';
    issues.push({ type: 'Invalid', path: 'spec.preserveUnknownFields', value: true, detail });
  }
  if (old) issues.push(...immutableIssues(definition, old));
  return issues;
}

function groupIssues({ metadata, spec: { group } }: Definition): Issue[] {
  const path = 'spec.group';
  if (!group) return [{ type: 'Required', path, detail: '' }];
  const fault = dnsSubdomainFault(group);
  if (fault) return [{ type: 'Invalid', path, value: group, detail: fault }];
  if (!group.includes('.')) {
    return [{ type: 'Invalid', path, value: group, detail: 'should be a domain with at least one dot' }];
  }
  if (!/(^|\.)(k8s|kubernetes)\.io$/.test(group)) return [];
  const given = metadata.annotations?.[approval];
  const at = `metadata.annotations[${approval}]`;
  if (!given) {
    const detail = `protected groups must have approval annotation "${approval}", see https://github.com/kubernetes/enhancements/pull/1111`;
    return [{ type: 'Required', path: at, detail }];
  }
  if (given.startsWith('unapproved') || URL.canParse(given)) return [];
  const detail = `protected groups must have approval annotation "${approval}" with either a URL or a reason starting with "unapproved", see https://github.com/kubernetes/enhancements/pull/1111`;
  return [{ type: 'Invalid', path: at, value: given, detail }];
}

function nameIssues({ spec: { names } }: Definition): Issue[] {
  const issues: Issue[] = [];
  const check = (path: string, text: string, required: boolean, lower = text): void => {
    const at = `spec.names.${path}`;
    if (text === '') {
      if (required) issues.push({ type: 'Required', path: at, detail: '' });
    } else if (lower.length > 63 || !dns1035.test(lower)) {
      const detail = lower.length > 63 ? 'must be no more than 63 bytes' : dns1035Detail;
      issues.push({ type: 'Invalid', path: at, value: text, detail });
    }
  };
  check('plural', names.plural, true);
  check('singular', names.singular ?? '', false);
  check('kind', names.kind, true, names.kind.toLowerCase());
  check('listKind', names.listKind ?? '', false, (names.listKind ?? '').toLowerCase());
  (names.shortNames ?? []).forEach((text, i) => check(`shortNames[${i}]`, text, true));
  (names.categories ?? []).forEach((text, i) => check(`categories[${i}]`, text, true));
  if (names.kind !== '' && names.kind === names.listKind) {
    const detail = 'kind and listKind may not be the same';
    issues.push({ type: 'Invalid', path: 'spec.names.listKind', value: names.listKind, detail });
  }
  return issues;
}

function versionIssues({ spec }: Definition, old: Definition | undefined, checkRules: RuleCheck): Issue[] {
  const issues: Issue[] = [];
  const { versions } = spec;
  const storage = versions.filter((version) => version.storage).length;
  if (storage !== 1) {
    const value = versions.map(({ name }) => name);
    const detail = 'must have exactly one version marked as storage version';
    issues.push({ type: 'Invalid', path: 'spec.versions', value, detail });
  }
  versions.forEach((version, i) => {
    const path = `spec.versions[${i}]`;
    if (version.name.length > 63 || !dns1035.test(version.name)) {
      issues.push({ type: 'Invalid', path: `${path}.name`, value: version.name, detail: dns1035Detail });
    }
    if (versions.findIndex(({ name }) => name === version.name) < i) {
      const detail = 'must contain unique version names';
      issues.push({ type: 'Invalid', path: `${path}.name`, value: version.name, detail });
    }
    const before = old?.spec.versions.find(({ name }) => name === version.name);
    issues.push(...oneVersionIssues(version, before, path, checkRules));
  });
  return issues;
}

function oneVersionIssues(
  version: DefinitionVersion,
  before: DefinitionVersion | undefined,
  path: string,
  checkRules: RuleCheck,
): Issue[] {
  const issues: Issue[] = [];
  const raw: unknown = version.schema?.openAPIV3Schema;
  const at = `${path}.schema.openAPIV3Schema`;
  // A schema that was accepted once stays acceptable.
  if (!before || !deepEqual(before.schema, version.schema)) {
    const faults = structuralIssues(raw, at);
    issues.push(...faults);
    if (faults.length === 0 && isMembers(raw)) issues.push(...checkRules(raw, at));
  }
  if (version.deprecationWarning !== undefined) {
    const { deprecationWarning: text } = version;
    const here = `${path}.deprecationWarning`;
    if (!version.deprecated) {
      const detail = 'can only be set for deprecated versions';
      issues.push({ type: 'Invalid', path: here, value: text, detail });
    }
    if (text.length > 256)
      issues.push({ type: 'TooLong', path: here, detail: 'may not be more than 256 bytes' });
    if (text === '') issues.push({ type: 'Invalid', path: here, value: text, detail: 'must not be empty' });
  }
  issues.push(...columnIssues(version, path), ...scaleIssues(version, path));
  issues.push(...selectableFieldIssues(version, isMembers(raw) ? raw : {}, path));
  return issues;
}

function columnIssues(version: DefinitionVersion, path: string): Issue[] {
  const issues: Issue[] = [];
  (version.additionalPrinterColumns ?? []).forEach((column, i) => {
    const at = `${path}.additionalPrinterColumns[${i}]`;
    if (!column.name) issues.push({ type: 'Required', path: `${at}.name`, detail: '' });
    if (!columnTypes.includes(column.type)) {
      const detail = `must be one of ${columnTypes.join(',')}`;
      issues.push({ type: 'Invalid', path: `${at}.type`, value: column.type, detail });
    }
    if (column.format && !columnFormats.includes(column.format)) {
      const detail = `must be one of ${columnFormats.join(',')}`;
      issues.push({ type: 'Invalid', path: `${at}.format`, value: column.format, detail });
    }
    if (!column.jsonPath) {
      issues.push({ type: 'Required', path: `${at}.jsonPath`, detail: '' });
    } else {
      const fault = jsonPathFault(column.jsonPath);
      if (fault)
        issues.push({ type: 'Invalid', path: `${at}.jsonPath`, value: column.jsonPath, detail: fault });
    }
  });
  return issues;
}

function jsonPathFault(path: string): string | undefined {
  if (!/^[.[]/.test(path)) return 'must begin with a dot';
  try {
    compileJsonPath(path);
    return undefined;
  } catch {
    return `is an invalid path: unrecognized in ${JSON.stringify(path)}`;
  }
}

/** `.spec.replicas`: members alone, no lists. */
const simplePath = /^(\.[A-Za-z_][\w-]*)+$/;

function scaleIssues(version: DefinitionVersion, path: string): Issue[] {
  const scale = version.subresources?.scale;
  if (!scale) return [];
  const issues: Issue[] = [];
  const check = (member: string, text: string, roots: readonly string[], required: boolean): void => {
    const at = `${path}.subresources.scale.${member}`;
    if (text === '') {
      if (required) issues.push({ type: 'Required', path: at, detail: `${member} must be defined` });
    } else if (!simplePath.test(text)) {
      issues.push({
        type: 'Invalid',
        path: at,
        value: text,
        detail: 'must be a simple json path with leading .',
      });
    } else if (!roots.some((root) => text.startsWith(root))) {
      const detail = `should be a json path under ${roots.join(' or ')}`;
      issues.push({ type: 'Invalid', path: at, value: text, detail });
    }
  };
  check('specReplicasPath', scale.specReplicasPath, ['.spec.'], true);
  check('statusReplicasPath', scale.statusReplicasPath, ['.status.'], true);
  check('labelSelectorPath', scale.labelSelectorPath ?? '', ['.spec.', '.status.'], false);
  return issues;
}

function selectableFieldIssues(version: DefinitionVersion, schema: RawSchema, path: string): Issue[] {
  const issues: Issue[] = [];
  const fields = version.selectableFields ?? [];
  const at = `${path}.selectableFields`;
  if (fields.length > maxSelectableFields) {
    const detail = `must have at most ${maxSelectableFields} items`;
    issues.push({ type: 'TooMany', path: at, value: fields.length, detail });
  }
  fields.forEach(({ jsonPath }, i) => {
    const here = `${at}[${i}].jsonPath`;
    const invalid = (detail: string): void => {
      issues.push({ type: 'Invalid', path: here, value: jsonPath, detail });
    };
    if (!jsonPath) issues.push({ type: 'Required', path: here, detail: '' });
    else if (!simplePath.test(jsonPath))
      invalid('is an invalid path: must be a simple json path with leading .');
    else if (jsonPath.startsWith('.metadata.')) invalid('must not point to fields in metadata');
    else if (!isSelectable(schema, jsonPath)) {
      invalid(
        'is an invalid path: must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.',
      );
    }
    if (fields.findIndex((other) => other.jsonPath === jsonPath) < i) {
      issues.push({ type: 'Duplicate', path: here, value: jsonPath, detail: '' });
    }
  });
  return issues;
}

function isSelectable(schema: RawSchema, jsonPath: string): boolean {
  let here: unknown = schema;
  for (const part of jsonPath.slice(1).split('.')) {
    const properties = isMembers(here) ? here['properties'] : undefined;
    here = isMembers(properties) && Object.hasOwn(properties, part) ? properties[part] : undefined;
  }
  return isMembers(here) && ['string', 'boolean', 'integer'].includes(String(here['type']));
}

function storedVersionIssues({ spec, status }: Definition): Issue[] {
  const stored = status?.storedVersions;
  if (stored === undefined) return [];
  const issues: Issue[] = [];
  const path = 'status.storedVersions';
  if (stored.length === 0) {
    issues.push({ type: 'Invalid', path, value: stored, detail: 'must have at least one stored version' });
  }
  stored.forEach((version, i) => {
    if (!spec.versions.some(({ name }) => name === version)) {
      const detail = 'must appear in spec.versions';
      issues.push({ type: 'Invalid', path: `${path}[${i}]`, value: version, detail });
    }
    if (stored.indexOf(version) < i) {
      issues.push({ type: 'Duplicate', path: `${path}[${i}]`, value: version, detail: '' });
    }
  });
  const storage = spec.versions.find((version) => version.storage)?.name;
  if (storage !== undefined && !stored.includes(storage)) {
    const detail = `must have the storage version ${storage}`;
    issues.push({ type: 'Invalid', path, value: stored, detail });
  }
  return issues;
}

function immutableIssues(definition: Definition, old: Definition): Issue[] {
  const issues: Issue[] = [];
  const check = (path: string, value: unknown, before: unknown): void => {
    if (value !== before) issues.push({ type: 'Invalid', path, value, detail: 'field is immutable' });
  };
  check('spec.group', definition.spec.group, old.spec.group);
  check('spec.names.plural', definition.spec.names.plural, old.spec.names.plural);
  if (isTrue(old, 'Established')) {
    check('spec.scope', definition.spec.scope, old.spec.scope);
    check('spec.names.kind', definition.spec.names.kind, old.spec.names.kind);
  }
  return issues;
}
