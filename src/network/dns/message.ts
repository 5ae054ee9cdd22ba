/** DNS messages (RFC 1035, section 4; RFC 6891 for EDNS): questions of clients, and answers to them. */
import { isIPv4, isIPv6 } from 'node:net';
import { DnsFormatError, labelBytes, labelsOf, readName } from './name.ts';

export const types = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
} as const;

export const rcodes = {
  ok: 0,
  formatError: 1,
  serverFailure: 2,
  nameError: 3,
  notImplemented: 4,
  refused: 5,
  badVersion: 16,
} as const;

export const classInternet = 1;
export const headerSize = 12;
/** What a client without EDNS takes over UDP, bytes. */
const plainUdpSize = 512;
/** What is sent over UDP at most: passes every network without fragments (DNS flag day 2020), bytes. */
export const maxUdpSize = 1232;
export const maxTcpSize = 65_535;

/** One question, well formed. */
export interface Query {
  readonly id: number;
  readonly opcode: number;
  readonly recursionDesired: boolean;
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** The question as it came, letters in the client's case. */
  readonly question: Buffer;
  /** Undefined without EDNS. */
  readonly edns: { readonly size: number; readonly version: number } | undefined;
}

/** What can be said to a message that is not understood: its id, and the opcode to be told back. */
export interface Fault {
  readonly id: number;
  readonly opcode: number;
  readonly rcode: number;
}

/** Undefined: not a question at all, and not to be answered. */
export function parseQuery(message: Buffer): Query | Fault | undefined {
  if (message.length < headerSize) return undefined;
  const flags = message.readUInt16BE(2);
  if ((flags & 0x8000) !== 0) return undefined;
  const id = message.readUInt16BE(0);
  const opcode = (flags >> 11) & 0xf;
  if (opcode !== 0) return { id, opcode, rcode: rcodes.notImplemented };
  try {
    const counts = [4, 6, 8].map((at) => message.readUInt16BE(at));
    if (counts[0] !== 1 || counts[1] !== 0 || counts[2] !== 0) throw new DnsFormatError('not one question');
    const { name, end } = readName(message, headerSize, false);
    if (end + 4 > message.length) throw new DnsFormatError('the message ends too early');
    return {
      id,
      opcode,
      recursionDesired: (flags & 0x0100) !== 0,
      name,
      type: message.readUInt16BE(end),
      class: message.readUInt16BE(end + 2),
      question: message.subarray(headerSize, end + 4),
      edns: readEdns(message, end + 4),
    };
  } catch (error) {
    if (error instanceof DnsFormatError) return { id, opcode, rcode: rcodes.formatError };
    throw error;
  }
}

/** More records beside a question than this make no sense: there is one OPT, and perhaps a signature. */
const maxAdditional = 4;

function readEdns(message: Buffer, offset: number): Query['edns'] {
  const count = message.readUInt16BE(10);
  if (count > maxAdditional) throw new DnsFormatError('too many records');
  let edns: Query['edns'];
  let at = offset;
  for (let i = 0; i < count; i++) {
    const record = readRecord(message, at);
    at = record.end;
    if (record.type !== types.OPT) continue;
    if (edns || record.name !== '') throw new DnsFormatError('more than one OPT, or one with a name');
    edns = { size: record.class, version: (record.ttl >> 16) & 0xff };
  }
  return edns;
}

interface WireRecord {
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly ttl: number;
  /** Where its data begins. */
  readonly data: number;
  readonly end: number;
}

function readRecord(message: Buffer, offset: number): WireRecord {
  const { name, end } = readName(message, offset);
  if (end + 10 > message.length) throw new DnsFormatError('the message ends too early');
  const data = end + 10;
  const next = data + message.readUInt16BE(end + 8);
  if (next > message.length) throw new DnsFormatError('the message ends too early');
  return {
    name,
    type: message.readUInt16BE(end),
    class: message.readUInt16BE(end + 2),
    ttl: message.readUInt32BE(end + 4),
    data,
    end: next,
  };
}

/** Records of answers as others send them; more are not looked at. */
const maxAnswers = 64;

