/**
 * A process in the network of a pod. It connects to ports there, where a container that listens on loopback alone can be
 * reached, and hands the connections over. Run with an IPC channel; ends with it.
 */
import { Socket } from 'node:net';
import { systemCode } from '../../base/errors.ts';

/** Asks for a connection. */
export interface RelayRequest {
  readonly id: number;
  readonly port: number;
}

/** The answer; without an error code the connection comes with it. */
export interface RelayReply {
  readonly id: number;
  /** `ECONNREFUSED`… */
  readonly error?: string;
}

const connectTimeoutMs = 10_000;

function connect(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = new Socket({ allowHalfOpen: true });
    // Nothing is read here: the first bytes belong to the one who gets the connection.
    socket.pause();
    socket.setTimeout(connectTimeoutMs, () => {
      socket.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' }));
    });
    socket.once('error', reject);
    socket.connect(port, host, () => {
      socket.setTimeout(0);
      socket.off('error', reject).on('error', () => undefined);
      resolve(socket);
    });
  });
}

async function serve({ id, port }: RelayRequest): Promise<void> {
  let error = '';
  for (const host of ['127.0.0.1', '::1']) {
    try {
      const socket = await connect(host, port);
      send({ id }, socket);
      return;
    } catch (failure) {
      // What the first family says tells more.
      error ||= systemCode(failure) ?? 'EIO';
    }
  }
  send({ id, error });
}

function send(reply: RelayReply, socket?: Socket): void {
  // The agent has gone, and this process goes with it.
  process.send?.(reply, socket, { keepOpen: false }, () => undefined);
}

process.on('message', (request: RelayRequest) => void serve(request));
process.on('disconnect', () => process.exit());
