/**
 * Asks the name servers of this machine on behalf of pods. Each question goes out from a port and with an id that nobody
 * can guess, and only an answer from the server that was asked, with that id and that question, counts (RFC 5452).
 */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { headerSize, maxTcpSize, rcodes } from './message.ts';
import { readName } from './name.ts';

/** How long one server may take, ms. Clients themselves give up after 5 s. */
const serverTimeoutMs = 2000;
/** Questions under way at once, over UDP and TCP; more are refused. */
const maxUnderWay = { udp: 256, tcp: 32 } as const;

export type Transport = 'udp' | 'tcp';

export interface ForwarderOptions {
  /** Addresses to ask, the first first. */
  readonly servers: () => readonly string[];
  /** Of those servers; for tests. Default 53. */
  readonly port?: number;
  readonly timeoutMs?: number;
}

export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #underWay = { udp: 0, tcp: 0 };
  readonly #closing = new AbortController();

  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  /**
   * The answer to a message, with the message's own id; undefined when no server has one, or when too many questions are
   * under way. A server that cannot tell (SERVFAIL, REFUSED) is heard only when no other is left.
   */
  async ask(message: Buffer, transport: Transport): Promise<Buffer | undefined> {
    if (this.#closing.signal.aborted || this.#underWay[transport] >= maxUnderWay[transport]) return undefined;
    this.#underWay[transport]++;
    try {
      let last: Buffer | undefined;
      for (const server of this.#options.servers()) {
        const answer = await this.#askOne(message, server, transport);
        if (!answer) continue;
        message.copy(answer, 0, 0, 2);
        last = answer;
        const rcode = answer.readUInt16BE(2) & 0xf;
        if (rcode !== rcodes.serverFailure && rcode !== rcodes.refused) return answer;
      }
      return last;
    } finally {
      this.#underWay[transport]--;
    }
  }

  /** Ends what is under way. */
  close(): void {
    this.#closing.abort();
  }

  #askOne(message: Buffer, server: string, transport: Transport): Promise<Buffer | undefined> {
    const question = Buffer.from(message);
    question.writeUInt16BE(randomInt(0x1_0000), 0);
    const { port = 53, timeoutMs = serverTimeoutMs } = this.#options;
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(timeoutMs)]);
    return transport === 'udp'
      ? askByDatagram(question, server, port, signal)
      : askByStream(question, server, port, signal);
  }
}

function askByDatagram(
  question: Buffer,
  host: string,
  port: number,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
    let ended = false;
    const end = (answer: Buffer | undefined): void => {
      if (ended) return;
      ended = true;
      signal.removeEventListener('abort', onAbort);
      socket.close();
      resolve(answer);
    };
    const onAbort = (): void => end(undefined);
    signal.addEventListener('abort', onAbort);
    // What still goes wrong when it is closed is of no interest.
    socket.on('error', () => end(undefined));
    socket.on('message', (answer) => {
      if (isAnswerTo(answer, question)) end(answer);
    });
    // Connected: the system gives it a random port, and drops what comes from elsewhere. Failures are told to whoever
    // gives a function, and not by the event.
    socket.connect(port, host, (failure?: Error) => {
      if (failure) end(undefined);
      if (!ended) socket.send(question, (error) => error && end(undefined));
    });
  });
}

function askByStream(
  question: Buffer,
  host: string,
  port: number,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, noDelay: true });
    const end = (answer: Buffer | undefined): void => {
      signal.removeEventListener('abort', onAbort);
      resolve(answer);
      socket.destroy();
    };
    const onAbort = (): void => end(undefined);
    signal.addEventListener('abort', onAbort);
    let received = Buffer.alloc(0);
    socket.on('error', () => end(undefined));
    socket.on('close', () => end(undefined));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length > maxTcpSize + 2) return end(undefined);
      if (received.length < 2) return undefined;
      const size = received.readUInt16BE(0);
      if (received.length < size + 2) return undefined;
      const answer = received.subarray(2, size + 2);
      return end(isAnswerTo(answer, question) ? answer : undefined);
    });
    const length = Buffer.alloc(2);
    length.writeUInt16BE(question.length);
    socket.write(Buffer.concat([length, question]));
  });
}

/** Same id, same question, and an answer at all. */
function isAnswerTo(answer: Buffer, question: Buffer): boolean {
  if (answer.length < headerSize || (answer.readUInt8(2) & 0x80) === 0) return false;
  if (answer.readUInt16BE(0) !== question.readUInt16BE(0)) return false;
  try {
    const [one, other] = [answer, question].map((message) => {
      const { name, end } = readName(message, headerSize, false);
      return `${name} ${message.subarray(end, end + 4).toString('hex')}`;
    });
    // A server that does not understand answers with the header alone.
    return answer.readUInt16BE(4) === 0 ? answer.length === headerSize : one === other;
  } catch {
    return answer.readUInt16BE(4) === 0 && answer.length === headerSize;
  }
}
