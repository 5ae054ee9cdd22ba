/** Shapes that the kinds of eventing share, their defaults and faults (knative/eventing pkg/apis/duck/v1). */
import { parsePeriod } from '../../base/period.ts';
import type { AdmissionContext, Issue } from '../resource.ts';
import type { Infer, Schema } from '../schema.ts';
import { destinationSchema, type Destination } from '../knative/duck.ts';
import { fault, invalidValue, join, missingField } from '../knative/field-errors.ts';

export const eventingGroup = 'eventing.knative.dev';
export const eventingWebhook = 'validation.webhook.eventing.knative.dev';

/** How events are delivered: retries, waits, and where to send what cannot be delivered. */
export const deliverySchema = {
  type: 'object',
  description: 'How events are delivered. Durations are ISO 8601, e.g. PT0.2S.',
  properties: {
    deadLetterSink: destinationSchema,
    retry: { type: 'integer', format: 'int32', description: 'Attempts after the first one.' },
    backoffPolicy: { type: 'string', description: 'linear or exponential.' },
    backoffDelay: { type: 'string', description: 'Wait before the first retry, the base of the later ones.' },
    timeout: { type: 'string', description: 'Of one request; greater than 0.' },
    format: { type: 'string', description: 'json: structured mode; binary (default): binary mode.' },
  },
} as const satisfies Schema;

export type DeliverySpec = Infer<typeof deliverySchema>;

export const deliveryStatusProperties = {
  deadLetterSinkUri: { type: 'string' },
  deadLetterSinkCACerts: { type: 'string' },
  deadLetterSinkAudience: { type: 'string' },
} as const satisfies { [name: string]: Schema };

/** A reference without a namespace means the one of its object. Mutates. */
export function defaultDestination(
  destination: Destination | undefined,
  namespace: string | undefined,
): void {
  if (destination?.ref && !destination.ref.namespace && namespace) destination.ref.namespace = namespace;
}

export function validateDestination(destination: Destination | undefined, path: string): Issue[] {
  const { ref, uri } = destination ?? {};
  if (!ref && !uri) {
    return [fault('expected at least one, got none', `${join(path, 'ref')}, ${join(path, 'uri')}`)];
  }
  if (ref && uri && URL.canParse(uri)) {
    return [
      fault(
        'Absolute URI is not allowed when Ref or [apiVersion, kind, name] is present',
        `${join(path, 'ref')}, ${join(path, 'uri')}`,
      ),
    ];
  }
  if (!ref && uri && !isHttp(uri)) {
    return [
      invalidValue(
        'Relative URI is not allowed when Ref and [apiVersion, kind, name] is absent',
        join(path, 'uri'),
      ),
    ];
  }
  const missing = (['name', 'kind'] as const).filter((field) => ref && !ref[field]);
  const at = join(path, 'ref');
  return [
    ...missing.map((field) => missingField(join(at, field))),
    ...(ref && !ref.apiVersion && !ref.group ? [missingField(join(at, 'apiVersion'))] : []),
  ];
}

function isHttp(uri: string): boolean {
  return URL.canParse(uri) && /^https?:\/\/[^/]/.test(uri);
}

export function validateDelivery(delivery: DeliverySpec | undefined, path: string): Issue[] {
  if (!delivery) return [];
  const { deadLetterSink, retry, timeout, backoffPolicy, backoffDelay, format } = delivery;
  const issues: Issue[] = [];
  if (deadLetterSink) issues.push(...validateDestination(deadLetterSink, join(path, 'deadLetterSink')));
  if (retry !== undefined && retry < 0) issues.push(invalidValue(retry, join(path, 'retry')));
  if (timeout !== undefined && !((parsePeriod(timeout) ?? 0) > 0)) {
    issues.push(invalidValue(timeout, join(path, 'timeout')));
  }
  if (backoffPolicy !== undefined && backoffPolicy !== 'linear' && backoffPolicy !== 'exponential') {
    issues.push(invalidValue(backoffPolicy, join(path, 'backoffPolicy')));
  }
  if (backoffDelay !== undefined && !((parsePeriod(backoffDelay) ?? -1) >= 0)) {
    issues.push(invalidValue(backoffDelay, join(path, 'backoffDelay')));
  }
  if (format !== undefined && format !== 'json' && format !== 'binary') {
    issues.push(invalidValue(format, join(path, 'format')));
  }
  return issues;
}

/** A text that must not change, in the words of Knative's `kmp.ShortDiff`. */
export function textChanged(message: string, path: string, old: string, now: string): Issue[] {
  if (old === now) return [];
  return [fault(message, path, `{string}:\n\t-: ${JSON.stringify(old)}\n\t+: ${JSON.stringify(now)}`)];
}

/** True for a write of the object itself, not of its status. */
export function isSpecWrite(context: AdmissionContext): boolean {
  return context.subresource === undefined;
}
