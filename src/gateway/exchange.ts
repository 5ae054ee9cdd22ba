/**
 * One request and its answer on the way through the gateway: where it stands, and what comes next when its backend or
 * the connection to its pod tells something. A client connection uses one again and again.
 */
import type { BackendState } from './backend.ts';
import type { ClientConnection } from './client.ts';
import type { EndpointState } from './endpoint.ts';
import type { Engine } from './engine.ts';
import { ChunkedBody } from './http1/chunked.ts';
import type { RequestHead } from './http1/request.ts';
import { mayRepeat, triedLongEnough } from './repeat.ts';
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

  readonly #engine: Engine;

  constructor(engine: Engine, client: ClientConnection, backend: BackendState) {
    this.#engine = engine;
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

  /** It was put in the queue. */
  waits(): void {
    this.client.lookAgainAt(this.queuedAt + this.#engine.options.wakeTimeoutMs);
  }

  /** A slot of `endpoint` was taken for it. */
  granted(endpoint: EndpointState): void {
    this.endpoint = endpoint;
    const now = this.#engine.now();
    const pooled = this.upgrade ? undefined : endpoint.takeIdle(this.idempotent, now);
    if (pooled) {
      this.upstream = pooled;
      pooled.attach(this);
      this.client.forward();
    } else {
      this.phase = CONNECTING;
      this.connectingAt = now;
      this.upstream = this.#engine.connect(endpoint, this);
      this.client.lookAgainAt(now + this.#engine.options.connectTimeoutMs);
    }
  }

  /** The connection to the pod is there: the request goes out. */
  forwarding(): void {
    const now = this.#engine.now();
    this.phase = FORWARDING;
    this.forwardedAt = now;
    this.movedAt = now;
    this.attempts++;
    const { responseStartTimeoutMs, idleTimeoutMs } = this.backend.spec;
    if (responseStartTimeoutMs > 0) this.client.lookAgainAt(now + responseStartTimeoutMs);
    if (idleTimeoutMs > 0) this.client.lookAgainAt(now + idleTimeoutMs);
  }

  /** Not a byte left: the pod closed the pooled connection just now. */
  notSent(): void {
    this.upstream?.destroy();
    this.attempts--;
    this.#tryElsewhere();
  }

  /** No connection to the pod could be made; nothing was sent. */
  connectFailed(code: string): void {
    const now = this.#engine.now();
    this.refusals++;
    this.refusedAt ||= now;
    const { key } = this.backend.spec;
    if (triedLongEnough(this, now, this.#engine.options)) {
      this.client.fail('GATEWAY_CONNECT_FAILED', `no endpoint of ${key} accepts connections (${code})`);
    } else this.#tryElsewhere();
  }

  /** No connection to the pod was made in time. */
  connectTimedOut(now: number): void {
    this.endpoint?.refused(now);
    this.upstream?.destroy();
    this.connectFailed('ETIMEDOUT');
  }

  /** The pod ended or broke its connection before the answer was complete. */
  lost(what: string): void {
    if (mayRepeat(this, this.#engine.options)) this.#tryElsewhere();
    else this.client.fail('GATEWAY_UPSTREAM_BROKEN', `the pod of ${this.backend.spec.key} ${what}`);
  }

  malformed(reason: string): void {
    const { key } = this.backend.spec;
    this.client.fail('GATEWAY_UPSTREAM_MALFORMED', `the answer of ${key} is malformed: ${reason}`);
  }

  #tryElsewhere(): void {
    this.upstream = null;
    const { backend, client, endpoint } = this;
    this.endpoint = null;
    const { key, wakes } = backend.spec;
    if (backend.removed) client.fail('GATEWAY_BACKEND_REMOVED', `${key} was removed`);
    else if (!wakes && !backend.endpoints.some((other) => !other.draining)) {
      client.fail('GATEWAY_NO_ENDPOINT', `nothing serves ${key} any more`);
    } else backend.readmit(this);
    endpoint?.release();
  }
}
