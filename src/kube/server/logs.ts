/** The `log` subresource of pods. The node agent provides the lines; this side checks and words. */
import type { Pod } from '../../api/pods.ts';
import { ApiError } from '../api-error.ts';
import { chooseContainer } from './container-choice.ts';
import { count, flag } from './options.ts';

export interface LogOptions {
  readonly container: string;
  /** Keep the stream open for new lines until the container ends. */
  readonly follow: boolean;
  /** The container before its last restart. */
  readonly previous: boolean;
  readonly sinceSeconds?: number;
  /** RFC 3339. */
  readonly sinceTime?: string;
  readonly tailLines?: number;
  readonly limitBytes?: number;
  /** Begin each line with its RFC 3339 time. */
  readonly timestamps: boolean;
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal;
}

/** Where the output of containers can be read. */
export interface LogSource {
  /**
   * Opens a container's output, as text lines. Throws ApiError: 400 with Kubernetes' words while there is nothing to
   * read (`container "x" in pod "y" is waiting to start: ContainerCreating`), 404 when the pod is unknown.
   */
  open(
    namespace: string,
    pod: string,
    options: LogOptions,
  ): AsyncIterable<Buffer> | Promise<AsyncIterable<Buffer>>;
}

/** The options of a request, with the container that is meant. Throws 400. */
export function logOptions(pod: Pod, query: URLSearchParams, signal: AbortSignal): LogOptions {
  const sinceSeconds = positive(query, 'sinceSeconds', 1);
  const tailLines = positive(query, 'tailLines', 0);
  const limitBytes = positive(query, 'limitBytes', 1);
  const sinceTime = query.get('sinceTime') || undefined;
  if (sinceTime !== undefined && Number.isNaN(Date.parse(sinceTime))) {
    throw new ApiError('BadRequest', `parsing time ${JSON.stringify(sinceTime)}: not an RFC 3339 time`);
  }
  if (sinceTime !== undefined && sinceSeconds !== undefined) {
    throw invalidLogOptions(
      'sinceSeconds',
      'Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified',
    );
  }
  return {
    container: chooseContainer(pod, query.get('container') || undefined),
    follow: flag(query, 'follow'),
    previous: flag(query, 'previous'),
    timestamps: flag(query, 'timestamps'),
    signal,
    ...(sinceSeconds === undefined ? {} : { sinceSeconds }),
    ...(sinceTime === undefined ? {} : { sinceTime }),
    ...(tailLines === undefined ? {} : { tailLines }),
    ...(limitBytes === undefined ? {} : { limitBytes }),
  };
}

function positive(query: URLSearchParams, name: string, least: number): number | undefined {
  const value = count(query, name);
  if (value !== undefined && value < least) {
    const bound = least === 0 ? 'greater than or equal to 0' : 'greater than 0';
    throw invalidLogOptions(name, `Invalid value: ${value}: must be ${bound}`);
  }
  return value;
}

function invalidLogOptions(field: string, message: string): ApiError {
  return new ApiError('Invalid', `PodLogOptions "" is invalid: ${field}: ${message}`, {
    kind: 'PodLogOptions',
    causes: [{ reason: 'FieldValueInvalid', message, field }],
  });
}
