import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import {
  encodeFault,
  encodeQuestion,
  encodeReply,
  maxUdpSize,
  parseAnswers,
  parseQuery,
  types,
  udpSizeFor,
  type DnsRecord,
  type Query,
  type Reply,
} from '../../../src/network/dns/message.ts';
import { DnsFormatError, readName } from '../../../src/network/dns/name.ts';

const label = fc.stringMatching(/^[a-z0-9_]([a-z0-9-]{0,20}[a-z0-9])?$/);
const name = fc.array(label, { minLength: 1, maxLength: 6 }).map((labels) => labels.join('.'));
const id = fc.integer({ min: 0, max: 0xffff });
const silence: Reply = { rcode: 0, authoritative: true, answers: [], authority: [], additional: [] };

function queryOf(message: Buffer): Query {
  const query = parseQuery(message);
  assert.ok(query && 'name' in query, 'not understood');
  return query;
}

/** A question with an OPT record. */
function withEdns(message: Buffer, size: number, version = 0): Buffer {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(1, 10);
  return Buffer.concat([copy, Buffer.from([0, 0, 41, size >> 8, size & 255, 0, version, 0, 0, 0, 0])]);
}

/** Header for one question, then the bytes. */
function raw(...bytes: number[]): Buffer {
  return Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...bytes]);
}

describe('DNS questions', () => {
  it('are read as they were written', () => {
    fc.assert(
      fc.property(id, name, fc.constantFrom(1, 28, 33, 12), (number, text, type) => {
        const query = queryOf(encodeQuestion(number, text, type));
        assert.deepEqual(
          [query.id, query.name, query.type, query.class, query.edns],
          [number, text, type, 1, undefined],
        );
        assert.ok(query.recursionDesired);
      }),
    );
  });

  it('have names in lower case, and are told back in the case of the client', () => {
    const message = encodeQuestion(1, 'web.default', 1);
    message.write('WeB', 13, 'latin1');
    const query = queryOf(message);
    assert.equal(query.name, 'web.default');
    assert.equal(encodeReply(query, silence, 512).toString('latin1', 13, 16), 'WeB');
  });

  it('never make the reader fail, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        const query = parseQuery(Buffer.from(bytes));
        if (query && 'name' in query) encodeReply(query, silence, 512);
        else if (query) encodeFault(query);
      }),
      { numRuns: 2000 },
    );
    // Beside noise, messages that are nearly right.
    fc.assert(
      fc.property(name, fc.nat(80), fc.integer({ min: 0, max: 255 }), fc.nat(90), (text, at, byte, cut) => {
        const message = withEdns(encodeQuestion(7, text, 1), 1232);
        message[at % message.length] = byte;
        const query = parseQuery(message.subarray(0, message.length - (cut % message.length)));
        if (query && 'name' in query) encodeReply(query, silence, 512);
      }),
      { numRuns: 2000 },
    );
  });

  const long = Array.from({ length: 5 }, () => [63, ...Array.from({ length: 63 }, () => 97)]).flat();
  const refused: [string, Buffer, number | undefined][] = [
    ['too short for a header', Buffer.alloc(11), undefined],
    ['an answer', Buffer.concat([Buffer.from([0, 1, 0x80]), Buffer.alloc(9)]), undefined],
    ['an update', Buffer.from([0x12, 0x34, 0x28, 0, 0, 1, 0, 0, 0, 0, 0, 0]), 4],
    ['no question', Buffer.from([0x12, 0x34, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 1],
    [
      'two questions',
      Buffer.from([0x12, 0x34, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1]),
      1,
    ],
    ['a question with answers', Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1]), 1],
    ['a pointer to itself', raw(0xc0, 12, 0, 1, 0, 1), 1],
    ['a pointer into the header', raw(0xc0, 0, 0, 1, 0, 1), 1],
    ['a name without an end', raw(3, 97, 97), 1],
    ['a name that is too long', raw(...long, 0, 0, 1, 0, 1), 1],
    ['a label of an unknown kind', raw(0x41, 97, 0, 0, 1, 0, 1), 1],
    ['no type', raw(1, 97, 0, 0, 1), 1],
    [
      'two OPT records',
      Buffer.concat([
        raw(0, 0, 1, 0, 1).fill(2, 11, 12),
        Buffer.from([0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0]),
      ]),
      1,
    ],
    [
      'a record that ends after the message',
      withEdns(encodeQuestion(0x1234, 'a', 1), 512).fill(9, 29, 30),
      1,
    ],
  ];
  for (const [what, message, rcode] of refused) {
    it(`are refused: ${what}`, () => {
      const fault = parseQuery(message);
      if (rcode === undefined) return assert.equal(fault, undefined);
      assert.ok(fault && !('name' in fault));
      assert.equal(fault.rcode, rcode);
      const answer = encodeFault(fault);
      assert.equal(answer.length, 12);
      assert.equal(answer.readUInt16BE(0), 0x1234);
      assert.equal(answer[3], rcode);
    });
  }

  it('say how much they take over UDP, between 512 bytes and what networks pass whole', () => {
    const plain = encodeQuestion(1, 'a', 1);
    const sizes = [plain, ...[0, 100, 600, 4096, 65_535].map((size) => withEdns(plain, size))];
    assert.deepEqual(
      sizes.map((message) => udpSizeFor(queryOf(message))),
      [512, 512, 512, 600, maxUdpSize, maxUdpSize],
    );
  });
});