/** The addresses and aliases among the answers of somebody else's message. Throws {@link DnsFormatError}. */
export function parseAnswers(message: Buffer): { readonly rcode: number; readonly answers: DnsRecord[] } {
  if (message.length < headerSize) throw new DnsFormatError('the message ends too early');
  let at = headerSize;
  for (let i = message.readUInt16BE(4); i > 0; i--) at = readName(message, at).end + 4;
  const answers: DnsRecord[] = [];
  for (let i = Math.min(message.readUInt16BE(6), maxAnswers); i > 0; i--) {
    const { name, type, class: kind, ttl, data, end } = readRecord(message, at);
    at = end;
    if (kind !== classInternet) continue;
    if (type === types.A && end - data === 4)
      answers.push({ type: 'A', name, ttl, address: [...message.subarray(data, end)].join('.') });
    else if (type === types.AAAA && end - data === 16)
      answers.push({ type: 'AAAA', name, ttl, address: ipv6Text(message.subarray(data, end)) });
    else if (type === types.CNAME)
      answers.push({ type: 'CNAME', name, ttl, target: readName(message, data).name });
  }
  return { rcode: message.readUInt16BE(2) & 0xf, answers };
}

function ipv6Text(bytes: Buffer): string {
  return Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16)).join(':');
}

/** `ttl` in seconds. */
export type DnsRecord = { readonly name: string; readonly ttl: number } & (
  | { readonly type: 'A' | 'AAAA'; readonly address: string }
  | { readonly type: 'CNAME' | 'PTR' | 'NS'; readonly target: string }
  | { readonly type: 'SRV'; readonly port: number; readonly target: string }
  | { readonly type: 'TXT'; readonly text: string }
  | { readonly type: 'SOA'; readonly server: string; readonly mailbox: string; readonly negativeTtl: number }
);

export interface Reply {
  readonly rcode: number;
  /** The answer is from here and not from another server. */
  readonly authoritative: boolean;
  readonly answers: readonly DnsRecord[];
  readonly authority: readonly DnsRecord[];
  readonly additional: readonly DnsRecord[];
}

/** How long the answer to this client may be over UDP, bytes. */
export function udpSizeFor({ edns }: Query): number {
  return edns ? Math.min(Math.max(edns.size, plainUdpSize), maxUdpSize) : plainUdpSize;
}

/**
 * The bytes of an answer. What does not fit in `maxSize` is left out: additional records without a word, others with the
 * bit that makes clients ask again over TCP.
 */
export function encodeReply(query: Query, reply: Reply, maxSize: number): Buffer {
  const writer = new MessageWriter(query.question);
  const limit = maxSize - (query.edns ? optSize : 0);
  const answers = writer.records(reply.answers, limit);
  const complete = answers === reply.answers.length;
  const authority = complete ? writer.records(reply.authority, limit) : 0;
  const truncated = !complete || authority < reply.authority.length;
  const additional = truncated ? 0 : writer.records(reply.additional, limit);
  if (query.edns) writer.opt(reply.rcode >> 4);
  const message = writer.bytes();
  message.writeUInt16BE(query.id, 0);
  message.writeUInt16BE(
    0x8000 |
      (query.opcode << 11) |
      (reply.authoritative ? 0x0400 : 0) |
      (truncated ? 0x0200 : 0) |
      (query.recursionDesired ? 0x0100 : 0) |
      // Recursion is to be had.
      0x0080 |
      (reply.rcode & 0xf),
    2,
  );
  [1, answers, authority, additional + (query.edns ? 1 : 0)].forEach((count, i) =>
    message.writeUInt16BE(count, 4 + 2 * i),
  );
  return message;
}

/** The answer to what could not be understood: a header alone. */
export function encodeFault({ id, opcode, rcode }: Fault): Buffer {
  const message = Buffer.alloc(headerSize);
  message.writeUInt16BE(id, 0);
  message.writeUInt16BE(0x8000 | (opcode << 11) | rcode, 2);
  return message;
}

const optSize = 11;

/** Writes the sections, and names that were written before as pointers to them. */
class MessageWriter {
  readonly #parts: Buffer[];
  readonly #names = new Map<string, number>();
  #size: number;

  constructor(question: Buffer) {
    this.#parts = [Buffer.alloc(headerSize), question];
    this.#size = headerSize + question.length;
    this.#remember(readName(Buffer.concat(this.#parts), headerSize).name, headerSize);
  }

  #remember(name: string, offset: number): void {
    const labels = labelsOf(name);
    let at = offset;
    for (let i = 0; i < labels.length && at < 0x4000; i++) {
      const suffix = labels.slice(i).join('.');
      if (!this.#names.has(suffix)) this.#names.set(suffix, at);
      at += 1 + labelBytes(labels[i] ?? '').length;
    }
  }

