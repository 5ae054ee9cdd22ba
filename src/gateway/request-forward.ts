/** The request on its way to a pod: which backend, which head, and the body piece by piece. */
import { plainAnswer, type AnswerOptions, type GatewayCode } from './answer.ts';
import type { BackendState } from './backend.ts';
import type { ClientConnection } from './client.ts';
import type { Engine } from './engine.ts';
import { BODY_CHUNKED, BODY_LENGTH, type Exchange } from './exchange.ts';
import { chainedForwardLines, hasForwardHeaders, plainForwardLines } from './forward-headers.ts';
import { ascii } from './http1/bytes.ts';
import { MALFORMED } from './http1/chunked.ts';
import { REQUEST_HEAD_SLACK, composeRequestHead } from './http1/compose.ts';
import { matchPath, type Path, type Share } from './routing-table.ts';
import { chooseShare } from './split.ts';
import { FAILED, PENDING, SCRATCH_LARGE_BYTES } from './transport/transport.ts';

/** Heads with small bodies are kept for a repeat in buffers of this size, which are used again. */
const REPLAY_BYTES = 4096;
/** Bodies of requests that may be repeated are kept up to here. */
const MAX_REPLAY_BYTES = 65_536;

const HEAD_METHOD = Buffer.from('HEAD');
const HOST = ascii('host');
const JSON_TYPE = 'json';
const UPGRADE_LINES = 'Connection: Upgrade\r\nUpgrade: websocket\r\n';

export type Routed =
  | { readonly probe: true; readonly found: boolean; readonly share: Share | undefined }
  | { readonly probe: false; readonly backend: BackendState; readonly share: Share; readonly path: Path }
  | {
      readonly probe: false;
      readonly backend: undefined;
      readonly code: GatewayCode;
      readonly message: string;
    };

export class ForwardedRequest {
  readonly #engine: Engine;
  readonly #client: ClientConnection;
  #plainLines: string | undefined;
  /** The lines added last, and for which share and path: clients mostly ask the same again. */
  #added: Buffer = Buffer.alloc(0);
  #addedShare: Share | undefined;
  #addedPath: Path | undefined;

  constructor(engine: Engine, client: ClientConnection) {
    this.#engine = engine;
    this.#client = client;
  }

  /** How the gateway would answer the parsed request itself. */
  answerOptions(bytes: Buffer, close: boolean): AnswerOptions {
    const { request } = this.#engine;
    const { fields } = request;
    return {
      json: fields.accept >= 0 && fields.value(bytes, fields.accept).includes(JSON_TYPE),
      isHead: request.isMethod(bytes, HEAD_METHOD),
      close,
      keepAlive10: request.minor === 0,
    };
  }

