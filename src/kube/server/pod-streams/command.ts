/** Carries a command's streams to and from a client, whatever protocol the client speaks. */
import type { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../../base/errors.ts';
import type { Command, CommandEnd, StartCommand } from './source.ts';
import type { TerminalSize } from './terminal-size.ts';

/** A client's ends of the streams that it asked for. */
export interface CommandChannels {
  readonly stdin: Readable | undefined;
  readonly stdout: Writable | undefined;
  readonly stderr: Writable | undefined;
  onResize(listener: (size: TerminalSize) => void): void;
  /** Resolves when the connection has closed, by whomever. */
  readonly closed: Promise<void>;
  /** After that: whether the client said goodbye, which ends its input where the protocol has no other word for it. */
  endedInput?(): boolean;
  /** Tells the end on the error channel, and closes once everything has been sent. */
  finish(end: CommandEnd): Promise<void>;
  /** Closes soon: the server stops. */
  goAway(): void;
}

/**
 * A process that a command leaves behind may hold its output open for ever. When the command has ended, so many looks in
 * a row without output, and the time between them, ms, are taken for the end.
 */
const quietLooks = 5;
const lookMs = 50;

/** How long a terminal waits for the client to tell its size, ms: programs look at it when they start. */
const firstSizeMs = 200;

/** How long a command may take after the last of its input when its client has said goodbye, ms. */
const lingerMs = 10_000;

/** Resolves when the connection has closed, or is about to. Never rejects. */
export async function runCommand(
  channels: CommandChannels,
  start: StartCommand,
  {
    tty,
    signal,
    lingers,
  }: { readonly tty: boolean; readonly signal: AbortSignal; readonly lingers: boolean },
): Promise<void> {
  let isGone = false;
  const gone = channels.closed.then(() => (isGone = true));
  const leave = (): void => channels.goAway();
  signal.addEventListener('abort', leave, { once: true });
  let running: Command | undefined;
  let size: TerminalSize | undefined;
  const sized = Promise.withResolvers<void>();
  channels.onResize((next) => {
    size = next;
    sized.resolve();
    running?.resize(next);
  });
  try {
    if (tty) await Promise.race([sized.promise, gone, delay(firstSizeMs)]);
    if (isGone) return;
    const given = size;
    const command = await started(start, given);
    if (typeof command === 'string') {
      await channels.finish({ kind: 'failed', message: command });
      return;
    }
    const outputs = [
      connectOutput(command.stdout, channels.stdout),
      connectOutput(command.stderr, channels.stderr),
    ];
    connectInput(channels.stdin, command);
    running = command;
    if (size && size !== given) command.resize(size);
    await Promise.race([command.ended, gone]);
    if (isGone) {
      if (lingers && !tty && channels.endedInput?.()) await finishInput(command);
      command.hangUp();
      return;
    }
    await Promise.race([Promise.all(outputs.map((output) => output.drained())), gone]);
    await channels.finish(await command.ended);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

/** Gives a command that reads its input, as an upload does, the time to do so. */
async function finishInput({ stdin, ended }: Command): Promise<void> {
  if (stdin) await Promise.race([ended, finished(stdin).catch(() => undefined)]);
  const timer = new AbortController();
  await Promise.race([ended, delay(lingerMs, undefined, { signal: timer.signal }).catch(() => undefined)]);
  timer.abort();
}

/** The command, or why there is none. */
async function started(start: StartCommand, size: TerminalSize | undefined): Promise<Command | string> {
  try {
    return await start(size);
  } catch (error) {
    return messageOf(error);
  }
}

function connectInput(from: Readable | undefined, { stdin }: Command): void {
  if (!from) return;
  if (!stdin) {
    from.resume();
    return;
  }
  from.pipe(stdin);
  // A client that goes ends the input too.
  from.once('close', () => stdin.end());
  // The command reads no more: what comes is dropped, so that the connection is not held up.
  const drop = (): void => {
    from.unpipe(stdin);
    from.resume();
  };
  stdin.once('error', drop).once('close', drop);
}

function connectOutput(from: Readable | undefined, to: Writable | undefined): { drained(): Promise<void> } {
  if (!from) return { drained: () => Promise.resolve() };
  let hasMoved = false;
  from.on('data', () => (hasMoved = true));
  from.on('error', () => undefined);
  if (to) {
    from.pipe(to, { end: false });
    to.once('close', () => from.destroy());
  }
  const ended = finished(from, { writable: false }).catch(() => undefined);
  return {
    async drained() {
      let isEnded = false;
      void ended.then(() => (isEnded = true));
      for (let quiet = 0; quiet < quietLooks;) {
        await Promise.race([ended, delay(lookMs)]);
        if (isEnded || to?.destroyed) return;
        const isWaiting = to?.writableNeedDrain ?? false;
        quiet = hasMoved || isWaiting ? 0 : quiet + 1;
        hasMoved = false;
      }
      if (to) from.unpipe(to);
      from.destroy();
    },
  };
}
