/**
 * The standard input of a container's main process: a named pipe that the agent holds open between clients. When the
 * agent dies the process reads the end of its input.
 */
import { closeSync, constants, openSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { Writable } from 'node:stream';

export class ContainerInput {
  readonly path: string;
  readonly #once: boolean;
  readonly #clients = new Set<Writable>();
  #pipe: Socket | undefined;
  #wasOpened = false;

  /** `path`: the named pipe, which exists. `once`: the input ends with its first client (`stdinOnce`). */
  constructor(path: string, once: boolean) {
    this.path = path;
    this.#once = once;
    // For reading too, so that neither this end nor the container's waits for the other to be opened.
    const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    try {
      this.#pipe = new Socket({ fd, readable: false, writable: true });
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    this.#pipe.on('error', () => this.close());
  }

  /** The process has read, or will read, the end. */
  get hasEnded(): boolean {
    return this.#pipe === undefined;
  }

  /** It outlives each of its clients: the process waits for the next. */
  get isLasting(): boolean {
    return !this.#once;
  }

  /** Some client has had it. */
  get wasOpened(): boolean {
    return this.#wasOpened;
  }

  /** A client's writer. Where several write at a time, their pieces mix. */
  open(): Writable {
    this.#wasOpened = true;
    const leave = (): void => {
      this.#clients.delete(client);
      if (this.#once) this.#end();
    };
    const client: Writable = new Writable({
      write: (bytes: Buffer, _encoding, done) => {
        if (this.#pipe) this.#pipe.write(bytes, done);
        else done(new Error('the standard input of the container has ended'));
      },
      final: (done) => {
        leave();
        done();
      },
      destroy: (error, done) => {
        leave();
        done(error);
      },
    });
    client.on('error', () => undefined);
    this.#clients.add(client);
    return client;
  }

  /** Lets out what was written, then the process reads the end. */
  #end(): void {
    const pipe = this.#pipe;
    this.#pipe = undefined;
    pipe?.end(() => pipe.destroy());
  }

  /** The process has ended. */
  close(): void {
    const pipe = this.#pipe;
    this.#pipe = undefined;
    pipe?.destroy();
    for (const client of this.#clients) client.destroy();
    rmSync(this.path, { force: true });
  }
}
