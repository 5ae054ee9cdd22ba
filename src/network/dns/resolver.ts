/** From a message to its answer: from the zone, or from other servers. */
import { randomInt } from 'node:crypto';
import type { Forwarder, Transport } from './forwarder.ts';
import {
  classInternet,
  encodeFault,
  encodeQuestion,
  encodeReply,
  headerSize,
  maxTcpSize,
  parseAnswers,
  parseQuery,
  rcodes,
  types,
  udpSizeFor,
  type DnsRecord,
  type Query,
  type Reply,
} from './message.ts';
import { DnsFormatError } from './name.ts';
import type { Zone } from './zone.ts';

/** Aliases that are followed for one answer. */
const maxAliases = 8;

export interface ResolverOptions {
  readonly zone: Zone;
  readonly forwarder: Pick<Forwarder, 'ask'>;
  /** Resolves when the zone knows everything that exists. */
  readonly ready: Promise<void>;
}

export class Resolver {
  readonly #options: ResolverOptions;

  constructor(options: ResolverOptions) {
    this.#options = options;
  }

  /** The answer, or undefined for what is not to be answered. Does not throw for anything that a client may send. */
  async respond(message: Buffer, transport: Transport): Promise<Buffer | undefined> {
    const query = parseQuery(message);
    if (!query) return undefined;
    if (!('name' in query)) return encodeFault(query);
    const maxSize = transport === 'udp' ? udpSizeFor(query) : maxTcpSize;
    const say = (rcode: number): Buffer => encodeReply(query, { ...silence, rcode }, maxSize);
    try {
      return await this.#answer(message, query, transport, maxSize, say);
    } catch (error) {
      // Objects may name what no message can hold: a label of more than 63 bytes, or none.
      if (error instanceof DnsFormatError) return say(rcodes.serverFailure);
      throw error;
    }
  }

  async #answer(
    message: Buffer,
    query: Query,
    transport: Transport,
    maxSize: number,
    say: (rcode: number) => Buffer,
  ): Promise<Buffer> {
    if (query.edns && query.edns.version > 0) return say(rcodes.badVersion);
    if (query.class !== classInternet || query.type === types.AXFR || query.type === types.IXFR)
      return say(rcodes.refused);
    await this.#options.ready;
    const reply = await this.#fromZone(query);
    if (reply) return encodeReply(query, reply, maxSize);
    const answer = await this.#options.forwarder.ask(message, transport);
    if (!answer || answer.length < headerSize) return say(rcodes.serverFailure);
    return answer.length > maxSize ? encodeTruncated(query) : answer;
  }

  /** Undefined for names of others. */
  async #fromZone({ name, type }: Query): Promise<Reply | undefined> {
    const { zone } = this.#options;
    const first = zone.answer(name, type);
    if (!first) return undefined;
    const answers: DnsRecord[] = [...first.answers];
    const seen = new Set([name]);
    let reply = first;
    while (reply.target !== undefined) {
      const { target } = reply;
      // Names that lead in a circle, or too far, have no answer.
      if (seen.has(target) || seen.size > maxAliases)
        return { ...first, rcode: rcodes.serverFailure, answers: [] };
      seen.add(target);
      const next = zone.answer(target, type);
      if (!next) {
        const outside = await this.#outside(target, type);
        return { ...first, ...outside, answers: [...answers, ...outside.answers] };
      }
      answers.push(...next.answers);
      reply = next;
    }
    return { ...reply, answers };
  }

  /** What other servers say to the target of an alias. */
  async #outside(name: string, type: number): Promise<{ rcode: number; answers: DnsRecord[] }> {
    const failure = { rcode: rcodes.serverFailure, answers: [] };
    try {
      const question = encodeQuestion(randomInt(0x1_0000), name, type);
      const answer = await this.#options.forwarder.ask(question, 'udp');
      return answer ? parseAnswers(answer) : failure;
    } catch (error) {
      if (error instanceof DnsFormatError) return failure;
      throw error;
    }
  }
}

const silence: Reply = { rcode: rcodes.ok, authoritative: false, answers: [], authority: [], additional: [] };

/** Nothing but the bit that makes the client ask again over TCP. */
function encodeTruncated(query: Query): Buffer {
  const message = encodeReply(query, silence, maxTcpSize);
  message.writeUInt8(message.readUInt8(2) | 0x02, 2);
  return message;
}
