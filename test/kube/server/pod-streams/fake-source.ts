/** Streams of pods without pods: commands and ports that a test describes. */
import { connect as connectTcp } from 'node:net';
import { PassThrough, type Duplex } from 'node:stream';
import type { Pod } from '../../../../src/api/pods.ts';
import type {
  Command,
  CommandEnd,
  ContainerStreams,
  ExecRequest,
  PodStreamSource,
} from '../../../../src/kube/server/pod-streams/source.ts';
import type { TerminalSize } from '../../../../src/kube/server/pod-streams/terminal-size.ts';

/** A command's own ends of its streams. */
export interface FakeCommand {
  readonly request: ContainerStreams;
  readonly stdin: PassThrough;
  readonly stdout: PassThrough;
  readonly stderr: PassThrough;
  readonly sizes: TerminalSize[];
  readonly end: (how: CommandEnd) => void;
}

export class FakeSource implements PodStreamSource {
  /** What an exec does. */
  script: (command: FakeCommand) => void = (command) => command.end({ kind: 'exited', code: 0 });
  readonly requests: ContainerStreams[] = [];
  hungUp = 0;
  /** Container port → port of this machine. */
  readonly ports_ = new Map<number, number>();

  exec(request: ExecRequest) {
    return this.#start(request);
  }

  attach(request: ContainerStreams) {
    return this.#start(request);
  }

  #start(request: ContainerStreams) {
    this.requests.push(request);
    return (size?: TerminalSize): Promise<Command> => {
      const ended = Promise.withResolvers<CommandEnd>();
      const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
      const sizes = size ? [size] : [];
      const end = (how: CommandEnd): void => {
        stdout.end();
        stderr.end();
        ended.resolve(how);
      };
      this.script({ request, stdin, stdout, stderr, sizes, end });
      return Promise.resolve({
        stdin: request.stdin ? stdin : undefined,
        stdout: request.stdout ? stdout : undefined,
        stderr: request.stderr ? stderr : undefined,
        resize: (next) => void sizes.push(next),
        ended: ended.promise,
        hangUp: () => {
          this.hungUp++;
          end({ kind: 'exited', code: 129 });
        },
      });
    };
  }

  ports() {
    return {
      connect: (port: number): Promise<Duplex> => {
        const real = this.ports_.get(port);
        if (real === undefined) return Promise.reject(new Error(`nobody listens on ${port}`));
        return Promise.resolve(connectTcp({ port: real, host: '127.0.0.1', allowHalfOpen: true }));
      },
      ended: new Promise<void>(() => undefined),
      close: () => undefined,
    };
  }
}

export const streamsPod: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'app', namespace: 'default' },
  spec: { nodeName: 'node-1', containers: [{ name: 'app', image: 'x' }] },
};
