/** Connections to the ports of a pod, seen from inside it. */
import { fork, type ChildProcess } from 'node:child_process';
import { connect, Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { systemCode } from '../../base/errors.ts';
import type { RelayReply } from './netns-relay.ts';

/** What a driver opens for one client. */
export interface PortConnector {
  /** Rejects with words for people. */
  connect(port: number): Promise<Socket>;
  close(): void;
}

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ETIMEDOUT: 'connection timed out',
};

function refused(port: number, code: string): Error {
  return new Error(`failed to connect to localhost:${port} inside the pod: ${words[code] ?? code}`);
}

/** For pods that share this machine's network. `portOf`: where a container port really is. */
export function hostPorts(portOf: (port: number) => number): PortConnector {
  return {
    connect: (port) =>
      new Promise((resolve, reject) => {
        const socket = connect({ host: '127.0.0.1', port: portOf(port), allowHalfOpen: true });
        const failed = (error: unknown): void => reject(refused(port, systemCode(error) ?? 'EIO'));
        socket.once('error', failed);
        socket.once('connect', () => {
          socket.off('error', failed);
          resolve(socket);
        });
      }),
    close: () => undefined,
  };
}

const relay = fileURLToPath(new URL('netns-relay.ts', import.meta.url));

interface Waiting {
  readonly port: number;
  readonly resolve: (socket: Socket) => void;
  readonly reject: (error: Error) => void;
}

/**
 * For pods with a network namespace of their own. `enter` is the command that runs another in it. The relay starts at
 * once, so that it is there for the first connection.
 */
export function namespacePorts([file, ...args]: readonly [string, ...string[]]): PortConnector {
  const waiting = new Map<number, Waiting>();
  const fail = (reason: string): void => {
    for (const { port, reject } of waiting.values()) reject(refused(port, reason));
    waiting.clear();
  };
  const child: ChildProcess = fork(relay, [], {
    execPath: file,
    // Node.js puts these before the script.
    execArgv: [...args, process.execPath],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    detached: true,
    env: { PATH: process.env['PATH'] },
  });
  let next = 0;
  child.on('message', ({ id, error }: RelayReply, handle) => {
    const asked = waiting.get(id);
    waiting.delete(id);
    if (handle instanceof Socket) {
      handle.allowHalfOpen = true;
      if (asked) asked.resolve(handle);
      else handle.destroy();
    } else asked?.reject(refused(asked.port, error ?? 'EIO'));
  });
  child.on('error', () => fail('the pod has no network any more'));
  child.once('exit', () => fail('the pod has no network any more'));
  return {
    connect: (port) =>
      new Promise((resolve, reject) => {
        if (!child.connected) {
          reject(refused(port, 'the pod has no network any more'));
          return;
        }
        const id = next++;
        waiting.set(id, { port, resolve, reject });
        child.send({ id, port });
      }),
    close: () => {
      if (child.connected) child.disconnect();
    },
  };
}
