/** The annotation of client-side apply: what of it server-side apply takes over, and how it is kept up to date. */
import { isMembers } from '../../../../api/structural-members.ts';
import { compare } from './compare.ts';
import { difference, emptySet, type FieldSet } from './field-set.ts';
import type { FieldType } from './field-type.ts';
import { fieldSetOf, typeFaults } from './typed.ts';

const annotation = 'kubectl.kubernetes.io/last-applied-configuration';

/** All annotations of an object together, as Kubernetes limits them. */
const maxAnnotationBytes = 256 * 1024;

function annotationsOf(object: unknown): Record<string, unknown> {
  const metadata = isMembers(object) ? object['metadata'] : undefined;
  const annotations = isMembers(metadata) ? metadata['annotations'] : undefined;
  return isMembers(annotations) ? annotations : {};
}

/**
 * Fields that the last client-side apply has set and that still are as it set them: whoever goes on with server-side apply
 * under kubectl's own name owns them already.
 */
export function lastAppliedFields(type: FieldType, live: unknown, apiVersion: string): FieldSet {
  const text = annotationsOf(live)[annotation];
  if (typeof text !== 'string' || text === '') return emptySet;
  let last: unknown;
  try {
    last = JSON.parse(text);
  } catch {
    return emptySet;
  }
  if (!isMembers(last) || last['apiVersion'] !== apiVersion || typeFaults(type, last) !== undefined)
    return emptySet;
  const { added, modified, removed } = compare(type, last, live);
  return [modified, added, removed].reduce(difference, fieldSetOf(type, last));
}

/** The object with its annotation saying what was applied now; as it is when it has no such annotation. */
export function withLastApplied(object: unknown, config: unknown): unknown {
  const annotations = annotationsOf(object);
  const before = annotations[annotation];
  if (!isMembers(object) || typeof before !== 'string' || before === '') return object;
  const next: Record<string, unknown> = {
    ...annotations,
    [annotation]: `${sortedJson(withoutAnnotation(config))}\n`,
  };
  if (Buffer.byteLength(JSON.stringify(next)) > maxAnnotationBytes) delete next[annotation];
  const metadata = isMembers(object['metadata']) ? object['metadata'] : {};
  return { ...object, metadata: { ...metadata, annotations: next } };
}

function withoutAnnotation(config: unknown): unknown {
  if (!isMembers(config) || !isMembers(config['metadata'])) return config;
  const { [annotation]: _last, ...annotations } = annotationsOf(config);
  const { annotations: before, ...metadata } = config['metadata'];
  return { ...config, metadata: before === undefined ? metadata : { ...metadata, annotations } };
}

/** JSON with members in order, as Go writes maps. */
function sortedJson(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    isMembers(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}
