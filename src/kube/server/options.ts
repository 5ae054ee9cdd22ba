/** Query options of the API, read the way kube-apiserver reads them. */
import { ApiError } from '../api-error.ts';
import type { User } from './authentication/user.ts';
import type { Exchange } from './exchange.ts';
import { checkListOptions, checkWatchOptions } from './list-options.ts';
import { invalidOption, refusedOption } from './status.ts';
import { maxManagerLength, unprintable } from './service/ownership/manager-name.ts';
import type { IncludeObject } from './table.ts';
import type {
  DeleteRequest,
  ListRequest,
  Requester,
  WatchRequest,
  WriteRequest,
} from './service/requests.ts';

/** Go's conversion of a query value to bool: present and neither `false` nor `0`. */
export function flag(query: URLSearchParams, name: string): boolean {
  const value = query.get(name);
  return value !== null && value !== '0' && value.toLowerCase() !== 'false';
}

/** A whole number, or undefined when absent. Throws 400. */
export function count(query: URLSearchParams, name: string): number | undefined {
  const value = query.get(name);
  if (value === null || value === '') return undefined;
  if (!/^[+-]?\d{1,15}$/.test(value)) {
    throw new ApiError(
      'BadRequest',
      `${name}: strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`,
    );
  }
  return Number(value);
}

function text(query: URLSearchParams, name: string): string | undefined {
  return query.get(name) || undefined;
}

type Present<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Leaves out what is undefined, as exact optional members want. */
function present<T extends object>(members: T): Present<T> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as Present<T>;
}

export function listOptions(query: URLSearchParams, namespace: string | undefined): ListRequest {
  checkListOptions(query);
  return listRequest(query, namespace);
}

function listRequest(query: URLSearchParams, namespace: string | undefined): ListRequest {
  return present({
    namespace,
    labelSelector: text(query, 'labelSelector'),
    fieldSelector: text(query, 'fieldSelector'),
    limit: count(query, 'limit'),
    continue: text(query, 'continue'),
    resourceVersion: text(query, 'resourceVersion'),
    resourceVersionMatch: text(query, 'resourceVersionMatch'),
  });
}

/** A watch without a timeout is given one between 30 and 60 minutes, so that watchers spread over time. */
const minWatchTimeoutMs = 30 * 60_000;

export function watchOptions(query: URLSearchParams, namespace: string | undefined): WatchRequest {
  checkWatchOptions(query);
  const { labelSelector, fieldSelector, resourceVersion } = listRequest(query, namespace);
  const seconds = count(query, 'timeoutSeconds') ?? 0;
  const sendInitialEvents = query.has('sendInitialEvents') ? flag(query, 'sendInitialEvents') : undefined;
  return present({
    namespace,
    labelSelector,
    fieldSelector,
    resourceVersion,
    allowBookmarks: flag(query, 'allowWatchBookmarks'),
    sendInitialEvents,
    timeoutMs: seconds > 0 ? seconds * 1000 : Math.round(minWatchTimeoutMs * (1 + Math.random())),
  });
}

const fieldValidations = ['Ignore', 'Strict', 'Warn'] as const;

export type WriteOptionsKind = 'CreateOptions' | 'UpdateOptions' | 'PatchOptions';

type Asking = Pick<Exchange, 'query' | 'user' | 'request' | 'record' | 'authorize'>;

function requester({ name, groups, uid, extra }: User): Requester {
  return {
    user: name,
    groups,
    ...(uid === undefined ? {} : { uid }),
    ...(extra === undefined ? {} : { extra }),
  };
}

/** `applies`: the options are those of a server-side apply, which must name its manager. */
export function writeOptions(
  { query, user, request, record, authorize }: Asking,
  kind: WriteOptionsKind,
  applies = false,
): WriteRequest {
  const validation = text(query, 'fieldValidation');
  const fieldValidation = fieldValidations.find((word) => word === validation);
  if (validation !== undefined && fieldValidation === undefined) {
    throw invalidOption(kind, 'fieldValidation', validation, fieldValidations);
  }
  checkManager(query, kind, applies);
  return {
    ...requester(user),
    dryRun: dryRun(query.getAll('dryRun'), kind),
    ...present({
      fieldValidation,
      fieldManager: text(query, 'fieldManager'),
      userAgent: request.headers['user-agent'] ?? '',
      annotate: record ? (key: string, value: string) => record.annotate(key, value) : undefined,
      authorizeCreation: applies || kind === 'UpdateOptions' ? () => authorize('create') : undefined,
      force: query.has('force') ? flag(query, 'force') : undefined,
    }),
  };
}

