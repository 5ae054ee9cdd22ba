import type { CatalogueEntry } from './entry.ts';

export const gatewayErrors = {
  GATEWAY_NO_ROUTE: {
    cause: 'No route has this host name.',
    status: 404,
    remedy: 'Check the Host header against the URL that `kubectl get ksvc` shows.',
    blame: 'user',
  },
  GATEWAY_BAD_REQUEST: {
    cause: 'The bytes that arrived are not a request that HTTP/1.1 allows.',
    status: 400,
    remedy: 'Correct what the message names in the client that sent it.',
    blame: 'user',
  },
  GATEWAY_METHOD_NOT_SERVED: {
    cause: 'The gateway is not a forward proxy: it serves no CONNECT.',
    status: 405,
    remedy: 'Send the request to its own URL, not through the gateway as a proxy.',
    blame: 'user',
  },
  GATEWAY_REQUEST_SLOW: {
    cause: 'The client did not send the whole request in time.',
    status: 408,
    remedy: 'Send the request without long pauses, or raise the idle timeout of the service.',
    blame: 'user',
  },
  GATEWAY_TARGET_TOO_LONG: {
    cause: 'The path and query are longer than the gateway accepts.',
    status: 414,
    remedy: 'Send long parameters in the body.',
    blame: 'user',
  },
  GATEWAY_EXPECTATION_FAILED: {
    cause: 'The Expect header asks for something other than 100-continue.',
    status: 417,
    remedy: 'Leave the Expect header out.',
    blame: 'user',
  },
  GATEWAY_HEAD_TOO_LARGE: {
    cause: 'The request has more or longer headers than the gateway accepts.',
    status: 431,
    remedy: 'Send fewer or shorter headers; cookies are the usual reason.',
    blame: 'user',
  },
  GATEWAY_ENCODING_NOT_SERVED: {
    cause: 'The request has a Transfer-Encoding other than chunked.',
    status: 501,
    remedy: 'Send the body with Content-Length or chunked.',
    blame: 'user',
  },
  GATEWAY_VERSION_NOT_SERVED: {
    cause: 'The request is in a version of HTTP that this port does not speak.',
    status: 505,
    remedy: 'Speak HTTP/1.1.',
    blame: 'user',
  },
  GATEWAY_QUEUE_FULL: {
    cause: 'Too many requests already wait for this revision.',
    status: 503,
    remedy:
      'Send less, raise containerConcurrency or the max-scale annotation, or look why pods do not come up.',
    blame: 'user',
  },
  GATEWAY_WAKE_TIMEOUT: {
    cause: 'The revision was at zero and no pod of it became ready in time.',
    status: 504,
    remedy: 'Look at the pods: `kubectl get pods` and `kubectl describe revision` show why none is ready.',
    blame: 'user',
  },
  GATEWAY_SLOT_TIMEOUT: {
    cause: 'All pods of the revision were busy until the time was over.',
    status: 503,
    remedy: 'Raise containerConcurrency or the max-scale annotation.',
    blame: 'user',
  },
  GATEWAY_NO_ENDPOINT: {
    cause: 'Nothing serves this address just now, and nothing is started for it.',
    status: 503,
    remedy: 'Try again; when it stays so, look at the pods or the component that the message names.',
    blame: 'system',
  },
  GATEWAY_BACKEND_REMOVED: {
    cause: 'The revision was removed while the request waited.',
    status: 503,
    remedy: 'Send the request again: it goes where the route points now.',
    blame: 'user',
  },
  GATEWAY_CONNECT_FAILED: {
    cause: 'No pod of the revision accepted a connection.',
    status: 502,
    remedy:
      'Check that the app listens on the port in $PORT and on all interfaces; `kubectl logs` shows its output.',
    blame: 'user',
  },
  GATEWAY_UPSTREAM_BROKEN: {
    cause: 'The app closed the connection without answering.',
    status: 502,
    remedy:
      'Look for a crash in `kubectl logs --previous`; the request was not repeated because that may not be safe.',
    blame: 'user',
  },
  GATEWAY_UPSTREAM_MALFORMED: {
    cause: 'What the app answered is not HTTP/1.1.',
    status: 502,
    remedy: 'Check that the port of the container speaks HTTP/1.1 without TLS.',
    blame: 'user',
  },
  GATEWAY_RESPONSE_START_TIMEOUT: {
    cause: 'The app did not begin to answer in time.',
    status: 504,
    remedy: 'Answer sooner, or raise responseStartTimeoutSeconds of the revision.',
    blame: 'user',
  },
  GATEWAY_IDLE_TIMEOUT: {
    cause: 'No byte moved in either direction for too long.',
    status: 504,
    remedy: 'Send something now and then, or raise idleTimeoutSeconds of the revision.',
    blame: 'user',
  },
  GATEWAY_REQUEST_TIMEOUT: {
    cause: 'The whole request took longer than the revision allows.',
    status: 504,
    remedy: 'Answer sooner, or raise timeoutSeconds of the revision.',
    blame: 'user',
  },
  GATEWAY_H2C_NOT_SERVED: {
    cause: 'The container port is declared as HTTP/2 (h2c), which the gateway does not serve yet.',
    status: 502,
    remedy: 'Name the port http1 and let the app speak HTTP/1.1.',
    blame: 'user',
  },
} as const satisfies Record<string, CatalogueEntry>;