  /** From the host name to the backend. */
  route(host: string, bytes: Buffer): Routed {
    const engine = this.#engine;
    const { request } = engine;
    const probe = request.fields.networkProbe >= 0;
    const rules = engine.routes.find(host, this.#client.local);
    const path = rules && matchPath(rules, request, bytes);
    const share = path?.shares[chooseShare(path.shares, engine.random)];
    if (probe) return { probe, found: path !== undefined, share };
    if (path === undefined || share === undefined) {
      const message = rules ? `no route of ${host} has this path` : `no route has the host name ${host}`;
      return { probe, backend: undefined, code: 'GATEWAY_NO_ROUTE', message };
    }
    const backend = engine.backends.get(share.backend);
    if (backend === undefined) {
      const message = `${host} leads to ${share.backend}, which is not there`;
      return { probe, backend, code: 'GATEWAY_NO_ENDPOINT', message };
    }
    if (backend.spec.protocol === 'h2c') {
      const message = `${share.backend} asks for h2c`;
      return { probe, backend: undefined, code: 'GATEWAY_H2C_NOT_SERVED', message };
    }
    return { probe, backend, share, path };
  }

  /**
   * Answers a K-Network-Probe without waking anything (knative/networking header protocol): 200 for hosts that are
   * routed, with the hash of the rules when they carry one, 404 for others.
   */
  probeAnswer(routed: Routed & { probe: true }, bytes: Buffer, options: AnswerOptions): Buffer {
    const { fields } = this.#engine.request;
    if (!routed.found) return plainAnswer(404, 'X-Knapsack-Error: GATEWAY_NO_ROUTE\r\n', '', options);
    const kind = fields.value(bytes, fields.networkProbe);
    if (kind !== 'probe' && kind !== 'activator' && kind !== 'queue') {
      return plainAnswer(400, '', `unexpected probe ${JSON.stringify(kind)}\n`, options);
    }
    const hash = routed.share?.networkHash;
    return plainAnswer(200, hash === undefined ? '' : `K-Network-Hash: ${hash}\r\n`, kind, options);
  }

  /**
   * Writes the head for the pod, and what is there of a small body, to the replay buffer. Returns the offset behind
   * what was taken of `bytes[behind, end)`, or -1 when the body is malformed.
   */
  compose(
    exchange: Exchange,
    share: Share,
    path: Path,
    host: string,
    bytes: Buffer,
    behind: number,
    end: number,
  ): number {
    const { request, replays } = this.#engine;
    const { fields } = request;
    if (fields.nominates) fields.dropNominated(bytes);
    const added = this.#lines(exchange, share, path, host, bytes);
    const head = behind - request.start + added.length + REQUEST_HEAD_SLACK;
    const available =
      exchange.bodyMode === BODY_LENGTH ? Math.min(end - behind, exchange.bodyLeft) : end - behind;
    const body = exchange.requestDone ? 0 : available;
    let absorb = body > 0;
    if (head + body <= REPLAY_BYTES) exchange.replay = replays.pop() ?? Buffer.allocUnsafeSlow(REPLAY_BYTES);
    else if (exchange.idempotent && head + body <= MAX_REPLAY_BYTES) {
      exchange.replay = Buffer.allocUnsafeSlow(head + body);
    } else {
      absorb = false;
      exchange.replay =
        head <= REPLAY_BYTES
          ? (replays.pop() ?? Buffer.allocUnsafeSlow(REPLAY_BYTES))
          : Buffer.allocUnsafeSlow(head);
    }
    const { replay } = exchange;
    exchange.replayLength = composeRequestHead(request, bytes, added, replay);
    if (!absorb) return behind;
    const room = { out: replay, offset: exchange.replayLength };
    const position = takeBody(exchange, bytes, behind, end, room);
    exchange.replayLength = room.offset;
    return position;
  }

  /**
   * Sends the replay buffer, together with body that is at hand. Returns the offset behind what was taken of
   * `input[position, end)`, or -1 when not a byte could be sent.
   */
  sendHead(exchange: Exchange, input: Buffer, position: number, end: number): number {
    const { upstream, replay } = exchange;
    if (upstream === null || replay === null) return -1;
    const { transport } = this.#engine;
    const body = exchange.bodyMode === BODY_LENGTH ? Math.min(exchange.bodyLeft, end - position) : 0;
    if (body > 0 && exchange.replayLength + body <= SCRATCH_LARGE_BYTES) {
      // One write for both; the body is then no longer at hand for a repeat.
      const out = transport.scratchLarge;
      let o = replay.copy(out, 0, 0, exchange.replayLength);
      o += input.copy(out, o, position, position + body);
      if (upstream.write(out, 0, o) === FAILED) return -1;
      exchange.bodyLeft -= body;
      exchange.requestDone = exchange.bodyLeft === 0;
      exchange.replayWhole = false;
      return position + body;
    }
    const outcome = upstream.write(replay, 0, exchange.replayLength);
    if (outcome === FAILED) return -1;
    if (outcome === PENDING) exchange.replayPinned = true;
    return position;
  }

  /** Sends the next piece of the body; returns the offset behind what was taken. */
  sendBody(exchange: Exchange, input: Buffer, position: number, end: number): number {
    const { upstream } = exchange;
    exchange.replayWhole = false;
    if (exchange.bodyMode === BODY_LENGTH) {
      const behind = position + Math.min(exchange.bodyLeft, end - position);
      exchange.bodyLeft -= behind - position;
      exchange.requestDone = exchange.bodyLeft === 0;
      if (!exchange.discard && upstream?.write(input, position, behind) === FAILED) exchange.discard = true;
      return behind;
    }
    const { chunks } = exchange;
    const taken = chunks.scan(input, position, end);
    if (taken === MALFORMED) {
      exchange.closeAfter = true;
      this.#client.fail('GATEWAY_BAD_REQUEST', 'a chunk is malformed');
      return end;
    }
    const behind = taken < 0 ? end : taken;
    exchange.requestDone = taken >= 0;
    if (exchange.discard) return behind;
    let outcome;
    if (chunks.intact) outcome = upstream?.write(input, position, behind);
    else {
      const length = chunks.emittedLength(position, behind);
      if (length === 0) return behind;
      const { transport } = this.#engine;
      const out = length <= SCRATCH_LARGE_BYTES ? transport.scratchLarge : Buffer.allocUnsafe(length);
      outcome = upstream?.write(out, 0, chunks.emit(input, position, behind, out, 0));
    }
    if (outcome === FAILED) exchange.discard = true;
    return behind;
  }

  /** The request need not be sent again. */
  dropReplay(exchange: Exchange): void {
    const { replay } = exchange;
    exchange.replay = null;
    if (replay === null || exchange.replayPinned || replay.length !== REPLAY_BYTES) return;
    const { replays, options } = this.#engine;
    if (replays.length < options.spareReplays) replays.push(replay);
  }

  /** All lines that the gateway adds. Drops the client's lines that they replace. */
  #lines(exchange: Exchange, share: Share, path: Path, host: string, bytes: Buffer): Buffer {
    const { request } = this.#engine;
    const { fields } = request;
    for (const name of share.added.names) fields.dropNamed(bytes, name);
    const plain = !hasForwardHeaders(fields) && !exchange.upgrade && !request.absoluteForm;
    if (path.rewriteHost !== undefined || request.absoluteForm) fields.dropNamed(bytes, HOST);
    if (plain && this.#addedShare === share && this.#addedPath === path) return this.#added;
    let text = '';
    if (path.rewriteHost !== undefined) text += `Host: ${path.rewriteHost}\r\n`;
    else if (request.absoluteForm) {
      const authority = bytes.toString('latin1', request.authorityStart, request.authorityEnd);
      text += `Host: ${authority || host}\r\n`;
    }
    if (exchange.upgrade) text += UPGRADE_LINES;
    this.#plainLines ??= plainForwardLines(this.#client.peer);
    text += hasForwardHeaders(fields)
      ? chainedForwardLines(fields, bytes, this.#client.peer)
      : this.#plainLines;
    const lines = Buffer.concat([Buffer.from(text, 'latin1'), share.added.lines]);
    if (plain) {
      this.#added = lines;
      this.#addedShare = share;
      this.#addedPath = path;
    }
    return lines;
  }
}

/** Copies body of `bytes[position, end)` to `room`, which is large enough; the offset behind it, or -1 when malformed. */
function takeBody(
  exchange: Exchange,
  bytes: Buffer,
  position: number,
  end: number,
  room: { out: Buffer; offset: number },
): number {
  if (exchange.bodyMode === BODY_CHUNKED) {
    const taken = exchange.chunks.scan(bytes, position, end);
    if (taken === MALFORMED) return -1;
    const behind = taken < 0 ? end : taken;
    exchange.requestDone = taken >= 0;
    room.offset = exchange.chunks.emit(bytes, position, behind, room.out, room.offset);
    return behind;
  }
  const behind = position + Math.min(exchange.bodyLeft, end - position);
  exchange.bodyLeft -= behind - position;
  exchange.requestDone = exchange.bodyLeft === 0;
  room.offset += bytes.copy(room.out, room.offset, position, behind);
  return behind;
}
