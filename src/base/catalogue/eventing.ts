import type { CatalogueEntry } from './entry.ts';

export const eventingErrors = {
  EVENTING_BROKER_NOT_FOUND: {
    cause: 'The path names a broker that does not exist.',
    status: 404,
    remedy: 'Check the namespace and name in the path against `kubectl get brokers -A`.',
    blame: 'user',
  },
  EVENTING_PATH_INVALID: {
    cause: 'The path of a request to the broker ingress is not /<namespace>/<broker>.',
    status: 400,
    remedy: 'Post to the URL that `kubectl get broker NAME` shows.',
    blame: 'user',
  },
  EVENTING_METHOD_NOT_ALLOWED: {
    cause: 'Events are sent with POST.',
    status: 405,
    remedy: 'Use POST (or OPTIONS for the web hook handshake).',
    blame: 'user',
  },
  EVENTING_EVENT_INVALID: {
    cause: 'The request does not carry one valid CloudEvent.',
    status: 400,
    remedy:
      'Send ce-id, ce-source, ce-type and ce-specversion headers, or one event as application/cloudevents+json.',
    blame: 'user',
  },
  EVENTING_EVENT_EXPIRED: {
    cause: 'An event has gone through brokers more often than its knativebrokerttl allows.',
    status: 400,
    remedy:
      'Look for a loop: a trigger whose subscriber answers with an event that matches the same trigger.',
    blame: 'user',
  },
  EVENTING_EVENT_TOO_LARGE: {
    cause: 'An event is larger than the broker ingress takes.',
    status: 413,
    remedy: 'Send a reference to the data instead, or raise the limit of the ingress.',
    blame: 'user',
  },
  EVENTING_STARTING: {
    cause: 'Knapsack has just started and does not know its brokers yet.',
    status: 503,
    remedy: 'Send the event again in a moment.',
    blame: 'system',
  },
  EVENTING_INGRESS_BUSY: {
    cause: 'Too many bytes of events are being received at the same time.',
    status: 503,
    remedy: 'Send the event again later, as Retry-After says.',
    blame: 'system',
  },
  EVENTING_LOG_FULL: {
    cause: 'The event log can take no more: the disk is full, or subscribers are too far behind.',
    status: 503,
    remedy: 'Free disk space, or mend or delete the trigger that holds back the log.',
    blame: 'system',
  },
  EVENTING_LOG_BUSY: {
    cause: 'Events arrive faster than the disk takes them.',
    status: 503,
    remedy: 'Send the event again later, as Retry-After says.',
    blame: 'system',
  },
  EVENTING_LOG_FAILED: {
    cause: 'The disk refused to store an event.',
    status: 503,
    remedy: 'Check the disk of the data directory; the log names the failure.',
    blame: 'system',
  },
  EVENTING_LOG_CLOSED: {
    cause: 'The broker is being deleted, or Knapsack is stopping.',
    status: 503,
    remedy: 'Send the event again when the broker is back.',
    blame: 'system',
  },
} as const satisfies Record<string, CatalogueEntry>;
