/** Port-forward over SPDY/3.1, plain or carried by WebSocket messages: two streams per connection, for data and errors. */
import type { Duplex } from 'node:stream';
import { ApiError } from '../../api-error.ts';
import { forward, forwardFailure } from './forward.ts';
import { portOf } from './options.ts';
import type { PodPorts } from './source.ts';
import { SpdyConnection, type SpdyStream } from './spdy/connection.ts';

/** Value of X-Stream-Protocol-Version, and the WebSocket subprotocol that carries the same. */
export const forwardProtocol = 'portforward.k8s.io';
export const tunnelProtocol = 'SPDY/3.1+portforward.k8s.io';

/** How long the second stream of a pair may take, ms. */
const pairTimeoutMs = 30_000;
/** Pairs that may be incomplete at once. */
const maxIncomplete = 256;
const goAwayGraceMs = 500;

interface Pair {
  data?: SpdyStream;
  error?: SpdyStream;
  readonly timer: NodeJS.Timeout;
}

/** Serves connections until the client closes or `signal` is aborted. */
export function forwardOverSpdy(
  carrier: Duplex,
  head: Buffer,
  pod: string,
  ports: PodPorts,
  signal: AbortSignal,
): SpdyConnection {
  const pairs = new Map<string, Pair>();
  const drop = (key: string, pair: Pair): void => {
    clearTimeout(pair.timer);
    pairs.delete(key);
    pair.data?.destroy();
    pair.error?.destroy();
  };
  const connection = new SpdyConnection(carrier, head, {
    stream: (stream) => {
      const type = stream.headers.get('streamtype');
      const key = stream.headers.get('requestid') ?? pairWithout(stream, type);
      let pair = pairs.get(key);
      if (!pair) {
        const timer = setTimeout(() => {
          const late = pairs.get(key);
          if (late) drop(key, late);
        }, pairTimeoutMs);
        pair = { timer };
        pairs.set(key, pair);
      }
      const isNew = (type === 'data' || type === 'error') && pair[type] === undefined;
      if (!isNew || pairs.size > maxIncomplete) {
        stream.destroy();
        if (pairs.size > maxIncomplete) drop(key, pair);
        return;
      }
      pair[type] = stream;
      const { data, error } = pair;
      if (!data || !error) return;
      clearTimeout(pair.timer);
      pairs.delete(key);
      void serve(pod, ports, data, error);
    },
    closed: () => {
      for (const [key, pair] of pairs) drop(key, pair);
      ports.close();
      signal.removeEventListener('abort', leave);
    },
  });
  const leave = (): void => connection.end(goAwayGraceMs);
  signal.addEventListener('abort', leave, { once: true });
  void ports.ended.then(leave);
  return connection;
}

/** Clients from before request ids open the error stream and then, with the next number, the data stream. */
function pairWithout({ id }: SpdyStream, type: string | undefined): string {
  return `stream ${type === 'data' ? id - 2 : id}`;
}

async function serve(pod: string, ports: PodPorts, data: SpdyStream, error: SpdyStream): Promise<void> {
  error.resume();
  const text = data.headers.get('port') ?? '';
  let port: number;
  try {
    port = portOf(text);
  } catch (wrong) {
    if (!(wrong instanceof ApiError)) throw wrong;
    data.destroy();
    error.end(wrong.message);
    return;
  }
  const failure = await forward(ports, port, data);
  error.end(failure === undefined ? undefined : forwardFailure(pod, port, failure));
}
