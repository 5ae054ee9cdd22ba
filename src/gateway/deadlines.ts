/** When a request has taken too long, and what for. Pure: times in, a verdict out. */
import type { GatewayCode } from './answer.ts';
import { CONNECTING, QUEUED, type Exchange } from './exchange.ts';
import type { GatewayOptions } from './options.ts';

export type Verdict =
  /** Nothing is overdue; look again at this time (Infinity: no deadline applies). */
  | { readonly next: number }
  /** The connection to the pod is not going to be established. */
  | { readonly connectTimedOut: true }
  | { readonly code: GatewayCode; readonly message: string };

/**
 * The three timeouts of a revision are different things: the whole request from its arrival, the start of the response
 * from the moment it was forwarded, and silence in both directions. While a request waits, the gateway's own limit
 * applies besides the first of them.
 */
export function judge(exchange: Exchange, now: number, options: GatewayOptions): Verdict {
  const { key, timeoutMs, responseStartTimeoutMs, idleTimeoutMs } = exchange.backend.spec;
  const total = timeoutMs > 0 ? exchange.arrivedAt + timeoutMs : Infinity;
  if (exchange.phase === QUEUED) {
    const due = Math.min(total, exchange.queuedAt + options.wakeTimeoutMs);
    return now < due ? { next: due } : judgeWaiting(exchange, now);
  }
  if (now >= total) {
    return {
      code: 'GATEWAY_REQUEST_TIMEOUT',
      message: `${key} did not finish within ${timeoutMs} ms (request timeout)`,
    };
  }
  if (exchange.phase === CONNECTING) {
    const due = exchange.connectingAt + options.connectTimeoutMs;
    return now < due ? { next: Math.min(total, due) } : { connectTimedOut: true };
  }
  let next = total;
  if (!exchange.answered && responseStartTimeoutMs > 0) {
    const due = exchange.forwardedAt + responseStartTimeoutMs;
    if (now >= due) {
      return {
        code: 'GATEWAY_RESPONSE_START_TIMEOUT',
        message: `${key} did not begin to answer within ${responseStartTimeoutMs} ms`,
      };
    }
    next = Math.min(next, due);
  }
  if (idleTimeoutMs > 0) {
    const due = exchange.movedAt + idleTimeoutMs;
    if (now >= due) {
      return {
        code: exchange.requestDone ? 'GATEWAY_IDLE_TIMEOUT' : 'GATEWAY_REQUEST_SLOW',
        message: `no byte moved between the client and ${key} for ${idleTimeoutMs} ms`,
      };
    }
    next = Math.min(next, due);
  }
  return { next };
}

/** Why a request waited in vain: pods that refuse, pods that are busy, or none. */
function judgeWaiting(exchange: Exchange, now: number): Verdict {
  const { key } = exchange.backend.spec;
  const waited = Math.round(now - exchange.arrivedAt);
  if (exchange.refusedAt > 0) {
    return {
      code: 'GATEWAY_CONNECT_FAILED',
      message: `no endpoint of ${key} accepted a connection for ${waited} ms`,
    };
  }
  if (exchange.backend.hasUsableEndpoint(now)) {
    return { code: 'GATEWAY_SLOT_TIMEOUT', message: `all pods of ${key} were busy for ${waited} ms` };
  }
  return { code: 'GATEWAY_WAKE_TIMEOUT', message: `no pod of ${key} became ready within ${waited} ms` };
}
