/** Exec and attach over SPDY/3.1: the client opens a stream of its own for each purpose. */
import type { Duplex, Writable } from 'node:stream';
import type { CommandChannels } from './command.ts';
import { errorChannelText, type ErrorForm } from './end-status.ts';
import type { CommandEnd, StreamOptions } from './source.ts';
import { SpdyConnection, type SpdyStream } from './spdy/connection.ts';
import { TerminalSizeReader, type TerminalSize } from './terminal-size.ts';

/** Values of X-Stream-Protocol-Version, newest first. */
export const spdyCommandProtocols = [
  'v4.channel.k8s.io',
  'v3.channel.k8s.io',
  'v2.channel.k8s.io',
  'channel.k8s.io',
] as const;

/** How long a client may take to open its streams, ms. */
const openTimeoutMs = 30_000;
/** How long it may take to close its side at the end, and when the server stops, ms. */
const closeGraceMs = 5000;
const goAwayGraceMs = 500;

/** The streams that a client opens: those it asked for, the error channel, and from version 3 the terminal's size. */
function expectedStreams({ stdin, stdout, stderr, tty }: StreamOptions, protocol: string): string[] {
  const resizes = tty && (protocol.startsWith('v4') || protocol.startsWith('v3'));
  return [
    'error',
    ...(stdin ? ['stdin'] : []),
    ...(stdout ? ['stdout'] : []),
    ...(stderr ? ['stderr'] : []),
    ...(resizes ? ['resize'] : []),
  ];
}

/** Resolves when the client has opened all streams; undefined when it goes before, or takes too long. */
export async function spdyChannels(
  carrier: Duplex,
  head: Buffer,
  options: StreamOptions,
  protocol: string,
  action: string,
): Promise<CommandChannels | undefined> {
  const expected = expectedStreams(options, protocol);
  const streams = new Map<string, SpdyStream>();
  const complete = Promise.withResolvers<boolean>();
  const closed = Promise.withResolvers<void>();
  const connection = new SpdyConnection(carrier, head, {
    stream: (stream) => {
      const type = stream.headers.get('streamtype') ?? '';
      if (!expected.includes(type) || streams.has(type)) {
        stream.destroy();
        return;
      }
      streams.set(type, stream);
      if (streams.size === expected.length) complete.resolve(true);
    },
    closed: () => {
      complete.resolve(false);
      closed.resolve();
    },
  });
  const timer = setTimeout(() => connection.destroy(), openTimeoutMs);
  const isComplete = await complete.promise;
  clearTimeout(timer);
  if (!isComplete) return undefined;

  const sizes = new TerminalSizeReader();
  let resized = (_size: TerminalSize): void => undefined;
  streams.get('resize')?.on('data', (bytes: Buffer) => {
    for (const size of sizes.read(bytes)) resized(size);
  });
  // The client sends nothing on these, but for their end.
  for (const type of ['error', 'stdout', 'stderr']) streams.get(type)?.resume();
  const form: ErrorForm = protocol.startsWith('v4') ? 'status' : 'text';
  return {
    stdin: streams.get('stdin'),
    stdout: streams.get('stdout'),
    stderr: streams.get('stderr'),
    onResize: (listener) => (resized = listener),
    closed: closed.promise,
    async finish(end: CommandEnd) {
      const text = errorChannelText(end, action, form);
      const outputs = ['stdout', 'stderr'].map((type) => ended(streams.get(type), ''));
      await Promise.all([...outputs, ended(streams.get('error'), text)]);
      connection.end(closeGraceMs);
    },
    goAway: () => connection.end(goAwayGraceMs),
  };
}

/** Resolves when everything has been handed to the connection, or it is gone. */
function ended(stream: Writable | undefined, last: string): Promise<void> {
  return new Promise((resolve) => {
    if (!stream || stream.destroyed) {
      resolve();
      return;
    }
    stream.once('close', resolve);
    if (last !== '') stream.write(last);
    stream.end(() => resolve());
  });
}
