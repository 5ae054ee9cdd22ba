/** metav1.Status: how the API says what became of a request. */
import type { KubeObject } from '../../api/object.ts';
import type { ResourceDef } from '../../api/resource.ts';
import { ApiError, type StatusDetails } from '../api-error.ts';
import { ExpiredList } from './service/paging.ts';

export interface Status {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly metadata: object;
  readonly status: 'Success' | 'Failure';
  readonly message?: string;
  readonly reason?: string;
  readonly details?: StatusDetails;
  readonly code?: number;
}

export function failureStatus(error: ApiError): Status {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: error instanceof ExpiredList ? { continue: error.continue } : {},
    status: 'Failure',
    message: error.message,
    // A webhook may refuse without a reason.
    ...(error.reason ? { reason: error.reason } : {}),
    ...(error.details ? { details: error.details } : {}),
    code: error.code,
  };
}

/** The answer to a deletion that is complete. */
export function deletedStatus(def: ResourceDef, object: KubeObject): Status {
  const { name, uid } = object.metadata;
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: {
      name,
      ...(def.group ? { group: def.group } : {}),
      kind: def.plural,
      ...(uid ? { uid } : {}),
    },
  };
}

export function methodNotAllowed(): ApiError {
  return new ApiError('MethodNotAllowed', 'the server does not allow this method on the requested resource');
}

/** 404 for a path that names nothing in a group that is served. */
export function resourceNotFound(): ApiError {
  return new ApiError('NotFound', 'the server could not find the requested resource', {});
}

/** An option outside what it allows, worded as apimachinery's option validation does. */
export function invalidOption(
  options: string,
  field: string,
  value: string,
  allowed: readonly string[],
): ApiError {
  const list = allowed.map((word) => JSON.stringify(word)).join(', ');
  const message = `Unsupported value: ${JSON.stringify(value)}: supported values: ${list}`;
  return refusedOption(options, field, 'FieldValueNotSupported', message);
}

/** 422 for an option of a request. `message` is the fault as field errors are worded. */
export function refusedOption(options: string, field: string, reason: string, message: string): ApiError {
  return new ApiError('Invalid', `${options}.meta.k8s.io "" is invalid: ${field}: ${message}`, {
    group: 'meta.k8s.io',
    kind: options,
    causes: [{ reason, message, field }],
  });
}
