/**
 * Port-forward over WebSocket as it was before SPDY was carried in it, and as some client libraries still speak it: one
 * connection per port of the query, with two channels each, for data and errors.
 */
import { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { forward, forwardFailure } from './forward.ts';
import type { PodPorts } from './source.ts';

export const forwardChannelProtocols = ['v4.channel.k8s.io', 'v4.base64.channel.k8s.io'] as const;

/** Connects to the ports at once; the WebSocket closes when all connections have ended. */
export function forwardOverWebSocket(
  socket: WebSocket,
  pod: string,
  numbers: readonly number[],
  ports: PodPorts,
  signal: AbortSignal,
): void {
  const isBase64 = socket.protocol.includes('base64');
  const send = (channel: number, bytes: Buffer, done: (error?: Error | null) => void): void => {
    if (isBase64) socket.send(`${String.fromCharCode(0x30 + channel)}${bytes.toString('base64')}`, done);
    else socket.send(Buffer.concat([Buffer.of(channel), bytes]), done);
  };
  const full = new Set<number>();
  const streams = numbers.map((_port, i) => {
    const stream: Duplex = new Duplex({
      allowHalfOpen: true,
      read: () => {
        if (full.delete(i) && full.size === 0) socket.resume();
      },
      write: (bytes: Buffer, _encoding, done) => send(2 * i, bytes, done),
    });
    stream.on('error', () => undefined);
    return stream;
  });
  socket.on('message', (message: Buffer) => {
    if (message.length === 0) return;
    const channel = (message[0] ?? 0) - (isBase64 ? 0x30 : 0);
    const bytes = isBase64 ? Buffer.from(message.toString('latin1', 1), 'base64') : message.subarray(1);
    const stream = channel % 2 === 0 ? streams[channel / 2] : undefined;
    if (!stream || stream.destroyed || bytes.length === 0 || stream.push(bytes)) return;
    full.add(channel / 2);
    socket.pause();
  });
  const leave = (): void => socket.close(1001, 'the server stops');
  signal.addEventListener('abort', leave, { once: true });
  void ports.ended.then(() => socket.close(1000));
  socket.on('error', () => socket.terminate());
  socket.once('close', () => {
    signal.removeEventListener('abort', leave);
    for (const stream of streams) stream.destroy();
    ports.close();
  });
  void serve();

  async function serve(): Promise<void> {
    const ignore = (): void => undefined;
    await Promise.all(
      streams.map(async (stream, i) => {
        const port = numbers[i] ?? 0;
        // Each channel begins with the number of its port, little-endian.
        const number = Buffer.alloc(2);
        number.writeUInt16LE(port);
        send(2 * i, number, ignore);
        send(2 * i + 1, number, ignore);
        const failure = await forward(ports, port, stream);
        if (failure !== undefined) send(2 * i + 1, Buffer.from(forwardFailure(pod, port, failure)), ignore);
      }),
    );
    socket.close(1000);
  }
}
