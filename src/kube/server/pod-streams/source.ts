/** Where the streams of pods come from: the node agent runs commands and opens ports; this side speaks with clients. */
import type { Duplex, Readable, Writable } from 'node:stream';
import type { TerminalSize } from './terminal-size.ts';

/** The standard streams that a client asks for. With a terminal, what goes to standard error comes out of `stdout`. */
export interface StreamOptions {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

export interface ContainerStreams extends StreamOptions {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

export interface ExecRequest extends ContainerStreams {
  readonly command: readonly string[];
}

/** How a command, or the container that was attached to, ended. */
export type CommandEnd =
  | { readonly kind: 'exited'; readonly code: number }
  /** It could not be run or followed: why, for people. */
  | { readonly kind: 'failed'; readonly message: string };

/** A command in a container, or the main process of one. */
export interface Command {
  /** Ending it is the command's end of input. Undefined when none was asked for. */
  readonly stdin: Writable | undefined;
  readonly stdout: Readable | undefined;
  readonly stderr: Readable | undefined;
  /** Does nothing without a terminal. */
  resize(size: TerminalSize): void;
  /** Resolves once it has ended; output may still have to be read. Never rejects. */
  readonly ended: Promise<CommandEnd>;
  /** The client has gone: lets go of the streams, and hangs a command up (SIGHUP). Does nothing after the end. */
  hangUp(): void;
}

/**
 * Starts what was found to be possible, in a terminal of the client's size if that is known. Rejects with the reason,
 * worded for people, when it is not possible after all.
 */
export type StartCommand = (size?: TerminalSize) => Promise<Command>;

/** Ports of one pod, for one client. */
export interface PodPorts {
  /** Connects to `localhost:port` in the pod. Rejects with the reason, worded for people. */
  connect(port: number): Promise<Duplex>;
  /** Resolves when nothing is left of the pod. */
  readonly ended: Promise<void>;
  /** Ends what connecting needed; connections go on. */
  close(): void;
}

export interface PodStreamSource {
  /** Throws ApiError when the pod is unknown or the container does not run. */
  exec(request: ExecRequest): StartCommand;
  /** Likewise; also 400 for input of a container that reads none. */
  attach(request: ContainerStreams): StartCommand;
  /** Throws ApiError when the pod is unknown or has no network. */
  ports(namespace: string, pod: string): PodPorts;
}
