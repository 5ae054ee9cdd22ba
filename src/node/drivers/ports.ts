/** Free TCP ports of this machine for pods that share its network. */
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/** Below every system's ephemeral range, so that no outgoing connection takes a port before the pod listens on it. */
const first = 20_000;
const last = 31_999;

export class PortAllocator {
  readonly #taken = new Set<number>();

  /** A port on which nothing listens. It is not given out again before {@link release}. */
  async allocate(): Promise<number> {
    for (let tries = 0; tries < 1000; tries++) {
      const port = randomInt(first, last + 1);
      if (this.#taken.has(port)) continue;
      this.#taken.add(port);
      if (await isFree(port)) return port;
      this.#taken.delete(port);
    }
    throw new Error(`no free port between ${first} and ${last}`);
  }

  /** Marks a port that a pod of an earlier agent holds. */
  reserve(port: number): void {
    this.#taken.add(port);
  }

  release(port: number): void {
    this.#taken.delete(port);
  }
}

/** Whether the port can be bound on all addresses. */
function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, exclusive: true }, () => {
      // The port is free again when `close` returns; its callback comes a turn of the loop later.
      server.close();
      resolve(true);
    });
  });
}
