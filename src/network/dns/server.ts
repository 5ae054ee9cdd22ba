/** The DNS server that pods ask: UDP and TCP at one address, for a few networks and nobody else. */
import { createSocket, type RemoteInfo, type Socket as Datagrams } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { messageOf, systemCode } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Resolver } from './resolver.ts';

/** Connections at once; more are closed. */
const maxConnections = 128;
/** How long a connection may be silent, or take none of its answer, ms. */
const idleMs = 10_000;
/** A question has no more; what is longer ends its connection, bytes. */
const maxQuestion = 4096;
/** Datagrams that wait for their answer; more are dropped, as a network would. */
const maxWaiting = 1024;

export interface DnsServerOptions {
  readonly resolver: Pick<Resolver, 'respond'>;
  readonly host: string;
  /** Tried first; 0 picks a free one. Where it is taken another is picked. */
  readonly port: number;
  /** Whether a client at this address is answered. */
  readonly answers: (address: string) => boolean;
  readonly log: Logger;
}

export interface DnsServer {
  readonly udpPort: number;
  readonly tcpPort: number;
  close(): Promise<void>;
}

/** Throws the system's error when the address cannot be listened on at all. */
export async function startDnsServer(options: DnsServerOptions): Promise<DnsServer> {
  const udp = await listenOr(options.port, (port) => startDatagrams(options, port));
  try {
    const tcp = await listenOr(options.port, (port) => startStreams(options, port));
    return {
      udpPort: udp.address().port,
      tcpPort: portOf(tcp.server),
      async close() {
        for (const socket of tcp.sockets) socket.destroy();
        await Promise.all([
          new Promise<void>((resolve) => udp.close(resolve)),
          new Promise((resolve) => tcp.server.close(resolve)),
        ]);
      },
    };
  } catch (error) {
    udp.close();
    throw error;
  }
}

/** Somebody may have the port on every address of this machine already. */
async function listenOr<T>(port: number, listen: (port: number) => Promise<T>): Promise<T> {
  try {
    return await listen(port);
  } catch (error) {
    if (port === 0 || systemCode(error) !== 'EADDRINUSE') throw error;
    return listen(0);
  }
}

async function startDatagrams(options: DnsServerOptions, port: number): Promise<Datagrams> {
  const { resolver, host, answers, log } = options;
  const socket = createSocket('udp4');
  let waiting = 0;
  socket.on('message', (message, client) => {
    if (!answers(client.address) || message.length > maxQuestion || waiting >= maxWaiting) return;
    waiting++;
    void answer(message, client).finally(() => waiting--);
  });
  async function answer(message: Buffer, { address, port: from }: RemoteInfo): Promise<void> {
    try {
      const reply = await resolver.respond(message, 'udp');
      // A client that is gone by now is no error of ours.
      if (reply) socket.send(reply, from, address, () => undefined);
    } catch (error) {
      log.error({ error: messageOf(error) }, 'a DNS question failed by a defect');
    }
  }
  const listening = once(socket, 'listening');
  socket.bind({ address: host, port });
  try {
    await listening;
  } catch (error) {
    socket.close();
    throw error;
  }
  socket.on('error', (error) => log.warn({ error: messageOf(error) }, 'DNS over UDP'));
  return socket;
}

async function startStreams(
  options: DnsServerOptions,
  port: number,
): Promise<{ server: Server; sockets: ReadonlySet<Socket> }> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    if (!options.answers(socket.remoteAddress ?? '')) return socket.destroy();
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    return void serve(socket, options);
  });
  server.maxConnections = maxConnections;
  const listening = once(server, 'listening');
  server.listen({ host: options.host, port });
  await listening;
  server.on('error', (error) => options.log.warn({ error: messageOf(error) }, 'DNS over TCP'));
  return { server, sockets };
}

/** One question after the other, each with its length before it (RFC 1035, section 4.2.2). */
async function serve(socket: Socket, { resolver, log }: DnsServerOptions): Promise<void> {
  socket.setTimeout(idleMs, () => socket.destroy());
  let received = Buffer.alloc(0);
  try {
    for await (const chunk of socket) {
      received = Buffer.concat([received, chunk as Buffer]);
      for (;;) {
        if (received.length < 2) break;
        const size = received.readUInt16BE(0);
        if (size > maxQuestion) return;
        if (received.length < size + 2) break;
        const answer = await resolver.respond(received.subarray(2, size + 2), 'tcp');
        received = received.subarray(size + 2);
        if (!answer) return;
        const length = Buffer.alloc(2);
        length.writeUInt16BE(answer.length);
        if (!socket.write(Buffer.concat([length, answer]))) await writable(socket);
      }
    }
  } catch (error) {
    // The client went, or was too slow; a defect is told.
    if (systemCode(error) === undefined)
      log.error({ error: messageOf(error) }, 'a DNS question failed by a defect');
  } finally {
    socket.destroy();
  }
}

/** Resolves when the socket takes more, or never will. */
function writable(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done);
      socket.off('close', done);
      resolve();
    };
    socket.on('drain', done);
    socket.on('close', done);
    if (socket.destroyed) done();
  });
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
