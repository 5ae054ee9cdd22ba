/** Exec and attach over WebSocket: each message begins with the number of its channel. */
import { Readable, Writable } from 'node:stream';
import type { WebSocket } from 'ws';
import type { CommandChannels } from './command.ts';
import { errorChannelText, type ErrorForm } from './end-status.ts';
import type { CommandEnd, StreamOptions } from './source.ts';
import { TerminalSizeReader, type TerminalSize } from './terminal-size.ts';

/** Newest first. In the base64 forms, which browsers once needed, messages are text and the number is a digit. */
export const commandProtocols = [
  'v5.channel.k8s.io',
  'v4.channel.k8s.io',
  'v4.base64.channel.k8s.io',
  'channel.k8s.io',
  'base64.channel.k8s.io',
] as const;

const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

/** The form of the error channel that a subprotocol has. */
export function errorForm(protocol: string): ErrorForm {
  return protocol.startsWith('v') ? 'status' : 'text';
}

export function webSocketChannels(
  socket: WebSocket,
  options: StreamOptions,
  action: string,
): CommandChannels {
  const isBase64 = socket.protocol.includes('base64');
  const send = (number: number, bytes: Buffer, done: (error?: Error | null) => void): void => {
    if (isBase64) socket.send(`${number}${bytes.toString('base64')}`, done);
    else socket.send(Buffer.concat([Buffer.of(number), bytes]), done);
  };
  const output = (number: number): Writable => {
    const stream = new Writable({ write: (bytes: Buffer, _encoding, done) => send(number, bytes, done) });
    // The connection's end is what is looked at.
    stream.on('error', () => undefined);
    return stream;
  };
  const stdin = options.stdin ? new Readable({ read: () => socket.resume() }) : undefined;
  stdin?.on('error', () => undefined);
  const stdout = options.stdout ? output(channel.stdout) : undefined;
  const stderr = options.stderr ? output(channel.stderr) : undefined;
  const sizes = new TerminalSizeReader();
  let resized = (_size: TerminalSize): void => undefined;
  let receivesInput = true;
  let saidGoodbye = false;

  const receive = (number: number, bytes: Buffer): void => {
    if (number === channel.stdin && stdin && receivesInput) {
      if (bytes.length > 0 && !stdin.push(bytes)) socket.pause();
    } else if (number === channel.resize) {
      for (const size of sizes.read(bytes)) resized(size);
    } else if (number === channel.close && bytes[0] === channel.stdin && receivesInput) {
      receivesInput = false;
      stdin?.push(null);
    }
  };
  socket.on('message', (message: Buffer, isBinary) => {
    if (message.length === 0) return;
    if (!isBase64) receive(message[0] ?? 0, message.subarray(1));
    else if (!isBinary)
      receive((message[0] ?? 0) - 0x30, Buffer.from(message.toString('latin1', 1), 'base64'));
  });
  socket.on('error', () => socket.terminate());
  const closed = new Promise<void>((resolve) => {
    socket.once('close', (code) => {
      saidGoodbye = stdin !== undefined && (code === 1000 || code === 1005);
      // What has come is still read; it was all that there will be.
      if (saidGoodbye && receivesInput) stdin?.push(null);
      else if (!saidGoodbye) stdin?.destroy();
      for (const stream of [stdout, stderr]) stream?.destroy();
      resolve();
    });
  });
  // Tells a client that waits for it that the streams are open.
  const first = options.stdout ? channel.stdout : options.stderr ? channel.stderr : channel.error;
  send(first, Buffer.alloc(0), () => undefined);

  return {
    stdin,
    stdout,
    stderr,
    onResize: (listener) => (resized = listener),
    closed,
    endedInput: () => saidGoodbye,
    async finish(end: CommandEnd) {
      const text = errorChannelText(end, action, errorForm(socket.protocol));
      await Promise.all([stdout, stderr].map((stream) => ended(stream)));
      if (text !== '') send(channel.error, Buffer.from(text), () => undefined);
      socket.close(1000);
    },
    goAway: () => socket.close(1001, 'the server stops'),
  };
}

/** Resolves when everything has been handed to the connection, or it is gone. */
function ended(stream: Writable | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (!stream || stream.destroyed) {
      resolve();
      return;
    }
    stream.once('close', resolve);
    stream.end(() => resolve());
  });
}
