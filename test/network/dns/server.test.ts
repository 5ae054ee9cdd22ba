/** The server as clients see it: Node.js's own resolver, which is c-ares, and bytes over real sockets. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { Resolver as Client } from 'node:dns/promises';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { silentLogger } from '../../../src/base/log.ts';
import type { Service } from '../../../src/api/kubernetes/services.ts';
import { Forwarder } from '../../../src/network/dns/forwarder.ts';
import {
  encodeQuestion,
  encodeReply,
  parseAnswers,
  parseQuery,
  type DnsRecord,
} from '../../../src/network/dns/message.ts';
import { Resolver } from '../../../src/network/dns/resolver.ts';
import { startDnsServer, type DnsServer } from '../../../src/network/dns/server.ts';
import { Zone } from '../../../src/network/dns/zone.ts';
import { service, slice } from '../support.ts';

const objects: Service[] = [
  service('web', { clusterIP: '10.96.3.4', ports: [{ name: 'http', port: 80 }] }),
  service('many', { clusterIP: 'None', ports: [{ name: 'http', port: 80 }] }),
  service('alias', { type: 'ExternalName', externalName: 'web.default.svc.cluster.local' }),
  service('outside', { type: 'ExternalName', externalName: 'host.example.test' }),
  service('long', { type: 'ExternalName', externalName: `${'a'.repeat(64)}.example.test` }),
  service('ring', { type: 'ExternalName', externalName: 'ring2.default.svc.cluster.local' }),
  service('ring2', { type: 'ExternalName', externalName: 'ring.default.svc.cluster.local' }),
];
const manyAddresses = Array.from({ length: 100 }, (_, i) => `10.200.1.${i + 1}`);

interface Parts {
  readonly server: DnsServer;
  readonly client: Client;
}

/** `upstreams`: ports of name servers on 127.0.0.1, as if they were different machines; asked by their own addresses. */
async function start(
  t: TestContext,
  options: {
    upstream?: number;
    servers?: readonly string[];
    answers?: (address: string) => boolean;
    ready?: Promise<void>;
  } = {},
): Promise<Parts> {
  const zone = new Zone(
    {
      service: (namespace, name) =>
        objects.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name),
      services: () => objects,
      slices: (_, name) => (name === 'many' ? [slice('many', manyAddresses)] : []),
      hasNamespace: (name) => name === 'default',
      hasPod: () => false,
      isProxied: ({ spec }) => spec?.clusterIP !== 'None',
    },
    { server: '127.0.0.1', networks: ['10.96.0.0/16'] },
  );
  const forwarder = new Forwarder({
    servers: () => options.servers ?? ['127.0.0.1'],
    port: options.upstream ?? 1,
    timeoutMs: 300,
  });
  const server = await startDnsServer({
    resolver: new Resolver({ zone, forwarder, ready: options.ready ?? Promise.resolve() }),
    host: '127.0.0.1',
    port: await sharedPort(),
    answers: options.answers ?? (() => true),
    log: silentLogger,
  });
  t.after(async () => {
    forwarder.close();
    await server.close();
  });
  const client = new Client({ timeout: 2000, tries: 1 });
  client.setServers([`127.0.0.1:${server.udpPort}`]);
  return { server, client };
}

/** A port that is free for both protocols: a truncated answer is asked for again at the same one. */
async function sharedPort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

