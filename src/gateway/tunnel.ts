/** An upgraded connection: both sides speak freely, until both have ended and all that was said has arrived. */
import type { Connection } from './transport/transport.ts';
import type { UpstreamConnection } from './upstream.ts';

export class Tunnel {
  readonly pod: UpstreamConnection;
  readonly #client: Connection;
  #clientEnded = false;
  #podEnded = false;

  constructor(client: Connection, pod: UpstreamConnection) {
    this.#client = client;
    this.pod = pod;
  }

  /** One side says no more, and the other is told. */
  end(side: 'client' | 'pod'): void {
    if (side === 'pod') {
      this.#podEnded = true;
      this.#client.end();
    } else {
      this.#clientEnded = true;
      this.pod.endTunnel();
    }
  }

  /** One side at least has ended. */
  get ending(): boolean {
    return this.#podEnded || this.#clientEnded;
  }

  get over(): boolean {
    return this.#podEnded && this.#clientEnded && !this.#client.pending && !this.pod.pending;
  }
}
