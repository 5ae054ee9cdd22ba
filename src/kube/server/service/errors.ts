/** Failures in Kubernetes' own words (apimachinery pkg/api/errors): clients and people match on these texts. */
import { KnapsackError } from '../../../base/errors.ts';
import { qualifiedName, type Issue, type ResourceDef } from '../../../api/resource.ts';
import { ApiError, type StatusCause } from '../../api-error.ts';
import { ObjectTooLarge } from '../../store/object-size.ts';

function detailsOf(def: ResourceDef, name: string): { name: string; group?: string; kind: string } {
  return { name, ...(def.group ? { group: def.group } : {}), kind: def.plural };
}

export function notFound(def: ResourceDef, name: string): ApiError {
  return new ApiError('NotFound', `${qualifiedName(def)} "${name}" not found`, detailsOf(def, name));
}

export function alreadyExists(def: ResourceDef, name: string): ApiError {
  return new ApiError(
    'AlreadyExists',
    `${qualifiedName(def)} "${name}" already exists`,
    detailsOf(def, name),
  );
}

export function conflict(def: ResourceDef, name: string, why: string): ApiError {
  return new ApiError(
    'Conflict',
    `Operation cannot be fulfilled on ${qualifiedName(def)} "${name}": ${why}`,
    detailsOf(def, name),
  );
}

/** The optimistic lock: someone else wrote in between. */
export function modified(def: ResourceDef, name: string): ApiError {
  return conflict(
    def,
    name,
    'the object has been modified; please apply your changes to the latest version and try again',
  );
}

export function forbidden(
  def: ResourceDef,
  name: string,
  why: string,
  causes?: readonly StatusCause[],
): ApiError {
  return new ApiError('Forbidden', `${qualifiedName(def)} "${name}" is forbidden: ${why}`, {
    ...detailsOf(def, name),
    ...(causes ? { causes } : {}),
  });
}

export function badRequest(message: string): ApiError {
  return new ApiError('BadRequest', message);
}

/** 400: an update of an object that says no name. `path` is the name in its path. */
export function nameless(path: string): ApiError {
  return badRequest(
    `the name of the object (${path} based on URL) was undeterminable: name must be provided`,
  );
}

/** 400: an update that says another name than its path. */
export function misnamed(given: string, path: string): ApiError {
  return badRequest(`the name of the object (${given}) does not match the name on the URL (${path})`);
}

/** 410: the version that a watch or a continue token starts from is gone. */
export function expired(message: string): ApiError {
  return new ApiError('Expired', message);
}

/** 504 for a version that this server has not reached. */
export function tooLargeVersion(wanted: number, current: number): ApiError {
  return new ApiError('Timeout', `Too large resource version: ${wanted}, current: ${current}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  });
}

/** A body of 3 MiB can have a hundred thousand faults, or long ones; nobody reads an answer of tens of MB. */
const maxToldFaults = 1000;
const maxToldCharacters = 512 * 1024;
/** Of one value. */
const maxShown = 16 * 1024;

/** The first of many texts, and what stands for the rest of them. */
export function firstOf(texts: readonly string[], rest: (count: number) => string): readonly string[] {
  const { length } = takeTold(texts, (text) => text);
  return length === texts.length ? texts : [...texts.slice(0, length), rest(texts.length - length)];
}

/** As many words as an answer may have, of the first items; at least those of one. */
function takeTold<T>(items: readonly T[], wordsOf: (item: T) => string): string[] {
  const told: string[] = [];
  let left = maxToldCharacters;
  for (const item of items) {
    if (told.length >= maxToldFaults || left <= 0) break;
    const words = wordsOf(item);
    told.push(words);
    // A value that is shortened was large: to write out many of those takes long.
    left -= words.length >= maxShown ? maxToldCharacters / 8 : words.length;
  }
  return told;
}

/** 422 with one cause an issue. */
export function invalid(def: ResourceDef, name: string, found: readonly Issue[]): ApiError {
  const pathOf = ({ path }: Issue): string => path || '<nil>';
  const lines = takeTold(found, (issue) => `${pathOf(issue)}: ${issueText(issue)}`);
  const issues = found.slice(0, lines.length);
  const causes = issues.map((issue, i) => ({
    reason: causeReasons[issue.type] ?? 'FieldValueInvalid',
    message: lines[i]?.slice(pathOf(issue).length + 2) ?? '',
    field: pathOf(issue),
  }));
  const kind = def.group ? `${def.kind}.${def.group}` : def.kind;
  if (found.length > issues.length) lines.push(`and ${found.length - issues.length} more faults`);
  const text = lines.length === 1 ? lines.join('') : `[${lines.join(', ')}]`;
  return new ApiError('Invalid', `${kind} "${name}" is invalid: ${text}`, {
    name,
    ...(def.group ? { group: def.group } : {}),
    kind: def.kind,
    causes,
  });
}

const causeReasons: { readonly [type: string]: string } = {
  Required: 'FieldValueRequired',
  Invalid: 'FieldValueInvalid',
  NotSupported: 'FieldValueNotSupported',
  Duplicate: 'FieldValueDuplicate',
  NotFound: 'FieldValueNotFound',
  Forbidden: 'FieldValueForbidden',
  TypeInvalid: 'FieldValueTypeInvalid',
  TooLong: 'FieldValueTooLong',
  TooMany: 'FieldValueTooMany',
};

/** The text after the path, as `field.Error.ErrorBody` words it. */
export function issueText(issue: Issue): string {
  const head = issueHead(issue);
  return issue.detail ? `${head}: ${issue.detail}` : head;
}

function issueHead(issue: Issue): string {
  const type: string = issue.type;
  switch (type) {
    case 'Required':
      return 'Required value';
    case 'Forbidden':
      return 'Forbidden';
    case 'TooLong':
      return 'Too long';
    case 'TooMany':
      return `Too many: ${shown(issue.value)}`;
    case 'NotSupported':
      return `Unsupported value: ${shown(issue.value)}`;
    case 'NotFound':
      return `Not found: ${shown(issue.value)}`;
    case 'Duplicate':
      return `Duplicate value: ${shown(issue.value)}`;
    default:
      return `Invalid value: ${shown(issue.value)}`;
  }
}

function shown(value: unknown): string {
  const text = value === undefined ? 'null' : JSON.stringify(value);
  return text.length > maxShown ? `${text.slice(0, maxShown)}...` : text;
}

/** What a failure of the store looks like to an API client; anything else passes unchanged. */
export function asApiError(error: unknown): unknown {
  if (error instanceof ObjectTooLarge) return new ApiError('RequestEntityTooLarge', error.message);
  return error instanceof KnapsackError && error.entry.status === 503
    ? new ApiError('ServiceUnavailable', `${error.message} ${error.entry.remedy} (${error.code})`)
    : error;
}