describe('names in messages', () => {
  it('follow pointers that lead back, and only those', () => {
    // a.b at 0, then a pointer to it at 5, then x before a pointer to the pointer at 7.
    const message = Buffer.from([1, 97, 1, 98, 0, 0xc0, 0, 1, 120, 0xc0, 5]);
    assert.deepEqual(readName(message, 5), { name: 'a.b', end: 7 });
    assert.deepEqual(readName(message, 7), { name: 'x.a.b', end: 11 });
    assert.throws(() => readName(Buffer.from([0xc0, 2, 0xc0, 0]), 2), DnsFormatError);
  });

  it('cannot look like others: dots and odd bytes within a label are told apart', () => {
    const message = Buffer.from([3, 97, 46, 98, 0]);
    assert.equal(readName(message, 0).name, 'a\\046b');
    assert.equal(readName(Buffer.from([1, 0xe4, 0]), 0).name, '\\228');
  });
});

const plain = { noNullPrototype: true };
const record = fc.oneof(
  fc.record({ type: fc.constant('A' as const), name, ttl: fc.nat(100), address: fc.ipV4() }, plain),
  fc.record({ type: fc.constant('CNAME' as const), name, ttl: fc.nat(100), target: name }, plain),
);

describe('DNS answers', () => {
  it('are read as they were written, names shortened', () => {
    fc.assert(
      fc.property(name, fc.array(record, { maxLength: 12 }), (text, answers) => {
        const query = queryOf(encodeQuestion(5, text, 1));
        const message = encodeReply(query, { ...silence, answers }, 65_535);
        assert.deepEqual(parseAnswers(message), { rcode: 0, answers });
      }),
    );
    const query = queryOf(encodeQuestion(5, 'web.default.svc.cluster.local', 1));
    const answers: DnsRecord[] = [
      { type: 'A', name: 'web.default.svc.cluster.local', ttl: 5, address: '10.96.0.7' },
    ];
    // Header, question, and a record of which the name takes two bytes.
    assert.equal(encodeReply(query, { ...silence, answers }, 512).length, 12 + 35 + 16);
  });

  it('are never longer than allowed, and say when something is missing', () => {
    fc.assert(
      fc.property(name, fc.array(record, { maxLength: 60 }), fc.boolean(), (text, answers, edns) => {
        const plain = encodeQuestion(5, text, 1);
        const query = queryOf(edns ? withEdns(plain, 700) : plain);
        const size = udpSizeFor(query);
        const message = encodeReply(query, { ...silence, answers }, size);
        assert.ok(message.length <= size);
        const kept = message.readUInt16BE(6);
        assert.equal((message.readUInt8(2) & 2) !== 0, kept < answers.length);
        assert.deepEqual(parseAnswers(message).answers, answers.slice(0, kept).slice(0, 64));
      }),
    );
  });

  it('leave out additional records without a word', () => {
    const query = queryOf(encodeQuestion(5, 'a', 33));
    const address: DnsRecord = { type: 'A', name: 'b', ttl: 5, address: '192.0.2.1' };
    const additional = Array.from({ length: 60 }, () => address);
    const message = encodeReply(query, { ...silence, answers: [address], additional }, 512);
    assert.equal(message.readUInt8(2) & 2, 0);
    assert.ok(message.readUInt16BE(10) > 0 && message.readUInt16BE(10) < 60);
  });

  it('carry the upper bits of a return code in the OPT record', () => {
    const query = queryOf(withEdns(encodeQuestion(5, 'a', 1), 512, 1));
    assert.equal(query.edns?.version, 1);
    const message = encodeReply(query, { ...silence, rcode: 16 }, 512);
    assert.equal(message.readUInt8(3) & 15, 0);
    assert.equal(message.readUInt8(message.length - 6), 1);
  });

  const addresses: [string, string][] = [
    ['2001:db8::1', '20010db8000000000000000000000001'],
    ['::', '00000000000000000000000000000000'],
    ['::ffff:192.0.2.1', '00000000000000000000ffffc0000201'],
    ['fe80::1%eth0', 'fe800000000000000000000000000001'],
  ];
  for (const [address, bytes] of addresses) {
    it(`have ${address} as sixteen bytes`, () => {
      const query = queryOf(encodeQuestion(5, 'a', types.AAAA));
      const answers: DnsRecord[] = [{ type: 'AAAA', name: 'a', ttl: 5, address }];
      const message = encodeReply(query, { ...silence, answers }, 512);
      assert.equal(message.subarray(-16).toString('hex'), bytes);
    });
  }

  it('of others never make the reader fail otherwise than by its own error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        try {
          parseAnswers(Buffer.from(bytes));
        } catch (error) {
          assert.ok(error instanceof DnsFormatError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
