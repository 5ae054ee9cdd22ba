/** Request headers that travel with an event (knative/eventing pkg/utils `PassThroughHeaders`, and W3C Trace Context). */
import type { Headers } from '../cloudevents/http.ts';

const names = new Set(['x-request-id', 'traceparent', 'tracestate', 'baggage']);
const prefixes = ['knative-', 'x-b3-', 'x-ot-'];

/** What is stored beside an event may not outgrow this; headers past it are left behind. */
const maxBytes = 8 * 1024;

export function forwardedHeaders(headers: Headers): Record<string, string> {
  const forwarded: Record<string, string> = {};
  let bytes = 0;
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue;
    if (!names.has(name) && !prefixes.some((prefix) => name.startsWith(prefix))) continue;
    const text = typeof value === 'string' ? value : value.join(', ');
    bytes += name.length + text.length;
    if (bytes > maxBytes) break;
    forwarded[name] = text;
  }
  return forwarded;
}