  /** How many of the records fit. */
  records(records: readonly DnsRecord[], limit: number): number {
    let count = 0;
    for (const record of records) {
      const bytes = this.#record(record);
      if (this.#size + bytes.length > limit) break;
      this.#push(bytes);
      count++;
    }
    return count;
  }

  #push(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.#size += bytes.length;
  }

  #record(record: DnsRecord): Buffer {
    const name = this.#name(record.name);
    const data = this.#data(record);
    const fixed = Buffer.alloc(10);
    fixed.writeUInt16BE(types[record.type], 0);
    fixed.writeUInt16BE(classInternet, 2);
    fixed.writeUInt32BE(record.ttl, 4);
    fixed.writeUInt16BE(data.length, 8);
    return Buffer.concat([name, fixed, data]);
  }

  #data(record: DnsRecord): Buffer {
    switch (record.type) {
      case 'A':
      case 'AAAA':
        return addressBytes(record.address);
      case 'CNAME':
      case 'PTR':
      case 'NS':
        return this.#name(record.target);
      case 'SRV': {
        // Priority, weight, port; its target is never compressed (RFC 2782).
        const fixed = Buffer.from([0, 0, 0, 100, record.port >> 8, record.port & 0xff]);
        return Buffer.concat([fixed, plainName(record.target)]);
      }
      case 'TXT':
        return Buffer.concat([Buffer.from([record.text.length]), Buffer.from(record.text, 'latin1')]);
      default: {
        // Serial, refresh, retry, expire: there is no second server that would look at them.
        const numbers = Buffer.alloc(20);
        [1, 7200, 1800, 86_400, record.negativeTtl].forEach((value, i) =>
          numbers.writeUInt32BE(value, 4 * i),
        );
        return Buffer.concat([this.#name(record.server), this.#name(record.mailbox), numbers]);
      }
    }
  }

  /** A name, its end as a pointer where that was written before. */
  #name(name: string): Buffer {
    const labels = labelsOf(name);
    const parts: Buffer[] = [];
    for (let i = 0; i < labels.length; i++) {
      const known = this.#names.get(labels.slice(i).join('.'));
      if (known !== undefined) {
        parts.push(Buffer.from([0xc0 | (known >> 8), known & 0xff]));
        return Buffer.concat(parts);
      }
      const bytes = labelBytes(labels[i] ?? '');
      parts.push(Buffer.from([bytes.length]), bytes);
    }
    parts.push(Buffer.from([0]));
    return Buffer.concat(parts);
  }

  /** The OPT record, with the upper bits of the return code. */
  opt(extendedRcode: number): void {
    const record = Buffer.alloc(optSize);
    record.writeUInt16BE(types.OPT, 1);
    record.writeUInt16BE(maxUdpSize, 3);
    record.writeUInt8(extendedRcode, 5);
    this.#push(record);
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

function plainName(name: string): Buffer {
  const parts = labelsOf(name).flatMap((label) => {
    const bytes = labelBytes(label);
    return [Buffer.from([bytes.length]), bytes];
  });
  return Buffer.concat([...parts, Buffer.from([0])]);
}

function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  if (!isIPv6(address)) throw new DnsFormatError(`no address: ${address}`);
  // The URL parser writes addresses in full form but for one gap, and the last four bytes never dotted.
  const host = new URL(`http://[${address.split('%')[0]}]`).hostname.slice(1, -1);
  const [before = '', after] = host.split('::');
  const groups = (text: string | undefined): string[] => (text ? text.split(':') : []);
  const [left, right] = [groups(before), groups(after)];
  const middle = Array.from({ length: 8 - left.length - right.length }, () => '0');
  const bytes = Buffer.alloc(16);
  [...left, ...middle, ...right].forEach((group, i) =>
    bytes.writeUInt16BE(Number.parseInt(group, 16), 2 * i),
  );
  return bytes;
}

/** A question as a message of its own. */
export function encodeQuestion(id: number, name: string, type: number): Buffer {
  const header = Buffer.alloc(headerSize);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(0x0100, 2);
  header.writeUInt16BE(1, 4);
  return Buffer.concat([header, plainName(name), Buffer.from([0, type, 0, classInternet])]);
}
