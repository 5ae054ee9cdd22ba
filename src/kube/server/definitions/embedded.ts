/** Objects inside custom objects (`x-kubernetes-embedded-resource`): they have a kind and metadata like any other. */
import { annotationIssues, labelIssues } from '../../../api/kubernetes/metadata.ts';
import type { Issue } from '../../../api/resource.ts';
import type { Schema } from '../../../api/schema.ts';
import { isMembers, memberSchema } from '../../../api/structural-members.ts';

const kindForm = /^[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?$/;

/** Whether a schema has embedded objects anywhere: most have none, and are not walked for them. */
export function hasEmbedded(schema: Schema): boolean {
  if (schema['x-kubernetes-embedded-resource']) return true;
  const { properties = {}, additionalProperties, items } = schema;
  return [...Object.values(properties), additionalProperties, items].some(
    (child) => child !== undefined && hasEmbedded(child),
  );
}

/** Faults of the embedded objects of a value. */
export function embeddedIssues(schema: Schema, value: unknown, path = ''): Issue[] {
  if (Array.isArray(value)) {
    const { items } = schema;
    return items ? value.flatMap((item: unknown, i) => embeddedIssues(items, item, `${path}[${i}]`)) : [];
  }
  if (!isMembers(value)) return [];
  const issues: Issue[] = schema['x-kubernetes-embedded-resource'] ? objectIssues(value, path) : [];
  for (const [key, member] of Object.entries(value)) {
    const child = memberSchema(schema, key);
    if (!child) continue;
    // There may be more than fit into the arguments of one call.
    for (const issue of embeddedIssues(child, member, path === '' ? key : `${path}.${key}`)) {
      issues.push(issue);
    }
  }
  return issues;
}

function objectIssues(object: Readonly<Record<string, unknown>>, path: string): Issue[] {
  const issues: Issue[] = [];
  const { apiVersion, kind, metadata } = object;
  if (typeof apiVersion !== 'string' || apiVersion === '') {
    issues.push({ type: 'Required', path: `${path}.apiVersion`, detail: 'must not be empty' });
  } else if (apiVersion.split('/').length > 2) {
    const detail = `unexpected GroupVersion string: ${apiVersion}`;
    issues.push({ type: 'Invalid', path: `${path}.apiVersion`, value: apiVersion, detail });
  }
  if (typeof kind !== 'string' || kind === '') {
    issues.push({ type: 'Required', path: `${path}.kind`, detail: 'must not be empty' });
  } else if (!kindForm.test(kind)) {
    const detail = 'must be a valid kind';
    issues.push({ type: 'Invalid', path: `${path}.kind`, value: kind, detail });
  }
  if (isMembers(metadata)) {
    const at = `${path}.metadata`;
    return [
      ...issues,
      ...labelIssues(textMembers(metadata['labels']), `${at}.labels`),
      ...annotationIssues(textMembers(metadata['annotations']), `${at}.annotations`),
    ];
  }
  return issues;
}

function textMembers(value: unknown): { [key: string]: string } {
  if (!isMembers(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}