/** As apimachinery `ValidatePatchOptions` and `ValidateFieldManager`. */
function checkManager(query: URLSearchParams, kind: WriteOptionsKind, applies: boolean): void {
  const name = text(query, 'fieldManager');
  if (kind === 'PatchOptions' && !applies && query.has('force')) {
    throw refusedOption(
      kind,
      'force',
      'FieldValueForbidden',
      'Forbidden: may not be specified for non-apply patch',
    );
  }
  if (name === undefined) {
    if (!applies) return;
    throw refusedOption(
      kind,
      'fieldManager',
      'FieldValueRequired',
      'Required value: is required for apply patch',
    );
  }
  if (Buffer.byteLength(name) > maxManagerLength) {
    const why = `Too long: may not be more than ${maxManagerLength} bytes`;
    throw refusedOption(kind, 'fieldManager', 'FieldValueTooLong', why);
  }
  for (const { at, character } of unprintable(name)) {
    const code = character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0');
    const why = `Invalid value: ${JSON.stringify(name)}: invalid character U+${code} (at position ${at})`;
    throw refusedOption(kind, 'fieldManager', 'FieldValueInvalid', why);
  }
}

function dryRun(values: readonly string[], kind: string): boolean {
  const given = values.filter((value) => value !== '');
  const wrong = given.find((value) => value !== 'All');
  if (wrong !== undefined) throw invalidOption(kind, 'dryRun', wrong, ['All']);
  return given.length > 0;
}

const propagationPolicies = ['Background', 'Foreground', 'Orphan'] as const;

/** Options of a deletion: a body (DeleteOptions) wins over the query. */
export function deleteOptions({ query, user }: Pick<Asking, 'query' | 'user'>, body: unknown): DeleteRequest {
  const given = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  const kind = given['kind'];
  if (kind !== undefined && kind !== 'DeleteOptions') {
    throw new ApiError('BadRequest', `expected a DeleteOptions, got ${JSON.stringify(kind)}`);
  }
  const policy = given['propagationPolicy'] ?? text(query, 'propagationPolicy');
  const propagationPolicy = propagationPolicies.find((word) => word === policy);
  if (policy !== undefined && propagationPolicy === undefined) {
    const shown = typeof policy === 'string' ? policy : JSON.stringify(policy);
    throw invalidOption('DeleteOptions', 'propagationPolicy', shown, propagationPolicies);
  }
  const orphan =
    given['orphanDependents'] ??
    (query.has('orphanDependents') ? flag(query, 'orphanDependents') : undefined);
  const legacy = typeof orphan === 'boolean' ? (orphan ? 'Orphan' : 'Background') : undefined;
  const grace = given['gracePeriodSeconds'] ?? count(query, 'gracePeriodSeconds');
  if (grace !== undefined && (typeof grace !== 'number' || !Number.isInteger(grace))) {
    throw new ApiError('BadRequest', 'DeleteOptions: gracePeriodSeconds must be a whole number');
  }
  const dryRuns = Array.isArray(given['dryRun']) ? given['dryRun'].map(String) : query.getAll('dryRun');
  return {
    ...requester(user),
    dryRun: dryRun(dryRuns, 'DeleteOptions'),
    ...present({
      propagationPolicy: propagationPolicy ?? legacy,
      // A negative grace period means one second, the shortest that is not zero.
      gracePeriodSeconds: grace === undefined ? undefined : grace < 0 ? 1 : grace,
      preconditions: preconditions(given['preconditions']),
    }),
  };
}

function preconditions(value: unknown): DeleteRequest['preconditions'] {
  if (typeof value !== 'object' || value === null) return undefined;
  const { uid, resourceVersion } = value as Record<string, unknown>;
  return present({
    uid: typeof uid === 'string' ? uid : undefined,
    resourceVersion: typeof resourceVersion === 'string' ? resourceVersion : undefined,
  });
}

const includeObjects = ['None', 'Metadata', 'Object'] as const;

/** How much of each object a Table carries. */
export function includeObject(query: URLSearchParams): IncludeObject {
  const value = text(query, 'includeObject');
  const known = includeObjects.find((word) => word === value);
  if (value !== undefined && known === undefined) {
    throw invalidOption('TableOptions', 'includeObject', value, includeObjects);
  }
  return known ?? 'Metadata';
}
