/** Logs over WebSocket, as programs in browsers read them: messages of output (apiserver `wsstream.Reader`). */
import { setTimeout as delay } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import type { Exchange } from './exchange.ts';
import {
  acceptWebSocket,
  chooseProtocol,
  listed,
  UpgradeRefused,
  wantedUpgrade,
} from './pod-streams/upgrade.ts';

/** In the second form messages are text. A client that names none gets bytes. */
const protocols = ['binary.k8s.io', 'base64.binary.k8s.io'] as const;

/** How long the source may take to say that it cannot deliver, before the connection is taken, ms. */
const firstChunkMs = 300;

/** Whether the client wants messages. Another wish than WebSocket is ignored, as if there were none. */
export function wantsLogMessages({ upgrade, request }: Exchange): boolean {
  return upgrade !== undefined && request.headers.upgrade?.toLowerCase() === 'websocket';
}

/** Resolves when everything has been sent or the client has gone. A failure before the first bytes is thrown. */
export async function sendLogMessages(exchange: Exchange, source: AsyncIterable<Buffer>): Promise<void> {
  const { upgrade } = wantedUpgrade(exchange);
  const protocol = chooseProtocol(listed(exchange.request, 'sec-websocket-protocol'), protocols);
  const chunks = source[Symbol.asyncIterator]();
  const first = chunks.next();
  try {
    await Promise.race([first, delay(firstChunkMs, undefined, { ref: false })]);
    const socket = await acceptWebSocket(exchange, upgrade, protocol);
    socket.on('error', () => socket.terminate());
    // Clients send nothing, but for their end.
    socket.on('message', () => undefined);
    try {
      for (let next = await first; !next.done; next = await chunks.next()) await sent(socket, next.value);
      socket.close(1000);
    } catch {
      socket.close(1011);
    }
  } catch (error) {
    if (!(error instanceof UpgradeRefused)) throw error;
  } finally {
    await chunks.return?.();
  }
}

/** Resolves when the connection has taken the message: a slow client slows the reading down. */
function sent(socket: WebSocket, bytes: Buffer): Promise<void> {
  const message = socket.protocol.startsWith('base64') ? bytes.toString('base64') : bytes;
  return new Promise((resolve, reject) => {
    socket.send(message, (error) => (error ? reject(error) : resolve()));
  });
}
