/** Watches over WebSocket, as Java's fabric8 client and programs in browsers ask for them: each event is a message of text. */
import type { WebSocket } from 'ws';
import type { Exchange } from './exchange.ts';
import { tokenProtocol } from './authentication/authenticator.ts';
import { acceptWebSocket, listed, UpgradeRefused, wantedUpgrade } from './pod-streams/upgrade.ts';

/** Bytes that may wait for a reader before the stream pauses. */
const maxWaitingBytes = 1024 * 1024;
/** A reader that takes nothing for this long is cut off. */
const maxStallMs = 30_000;

/** Whether the client wants messages. Another wish than WebSocket is ignored, as if there were none. */
export function wantsWatchMessages({ upgrade, request }: Exchange): boolean {
  return upgrade !== undefined && request.headers.upgrade?.toLowerCase() === 'websocket';
}

/** Sends lines as they come, and closes when there are no more. Resolves then, or when the client has gone. */
export async function sendWatchMessages(exchange: Exchange, lines: AsyncIterable<Buffer>): Promise<void> {
  const { upgrade } = wantedUpgrade(exchange);
  // Whatever the client calls its protocol, it is this one; but a token that comes in place of one is not told back.
  const offered = listed(exchange.request, 'sec-websocket-protocol');
  const protocol = offered.find((name) => !name.startsWith(tokenProtocol));
  let socket: WebSocket;
  try {
    socket = await acceptWebSocket(exchange, upgrade, protocol);
  } catch (error) {
    if (error instanceof UpgradeRefused) return;
    throw error;
  }
  socket.on('error', () => socket.terminate());
  // Clients send nothing, but for their end.
  socket.on('message', () => undefined);
  try {
    for await (const line of lines) {
      const taken = send(socket, line);
      if (taken) await taken;
    }
    socket.close(1000);
  } catch {
    socket.terminate();
  }
}

/** Undefined while little waits; else resolves when the message has been taken. Rejects when the client takes none. */
function send(socket: WebSocket, line: Buffer): Promise<void> | undefined {
  if (socket.bufferedAmount < maxWaitingBytes) {
    socket.send(line, { binary: false });
    return undefined;
  }
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the reader is too slow')), maxStallMs);
    socket.send(line, { binary: false }, (error) => {
      clearTimeout(timer);
      if (error) reject(error);
      else resolve();
    });
  });
}
