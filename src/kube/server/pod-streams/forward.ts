/** One forwarded connection: between a client's data stream and a port of a pod. */
import type { Duplex } from 'node:stream';
import { messageOf } from '../../../base/errors.ts';
import type { PodPorts } from './source.ts';

/** How long a client may go on sending to a pod that has said all that it has to say, ms. */
const lastWordsMs = 10_000;

/**
 * Connects and carries bytes both ways. Resolves when everything from the pod has been sent, or one side has failed, with
 * what went wrong, worded for people; never rejects. Some clients close their side only after that.
 */
export async function forward(ports: PodPorts, port: number, data: Duplex): Promise<string | undefined> {
  let target: Duplex;
  try {
    target = await ports.connect(port);
  } catch (error) {
    data.resume();
    data.end();
    return messageOf(error);
  }
  if (data.destroyed) {
    target.destroy();
    return undefined;
  }
  return new Promise((resolve) => {
    let failure: string | undefined;
    target.on('error', (error) => {
      failure = `an error occurred while the connection was open: ${messageOf(error)}`;
    });
    data.pipe(target);
    target.pipe(data);
    data.once('finish', () => {
      resolve(failure);
      const timer = setTimeout(() => data.destroy(), lastWordsMs);
      data.once('close', () => clearTimeout(timer));
    });
    target.once('close', () => data.end());
    data.once('close', () => {
      // A reset, or both directions have come to their end.
      if (!target.writableFinished || !target.readableEnded) target.destroy();
      resolve(failure);
    });
  });
}

/** Worded as containerd does, on the error stream of a connection that failed. */
export function forwardFailure(pod: string, port: number, reason: string): string {
  return `error forwarding port ${port} to pod ${pod}: ${reason}`;
}
