/** One request and its answer on the way through the gateway. A client connection uses one again and again. */
import type { BackendState } from './backend.ts';
import type { ClientConnection } from './client.ts';
import type { EndpointState } from './endpoint.ts';
import { ChunkedBody } from './http1/chunked.ts';
import type { RequestHead } from './http1/request.ts';
import type { UpstreamConnection } from './upstream.ts';

/** Waits for an endpoint or slot. */
export const QUEUED = 0;
/** Has a slot; the connection to the pod is being made. Nothing was sent. */
export const CONNECTING = 1;
/** The head was sent. */
export const FORWARDING = 2;

export const BODY_NONE = 0;
export const BODY_LENGTH = 1;
export const BODY_CHUNKED = 2;
/** Responses only: until the connection ends. */
export const BODY_CLOSE = 3;

export class Exchange {
  readonly client: ClientConnection;
  backend: BackendState;
  endpoint: EndpointState | null = null;
  upstream: UpstreamConnection | null = null;
  phase = QUEUED;

  isHead = false;
  idempotent = false;
  minor = 1;
  upgrade = false;
  expectContinue = false;
  /** The client's connection ends after this answer. */
  closeAfter = false;
  json = false;

  bodyMode = BODY_NONE;
  bodyLeft = 0;
  readonly chunks = new ChunkedBody();
  /** All of the request was taken from the client. */
  requestDone = true;
  /** The pod takes no more of the body; what comes is thrown away. */
  discard = false;

  /** The head for the pod and as much of the body as fits, kept until the first byte of the answer. */
  replay: Buffer | null = null;
  replayLength = 0;
  /** Everything taken from the client is in `replay`: the request can be sent again. */
  replayWhole = true;
  /** A write still holds `replay`. */
  replayPinned = false;

  /** A byte of the answer came: nothing may be repeated. */
  answered = false;
  /** A final head went to the client: an error can only be shown by a broken connection. */
  headSent = false;
  attempts = 0;
  refusals = 0;

  /** All on the clock of the wheel, ms; 0 when not (yet) so. */
  arrivedAt = 0;
  queuedAt = 0;
  refusedAt = 0;
  connectingAt = 0;
  forwardedAt = 0;
  movedAt = 0;

  /** Links of the backend's queue. */
  queued = false;
  next: Exchange | null = null;
  previous: Exchange | null = null;

  constructor(client: ClientConnection, backend: BackendState) {
    this.client = client;
    this.backend = backend;
  }

  /** Takes over what the parser found in `bytes`. */
  begin(backend: BackendState, now: number, request: RequestHead, bytes: Buffer): void {
    const { fields } = request;
    const hasBody = fields.chunked || fields.contentLength > 0;
    this.minor = request.minor;
    this.idempotent = request.isIdempotent(bytes);
    this.expectContinue = fields.expectContinue && request.minor === 1;
    this.upgrade = fields.upgradeWebSocket && !hasBody && request.minor === 1;
    this.bodyMode = fields.chunked ? BODY_CHUNKED : hasBody ? BODY_LENGTH : BODY_NONE;
    this.bodyLeft = Math.max(0, fields.contentLength);
    this.requestDone = !hasBody;
    if (fields.chunked) this.chunks.reset(false);
    this.backend = backend;
    this.endpoint = null;
    this.upstream = null;
    this.phase = QUEUED;
    this.discard = false;
    this.replayWhole = true;
    this.replayPinned = false;
    this.answered = false;
    this.headSent = false;
    this.attempts = 0;
    this.refusals = 0;
    this.arrivedAt = now;
    this.queuedAt = now;
    this.refusedAt = 0;
    this.connectingAt = 0;
    this.forwardedAt = 0;
    this.movedAt = now;
  }
}
