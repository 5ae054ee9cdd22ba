/** Turns a request into a stream: the HTTP side of WebSocket (RFC 6455) and SPDY/3.1. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { ApiError } from '../../api-error.ts';
import type { Exchange } from '../exchange.ts';

/** The raw connection of a request that asked for an upgrade. */
export interface Upgrade {
  readonly socket: Duplex;
  /** What came behind the request's head. */
  readonly head: Buffer;
}

/** Longest message of a client, bytes. */
const maxMessageBytes = 8 * 1024 * 1024;

/** What an exchange asks to become. Throws 400 when it is no upgrade, or one to something else. */
export function wantedUpgrade(exchange: Exchange): { kind: 'websocket' | 'spdy'; upgrade: Upgrade } {
  const { upgrade, request } = exchange;
  const wanted = request.headers.upgrade?.toLowerCase();
  if (!upgrade || wanted === undefined) throw new ApiError('BadRequest', 'Upgrade request required');
  if (wanted === 'websocket') return { kind: 'websocket', upgrade };
  if (wanted === 'spdy/3.1') return { kind: 'spdy', upgrade };
  throw new ApiError('BadRequest', `unable to upgrade: unsupported protocol ${JSON.stringify(wanted)}`);
}

/** The words of a header that is a list, over all its lines. */
export function listed(request: IncomingMessage, header: string): string[] {
  return [request.headers[header] ?? []]
    .flat()
    .flatMap((line) => line.split(','))
    .map((word) => word.trim())
    .filter((word) => word !== '');
}

/** The first of our protocols that the client offers; undefined when it offers none at all. Throws 403 as kubelets do. */
export function chooseProtocol(offered: readonly string[], supported: readonly string[]): string | undefined {
  const found = supported.find((protocol) => offered.includes(protocol));
  if (found !== undefined || offered.length === 0) return found;
  throw new ApiError(
    'Forbidden',
    `unable to upgrade: unable to negotiate protocol: client supports [${offered.join(' ')}], server supports [${supported.join(' ')}]`,
  );
}

/** Takes the connection away from HTTP; from here on an error can no longer be answered with a Status. */
function detach({ response }: Exchange, { socket }: Upgrade): void {
  response.detachSocket(socket as Parameters<typeof response.detachSocket>[0]);
}

/** Answers 101 and gives the connection, on which SPDY frames follow. */
export function acceptSpdy(exchange: Exchange, upgrade: Upgrade, protocol: string | undefined): Duplex {
  detach(exchange, upgrade);
  const chosen = protocol === undefined ? '' : `X-Stream-Protocol-Version: ${protocol}\r\n`;
  upgrade.socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n${chosen}\r\n`,
  );
  return upgrade.socket;
}

/**
 * Answers 101 with the subprotocol. Rejects when the request breaks RFC 6455, after it has been answered: then nothing is
 * left to do.
 */
export function acceptWebSocket(
  exchange: Exchange,
  upgrade: Upgrade,
  protocol: string | undefined,
): Promise<WebSocket> {
  detach(exchange, upgrade);
  const { request } = exchange;
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: maxMessageBytes,
    handleProtocols: () => protocol ?? false,
  });
  return new Promise((resolve, reject) => {
    upgrade.socket.once('close', () => reject(new UpgradeRefused()));
    server.handleUpgrade(request, upgrade.socket, upgrade.head, resolve);
  });
}

/** The client has been told, or is gone. */
export class UpgradeRefused extends Error {
  override name = 'UpgradeRefused';
}
