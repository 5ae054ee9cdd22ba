/** What the connections of both transports have in common: a handler whose faults end one connection only. */
import type { Connection, ConnectionHandler, OnFault, WriteOutcome } from './transport.ts';

/** Connections that the kernel keeps until they are accepted. */
export const BACKLOG = 4096;

const silent: ConnectionHandler = {
  onConnect() {},
  onData() {},
  onEnd() {},
  onDrain() {},
  onError() {},
};

export abstract class HandledConnection implements Connection {
  handler: ConnectionHandler = silent;
  protected closed = false;
  readonly #onFault: OnFault;

  constructor(onFault: OnFault) {
    this.#onFault = onFault;
  }

  abstract readonly remoteAddress: string;
  abstract readonly pending: boolean;
  abstract write(bytes: Buffer, start: number, end: number): WriteOutcome;
  abstract pause(): void;
  abstract resume(): void;
  abstract bulk(on: boolean): void;
  abstract end(): void;
  abstract destroy(): void;
  abstract reset(): void;
  abstract keepAlive(seconds: number): void;

  /** Gives an accepted connection its handler; false when that failed and the connection is closed. */
  introduce(onConnection: (connection: Connection) => void): boolean {
    try {
      onConnection(this);
      return true;
    } catch (fault) {
      this.#onFault(fault);
      this.destroy();
      return false;
    }
  }

  /** The handler hears nothing more. */
  protected silence(): void {
    this.closed = true;
    this.handler = silent;
  }

  /** Closes and tells the handler why. */
  protected fail(code: string): void {
    if (this.closed) return;
    const { handler } = this;
    this.destroy();
    try {
      handler.onError(code);
    } catch (fault) {
      this.#onFault(fault);
    }
  }

  /** Runs a callback of the handler. */
  protected guard(fn: () => void): void {
    try {
      fn();
    } catch (fault) {
      this.fault(fault);
    }
  }

  /** The handler threw: a defect, which costs its connection. */
  protected fault(fault: unknown): void {
    this.#onFault(fault);
    this.fail('EPROTO');
  }
}

/** IPv4 addresses as such also when they were accepted on an IPv6 socket; without a zone. */
export function plainAddress(address: string): string {
  const zone = address.indexOf('%');
  const bare = zone < 0 ? address : address.slice(0, zone);
  return bare.startsWith('::ffff:') && bare.includes('.') ? bare.slice(7) : bare;
}
