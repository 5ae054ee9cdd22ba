/** Following a container's main process: what it writes, and its input. */
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Command, CommandEnd, StreamOptions } from '../../kube/server/pod-streams/source.ts';
import type { TerminalSize } from '../../kube/server/pod-streams/terminal-size.ts';
import type { ContainerHandle } from '../drivers/driver.ts';
import type { ContainerLog } from '../logs/container-log.ts';
import { readLog } from '../logs/log-reader.ts';
import type { ContainerInput } from './container-input.ts';
import { TerminalResizer, type TerminalPrograms } from './terminal.ts';

export interface AttachTarget {
  readonly handle: ContainerHandle;
  readonly log: ContainerLog;
  /** Undefined: the process reads nothing. */
  readonly input: ContainerInput | undefined;
  /** Undefined: the process has no terminal. */
  readonly terminals: TerminalPrograms | undefined;
}

/** How long a client that has no more to say goes on listening, ms. */
const lastWordsMs = 500;

/**
 * Standard output and error are one log, so both come out of the one that the client asked for, `stdout` before `stderr`.
 * The end of the container is a success here, whatever its exit code, as in Kubernetes: that is in the pod's status. A
 * client whose input ends has done its work where the process waits for the next one's (containerd `Attach`): what is
 * written within a moment still comes out.
 */
export function attachTo(
  { handle, log, input, terminals }: AttachTarget,
  options: StreamOptions,
  size: TerminalSize | undefined,
): Command {
  const left = new AbortController();
  // Whoever brings the input first sees everything: `kubectl run -i` must not lose what was quicker than its attach.
  const fromStart = options.stdin && input !== undefined && !input.wasOpened;
  const follow = readLog(log, { follow: true, signal: left.signal, ...(fromStart ? {} : { tailLines: 0 }) });
  const output = options.stdout || options.stderr ? Readable.from(follow, { objectMode: false }) : undefined;
  const stdin = options.stdin ? input?.open() : undefined;
  const resizer = terminals && new TerminalResizer(terminals, () => handle.terminal());
  if (size) resizer?.set(size);
  const over: Promise<unknown>[] = [handle.exited];
  if (stdin && input?.isLasting) {
    over.push(
      finished(stdin).then(
        () => delay(lastWordsMs, undefined, { ref: false }).then(() => left.abort()),
        // The container's end, or the client's, which is seen elsewhere.
        () => new Promise(() => undefined),
      ),
    );
  }
  const ended = Promise.race(over).then((): CommandEnd => ({ kind: 'exited', code: 0 }));
  return {
    stdin,
    stdout: options.stdout ? output : undefined,
    stderr: options.stdout ? undefined : output,
    resize: (next) => resizer?.set(next),
    ended,
    hangUp: () => {
      left.abort();
      output?.destroy();
      stdin?.destroy();
    },
  };
}
