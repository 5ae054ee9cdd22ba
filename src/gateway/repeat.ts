/** Whether a request may be tried once more. Pure. */
import type { Exchange } from './exchange.ts';
import type { GatewayOptions } from './options.ts';

/** Whether a request whose pods all refused so far has tried long enough. */
export function triedLongEnough(exchange: Exchange, now: number, options: GatewayOptions): boolean {
  const { spec, endpoints } = exchange.backend;
  // Where pods can be woken a refusal is a matter of time; elsewhere each endpoint is asked once, a lone one twice.
  return spec.wakes
    ? now - exchange.refusedAt > options.refusedTimeoutMs
    : exchange.refusals >= Math.max(2, endpoints.length);
}

/** Whether a request that a pod did not answer may be sent again (RFC 9110 section 9.2.2). */
export function mayRepeat(exchange: Exchange, options: GatewayOptions): boolean {
  return (
    !exchange.answered &&
    exchange.idempotent &&
    exchange.replayWhole &&
    exchange.attempts < options.maxAttempts
  );
}