/** A name server of the rest of the world. `respond` sees each question over UDP. */
async function startUpstream(
  t: TestContext,
  respond: (message: Buffer) => readonly Buffer[],
): Promise<{ port: number; asked: Buffer[] }> {
  const asked: Buffer[] = [];
  const socket = createSocket('udp4');
  socket.on('message', (message, from) => {
    asked.push(message);
    for (const answer of respond(message)) socket.send(answer, from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => socket.close());
  return { port: socket.address().port, asked };
}

function answerTo(message: Buffer, answers: readonly DnsRecord[], rcode = 0): Buffer {
  const query = parseQuery(message);
  assert.ok(query && 'name' in query);
  return encodeReply(query, { rcode, authoritative: false, answers, authority: [], additional: [] }, 512);
}

const address = (message: Buffer): Buffer => {
  const query = parseQuery(message);
  assert.ok(query && 'name' in query);
  return answerTo(message, [{ type: 'A', name: query.name, ttl: 60, address: '192.0.2.7' }]);
};

async function ask(port: number, message: Buffer): Promise<Buffer> {
  const socket = createSocket('udp4');
  try {
    socket.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.send(message);
    const [answer] = (await once(socket, 'message', { signal: AbortSignal.timeout(5000) })) as [Buffer];
    return answer;
  } finally {
    socket.close();
  }
}

async function read(socket: Socket, bytes: number): Promise<Buffer> {
  let received = Buffer.alloc(0);
  while (received.length < bytes) {
    const [chunk] = (await once(socket, 'data', { signal: AbortSignal.timeout(5000) })) as [Buffer];
    received = Buffer.concat([received, chunk]);
  }
  return received;
}

describe('DNS server', () => {
  it('answers for the cluster', async (t) => {
    const { client } = await start(t);
    assert.deepEqual(await client.resolve4('web.default.svc.cluster.local'), ['10.96.3.4']);
    const [srv] = await client.resolveSrv('_http._tcp.web.default.svc.cluster.local');
    assert.deepEqual([srv?.name, srv?.port], ['web.default.svc.cluster.local', 80]);
    assert.deepEqual(await client.reverse('10.96.3.4'), ['web.default.svc.cluster.local']);
    assert.deepEqual(await client.resolveCname('alias.default.svc.cluster.local'), [
      'web.default.svc.cluster.local',
    ]);
    assert.deepEqual(await client.resolve4('alias.default.svc.cluster.local'), ['10.96.3.4']);
    await assert.rejects(client.resolve4('nope.default.svc.cluster.local'), { code: 'ENOTFOUND' });
    await assert.rejects(client.resolve6('web.default.svc.cluster.local'), { code: 'ENODATA' });
    await assert.rejects(client.resolve4('ring.default.svc.cluster.local'), { code: 'ESERVFAIL' });
    await assert.rejects(client.resolve4('long.default.svc.cluster.local'), { code: 'ESERVFAIL' });
    const soa = await client.resolveSoa('cluster.local');
    assert.equal(soa.minttl, 5);
  });

  it('sends what is too long for UDP over TCP', async (t) => {
    const { client, server } = await start(t);
    assert.equal(server.tcpPort, server.udpPort);
    const addresses = await client.resolve4('many.default.svc.cluster.local');
    assert.deepEqual(addresses.toSorted(), manyAddresses.toSorted());
    const short = await ask(server.udpPort, encodeQuestion(9, 'many.default.svc.cluster.local', 1));
    assert.ok(short.length <= 512);
    assert.equal(short.readUInt8(2) & 2, 2);
    // Clients that do not know TCP use what is there.
    assert.ok(parseAnswers(short).answers.length > 20);
  });

  it('knows names only when everything that exists is known', async (t) => {
    const ready = Promise.withResolvers<void>();
    const { client } = await start(t, { ready: ready.promise });
    const answer = client.resolve4('web.default.svc.cluster.local');
    let settled = false;
    void answer.then(() => (settled = true));
    await ask((await start(t)).server.udpPort, encodeQuestion(1, 'web.default.svc.cluster.local', 1));
    assert.equal(settled, false);
    ready.resolve();
    assert.deepEqual(await answer, ['10.96.3.4']);
  });

  it('answers nobody outside', async (t) => {
    const { server } = await start(t, { answers: () => false });
    const socket = createSocket('udp4');
    let answers = 0;
    socket.on('message', () => answers++);
    socket.send(encodeQuestion(1, 'web.default.svc.cluster.local', 1), server.udpPort, '127.0.0.1');
    // Over TCP it is seen at once; by then an answer to the datagram before it would be there.
    const stream = connect(server.tcpPort, '127.0.0.1');
    stream.on('error', () => undefined);
    await once(stream, 'close');
    socket.close();
    assert.equal(answers, 0);
  });

  it('takes several questions on one connection, in pieces, and ends it for one that is too long', async (t) => {
    const { server } = await start(t);
    const socket = connect({ port: server.tcpPort, host: '127.0.0.1', noDelay: true });
    const question = encodeQuestion(1, 'web.default.svc.cluster.local', 1);
    const framed = Buffer.concat([Buffer.from([0, question.length]), question]);
    const both = Buffer.concat([framed, framed]);
    socket.write(both.subarray(0, 7));
    socket.write(both.subarray(7, framed.length + 1));
    socket.write(both.subarray(framed.length + 1));
    const answers = await read(socket, 2 * (2 + question.length + 16));
    assert.equal(answers.readUInt16BE(0), question.length + 16);
    socket.write(Buffer.from([0xff, 0xff]));
    await once(socket, 'close');
  });

  it('survives noise', async (t) => {
    const { server, client } = await start(t);
    const socket = createSocket('udp4');
    for (let i = 0; i < 200; i++) {
      const noise = Buffer.from(Array.from({ length: i }, (_, j) => (i * 31 + j * 17) & 255));
      socket.send(noise, server.udpPort, '127.0.0.1');
    }
    assert.deepEqual(await client.resolve4('web.default.svc.cluster.local'), ['10.96.3.4']);
    socket.close();
  });

  it('takes another port where its own is taken', async (t) => {
    const holder = createSocket('udp4');
    holder.bind(0, '127.0.0.1');
    await once(holder, 'listening');
    t.after(() => holder.close());
    const { port } = holder.address();
    const server = await startDnsServer({
      resolver: { respond: () => Promise.resolve(undefined) },
      host: '127.0.0.1',
      port,
      answers: () => true,
      log: silentLogger,
    });
    assert.notEqual(server.udpPort, port);
    await server.close();
  });
});

describe('questions about the rest of the world', () => {
  it('go to the name servers of the machine, and come back with the id of the client', async (t) => {
    const upstream = await startUpstream(t, (message) => [address(message)]);
    const { client, server } = await start(t, { upstream: upstream.port });
    assert.deepEqual(await client.resolve4('example.test'), ['192.0.2.7']);
    const answer = await ask(server.udpPort, encodeQuestion(0x4242, 'example.test', 1));
    assert.equal(answer.readUInt16BE(0), 0x4242);
    assert.equal(upstream.asked.length, 2);
  });

  it('are asked from ports and with ids of their own', async (t) => {
    const upstream = await startUpstream(t, (message) => [address(message)]);
    const { server } = await start(t, { upstream: upstream.port });
    for (let i = 0; i < 20; i++) await ask(server.udpPort, encodeQuestion(7, 'example.test', 1));
    const ids = new Set(upstream.asked.map((message) => message.readUInt16BE(0)));
    assert.ok(ids.size > 15, `${ids.size} ids`);
  });

  it('are answered by nothing but the answer to them', async (t) => {
    const upstream = await startUpstream(t, (message) => {
      const otherId = address(message);
      otherId.writeUInt16BE(message.readUInt16BE(0) ^ 1, 0);
      const otherName = address(encodeQuestion(message.readUInt16BE(0), 'other.test', 1));
      const noAnswer = Buffer.from(message);
      return [otherId, otherName, noAnswer, Buffer.alloc(3), address(message)];
    });
    const { client } = await start(t, { upstream: upstream.port });
    assert.deepEqual(await client.resolve4('example.test'), ['192.0.2.7']);
  });

  it('are asked of the next server when one is silent or cannot tell', async (t) => {
    let count = 0;
    const upstream = await startUpstream(t, (message) => {
      count++;
      if (count === 1) return [];
      return count === 2 ? [answerTo(message, [], 2)] : [address(message)];
    });
    const { client } = await start(t, {
      upstream: upstream.port,
      servers: ['127.0.0.1', '127.0.0.1', '127.0.0.1'],
    });
    assert.deepEqual(await client.resolve4('example.test'), ['192.0.2.7']);
    assert.equal(count, 3);
  });

  it('fail soon when nobody answers', async (t) => {
    const { client } = await start(t, { servers: [] });
    await assert.rejects(client.resolve4('example.test'), { code: 'ESERVFAIL' });
    const silent = await startUpstream(t, () => []);
    const { client: second } = await start(t, { upstream: silent.port });
    await assert.rejects(second.resolve4('example.test'), { code: 'ESERVFAIL' });
  });

  it('are asked elsewhere, and end no process, when there is no way to a server', async (t) => {
    const upstream = await startUpstream(t, (message) => [address(message)]);
    const servers = ['fe80::1%nosuch0', '127.0.0.1'];
    const { client } = await start(t, { upstream: upstream.port, servers });
    assert.deepEqual(await client.resolve4('example.test'), ['192.0.2.7']);
    const { client: lost } = await start(t, { servers: ['fe80::1%nosuch0', '255.255.255.255'] });
    await assert.rejects(lost.resolve4('example.test'), { code: 'ESERVFAIL' });
  });

  it('include those that an ExternalName leads to', async (t) => {
    const upstream = await startUpstream(t, (message) => [address(message)]);
    const { client, server } = await start(t, { upstream: upstream.port });
    assert.deepEqual(await client.resolve4('outside.default.svc.cluster.local'), ['192.0.2.7']);
    const answer = await ask(server.udpPort, encodeQuestion(1, 'outside.default.svc.cluster.local', 1));
    assert.deepEqual(
      parseAnswers(answer).answers.map(({ type, name }) => `${type} ${name}`),
      ['CNAME outside.default.svc.cluster.local', 'A host.example.test'],
    );
  });

  it('never leave the machine for names of the cluster', async (t) => {
    const upstream = await startUpstream(t, (message) => [address(message)]);
    const { client } = await start(t, { upstream: upstream.port });
    for (const name of ['nope.default.svc.cluster.local', 'example.test.svc.cluster.local', 'cluster.local'])
      await assert.rejects(client.resolve4(name));
    assert.equal(upstream.asked.length, 0);
  });
});
