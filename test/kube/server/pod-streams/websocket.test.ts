/** Commands and ports over WebSocket, and what is refused before there is a stream. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { request as httpsRequest } from 'node:https';
import { after, before, beforeEach, describe, it } from 'node:test';
import * as fc from 'fast-check';
import { WebSocket, type ClientOptions } from 'ws';
import { pods } from '../../../../src/api/kubernetes/pods.ts';
import { waitFor } from '../../../support/wait.ts';
import { assertStatus, configMaps, startTestServer, type TestServer } from '../support.ts';
import { FakeSource, streamsPod, type FakeCommand } from './fake-source.ts';

const base = '/api/v1/namespaces/default/pods/app';

/** What came on each channel. */
class Channels {
  readonly socket: WebSocket;
  readonly messages: [number, Buffer][] = [];
  closeCode: number | undefined;

  constructor(socket: WebSocket, isBase64 = false) {
    this.socket = socket;
    socket.on('message', (message: Buffer) => {
      const number = (message[0] ?? 0) - (isBase64 ? 0x30 : 0);
      const bytes = isBase64 ? Buffer.from(message.toString('latin1', 1), 'base64') : message.subarray(1);
      this.messages.push([number, bytes]);
    });
    socket.on('error', () => undefined);
    socket.on('close', (code) => (this.closeCode = code));
  }

  of(channel: number): Buffer {
    return Buffer.concat(this.messages.filter(([number]) => number === channel).map(([, bytes]) => bytes));
  }

  async closed(): Promise<void> {
    await waitFor('the connection to close', () => this.closeCode !== undefined);
  }
}

function tlsOptions(server: TestServer): ClientOptions {
  const { ca, cert, key } = server.tls();
  return { ca, cert, key };
}

describe('streams over WebSocket', () => {
  let server: TestServer;
  let source: FakeSource;

  before(async () => {
    source = new FakeSource();
    server = await startTestServer({ streams: source });
    const { client } = server.api;
    await client.create(pods, streamsPod);
    await client.create(pods, {
      ...streamsPod,
      metadata: { name: 'two', namespace: 'default' },
      spec: {
        nodeName: 'node-1',
        initContainers: [{ name: 'first', image: 'x' }],
        containers: [
          { name: 'left', image: 'x' },
          { name: 'right', image: 'x' },
        ],
      },
    });
    await client.create(pods, {
      ...streamsPod,
      metadata: { name: 'waiting', namespace: 'default' },
      spec: { containers: [{ name: 'app', image: 'x' }] },
    });
  });
  after(() => server.close());
  beforeEach(() => {
    source.script = (command) => command.end({ kind: 'exited', code: 0 });
    source.hungUp = 0;
  });

  async function open(path: string, protocols: string[]): Promise<Channels> {
    const tls = tlsOptions(server);
    const url = `${server.server.url.replace('https', 'wss')}${path}`;
    const socket = new WebSocket(url, protocols, tls);
    const channels = new Channels(socket, protocols[0]?.includes('base64'));
    await once(socket, 'open');
    return channels;
  }

  /** The answer to an upgrade that is refused, or the code 101. */
  function upgrade(path: string, headers: Record<string, string>, method = 'GET') {
    return new Promise<{ status: number; body: Buffer }>((resolve, reject) => {
      const call = httpsRequest({
        ...server.tls(),
        method,
        path,
        headers: { connection: 'Upgrade', ...headers },
      });
      call.on('upgrade', (_response, socket) => {
        socket.destroy();
        resolve({ status: 101, body: Buffer.alloc(0) });
      });
      call.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
      });
      call.on('error', reject);
      call.end();
    });
  }

  const webSocket = (protocol: string): Record<string, string> => ({
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': randomBytes(16).toString('base64'),
    'sec-websocket-protocol': protocol,
  });
  const spdy = (protocol: string): Record<string, string> => ({
    upgrade: 'SPDY/3.1',
    'x-stream-protocol-version': protocol,
  });

  const exec = `${base}/exec?command=sh&command=-c&command=x&stdin=true&stdout=true&stderr=true`;

  it('v5: input with an end of its own, outputs, and the exit code', async () => {
    source.script = ({ stdin, stdout, stderr, end }) => {
      stderr.write('careful');
      stdin.pipe(stdout);
      stdin.on('end', () => end({ kind: 'exited', code: 3 }));
    };
    const channels = await open(exec, ['v5.channel.k8s.io', 'v4.channel.k8s.io']);
    assert.equal(channels.socket.protocol, 'v5.channel.k8s.io');
    channels.socket.send(Buffer.from('\0hello '));
    channels.socket.send(Buffer.from('\0world'));
    channels.socket.send(Buffer.from([255, 0]));
    channels.socket.send(Buffer.from('\0too late'));
    await channels.closed();
    assert.equal(channels.closeCode, 1000);
    assert.equal(channels.of(1).toString(), 'hello world');
    assert.equal(channels.of(2).toString(), 'careful');
    assert.deepEqual(JSON.parse(channels.of(3).toString()), {
      metadata: {},
      status: 'Failure',
      message: 'command terminated with non-zero exit code: exit status 3',
      reason: 'NonZeroExitCode',
      details: { causes: [{ reason: 'ExitCode', message: '3' }] },
    });
    const request = source.requests.at(-1);
    assert.deepEqual(request, {
      namespace: 'default',
      pod: 'app',
      container: 'app',
      command: ['sh', '-c', 'x'],
      stdin: true,
      stdout: true,
      stderr: true,
      tty: false,
    });
  });

  it('the error channel in the form of each subprotocol', async () => {
    const forms: [string, string, string][] = [
      ['v4.channel.k8s.io', '{"metadata":{},"status":"Success"}', '"status":"Failure"'],
      ['v4.base64.channel.k8s.io', '{"metadata":{},"status":"Success"}', '"status":"Failure"'],
      ['channel.k8s.io', '', 'exit status 2'],
      ['base64.channel.k8s.io', '', 'exit status 2'],
    ];
    for (const [protocol, success, failure] of forms) {
      for (const code of [0, 2]) {
        source.script = ({ stdout, end }) => {
          stdout.write('out');
          end({ kind: 'exited', code });
        };
        const channels = await open(exec, [protocol]);
        await channels.closed();
        assert.equal(channels.of(1).toString(), 'out');
        const text = channels.of(3).toString();
        if (code === 0) assert.equal(text, success);
        else assert.ok(text.includes(failure), text);
      }
    }
  });

  it('a command that cannot be run', async () => {
    source.script = () => {
      throw new Error('exec: "x": executable file not found');
    };
    const channels = await open(exec, ['v4.channel.k8s.io']);
    await channels.closed();
    const status = JSON.parse(channels.of(3).toString()) as { message: string; reason: string; code: number };
    const message =
      'Internal error occurred: error executing command in container: exec: "x": executable file not found';
    assert.deepEqual([status.reason, status.code, status.message], ['InternalError', 500, message]);
  });

  it('a terminal: its size at the start, and changes of it', async () => {
    const told = Promise.withResolvers<void>();
    source.script = ({ sizes, end, request }) => {
      assert.deepEqual([request.tty, request.stderr], [true, false]);
      assert.deepEqual(sizes, [{ columns: 80, rows: 24 }]);
      sizes.push = (size) => {
        assert.deepEqual(size, { columns: 100, rows: 30 });
        end({ kind: 'exited', code: 0 });
        return 0;
      };
      told.resolve();
    };
    const channels = await open(`${exec}&tty=true`, ['v5.channel.k8s.io']);
    channels.socket.send(Buffer.from('\x04{"Width":80,"Height":24}\n'));
    await told.promise;
    channels.socket.send(Buffer.from('\x04{"Width":0,"Height":0}{"Wid'));
    channels.socket.send(Buffer.from('\x04th":100,"Height":30}'));
    await channels.closed();
    assert.equal(channels.of(3).toString(), '{"metadata":{},"status":"Success"}');
  });

  it('a client that goes takes the command with it', async () => {
    source.script = () => undefined;
    const channels = await open(exec, ['v4.channel.k8s.io']);
    await waitFor('the command to start', () => channels.messages.length > 0);
    channels.socket.terminate();
    await waitFor('the hang-up', () => source.hungUp === 1);
  });

  it('a client that says goodbye ends its input: what it sent is read, and the command may finish', async () => {
    const begun = Promise.withResolvers<FakeCommand>();
    source.script = begun.resolve;
    const channels = await open(exec, ['v4.channel.k8s.io']);
    for (let i = 0; i < 4; i++) channels.socket.send(Buffer.concat([Buffer.of(0), Buffer.alloc(8192)]));
    channels.socket.close(1000);
    await channels.closed();
    const { stdin, end } = await begun.promise;
    let count = 0;
    for await (const bytes of stdin) count += (bytes as Buffer).length;
    assert.equal(count, 4 * 8192);
    assert.equal(source.hungUp, 0);
    end({ kind: 'exited', code: 0 });
  });

  it('output waits for a client that does not read', async () => {
    let written = 0;
    let hasClosed = false;
    source.script = ({ stdout, end }) => {
      const fill = (): void => {
        while (stdout.write(Buffer.alloc(64 * 1024))) written += 64 * 1024;
        stdout.once('drain', fill);
      };
      fill();
      stdout.once('close', () => {
        hasClosed = true;
        end({ kind: 'exited', code: 0 });
      });
    };
    const channels = await open(exec, ['v4.channel.k8s.io']);
    channels.socket.pause();
    let last = -1;
    await waitFor('the output to come to a halt', async () => {
      const before = written;
      await new Promise((resolve) => setTimeout(resolve, 200));
      const isStill = before === written && last === written;
      last = written;
      return isStill;
    });
    // What the system's buffers take on both sides of a local connection, and no more.
    assert.ok(written < 40 * 2 ** 20, `${written} bytes were written`);
    channels.socket.terminate();
    await waitFor('the output to be closed', () => hasClosed);
  });

  it('a client that sends pings and reads nothing is let go', async () => {
    source.script = () => undefined;
    const call = httpsRequest({
      ...server.tls(),
      path: exec,
      headers: { connection: 'Upgrade', ...webSocket('v4.channel.k8s.io') },
    });
    call.end();
    const [, socket] = (await once(call, 'upgrade')) as [unknown, Socket];
    socket.on('error', () => undefined);
    socket.pause();
    // FIN and PING, masked with zeros: a full control frame.
    const ping = Buffer.concat([Buffer.from([0x89, 0x80 | 125, 0, 0, 0, 0]), Buffer.alloc(125)]);
    const pings = Buffer.concat(Array<Buffer>(1000).fill(ping));
    let sent = 0;
    await waitFor('the hang-up', async () => {
      for (let i = 0; i < 20 && socket.writableLength < 2 ** 20; i++) {
        socket.write(pings);
        sent += pings.length;
      }
      await new Promise((resolve) => setImmediate(resolve));
      return source.hungUp === 1;
    });
    assert.ok(sent < 100 * 2 ** 20, `${sent} bytes of pings were taken`);
    socket.destroy();
  });

  it('input waits for a command that does not read', async () => {
    source.script = () => undefined;
    const channels = await open(exec, ['v4.channel.k8s.io']);
    const message = Buffer.alloc(64 * 1024);
    let sent = 0;
    let halts = 0;
    await waitFor('the input to come to a halt', async () => {
      if (channels.socket.bufferedAmount === 0) {
        channels.socket.send(message);
        sent += message.length;
        halts = 0;
      } else halts++;
      await new Promise((resolve) => setImmediate(resolve));
      return halts > 20;
    });
    assert.ok(sent < 30 * 2 ** 20, `${sent} bytes were taken`);
    channels.socket.terminate();
  });

  it('survives any messages', async () => {
    const chunk = fc.oneof(
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
      fc
        .tuple(fc.constantFrom(0, 1, 4, 255), fc.uint8Array({ maxLength: 20 }))
        .map(([channel, bytes]) => Buffer.from([channel, ...bytes])),
      fc.string({ maxLength: 20 }),
    );
    source.script = ({ stdin, stdout, end }) => {
      stdin.pipe(stdout, { end: false });
      stdin.on('end', () => end({ kind: 'exited', code: 0 }));
    };
    await fc.assert(
      fc.asyncProperty(
        fc.array(chunk, { maxLength: 10 }),
        fc.constantFrom('v5.channel.k8s.io', 'base64.channel.k8s.io'),
        async (chunks, protocol) => {
          const channels = await open(`${exec}&tty=true`, [protocol]);
          for (const part of chunks) channels.socket.send(part);
          channels.socket.close();
          await channels.closed();
        },
      ),
      { numRuns: 40 },
    );
    assert.equal((await server.call('GET', base)).status, 200);
  });

  it('refuses with a Status what cannot be', async () => {
    const v5 = webSocket('v5.channel.k8s.io');
    const refusals: [string, number, string, RegExp][] = [
      [
        '/api/v1/namespaces/default/pods/gone/exec?command=x&stdout=true',
        404,
        'NotFound',
        /pods "gone" not found/,
      ],
      [
        `${base}/exec?command=x&stdout=true&container=other`,
        400,
        'BadRequest',
        /^container other is not valid/,
      ],
      [
        '/api/v1/namespaces/default/pods/two/exec?command=x&stdout=true',
        400,
        'BadRequest',
        /must be specified for pod two, choose one of: \[left right\] or one of the init containers: \[first\]/,
      ],
      [`${base}/exec?stdout=true`, 400, 'BadRequest', /at least one command/],
      [`${base}/exec?command=x`, 400, 'BadRequest', /at least 1 of stdin, stdout, stderr/],
      [
        '/api/v1/namespaces/default/pods/waiting/attach?stdout=true',
        400,
        'BadRequest',
        /^pod waiting does not have a host assigned$/,
      ],
    ];
    for (const headers of [v5, spdy('v4.channel.k8s.io')]) {
      for (const [path, code, reason, message] of refusals) {
        const { status, body } = await upgrade(path, headers);
        const reply = { status, body, headers: {}, json: () => JSON.parse(body.toString()) };
        assertStatus(reply as Parameters<typeof assertStatus>[0], code, reason, message);
      }
    }
    const unknown = await upgrade(exec, webSocket('v9.channel.k8s.io'));
    assert.equal(unknown.status, 403);
    assert.match(unknown.body.toString(), /unable to negotiate protocol/);
    const other = await upgrade(exec, { upgrade: 'h2c' });
    assert.equal(other.status, 400);
    const plain = await server.call('POST', exec);
    assertStatus(plain, 400, 'BadRequest', 'Upgrade request required');
    assert.equal((await server.call('DELETE', exec)).status, 405);
  });

  it('other requests that could be upgraded are answered as they are', async () => {
    const { status, body } = await upgrade(base, { upgrade: 'h2c' });
    assert.equal(status, 200);
    assert.equal((JSON.parse(body.toString()) as { kind: string }).kind, 'Pod');
    const headers = { connection: 'Upgrade', upgrade: 'h2c' };
    const name = { metadata: { name: 'kept' } };
    assert.equal((await server.call('POST', configMaps, { headers, body: name })).status, 201);
    const dryRun = { kind: 'DeleteOptions', apiVersion: 'v1', dryRun: ['All'] };
    const path = `${configMaps}/kept`;
    assert.equal((await server.call('DELETE', path, { headers, body: dryRun })).status, 200);
    assert.equal((await server.call('GET', path)).status, 200, 'what the body says is heard');
  });

  it('is refused to those who may not', async () => {
    const { ca } = server.tls();
    const url = `${server.server.url.replace('https', 'wss')}${exec}`;
    const socket = new WebSocket(url, ['v4.channel.k8s.io'], { ca });
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number }];
    assert.ok([401, 403].includes(response.statusCode), String(response.statusCode));
    socket.on('error', () => undefined);
    socket.terminate();
  });

  it('discovery lists them', async () => {
    const { resources } = (await server.call('GET', '/api/v1')).json<{
      resources: { name: string; kind: string; verbs: string[] }[];
    }>();
    const kinds = new Map(resources.map(({ name, kind, verbs }) => [name, [kind, ...verbs]]));
    assert.deepEqual(kinds.get('pods/exec'), ['PodExecOptions', 'create', 'get']);
    assert.deepEqual(kinds.get('pods/attach'), ['PodAttachOptions', 'create', 'get']);
    assert.deepEqual(kinds.get('pods/portforward'), ['PodPortForwardOptions', 'create', 'get']);
  });

  it('ports over channels, as client libraries forward them', async () => {
    const echo = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
    await once(echo, 'listening');
    source.ports_.set(80, (echo.address() as AddressInfo).port);
    const channels = await open(`${base}/portforward?ports=80&ports=81`, ['v4.channel.k8s.io']);
    await waitFor('all channels to begin', () => channels.messages.length >= 4);
    assert.deepEqual([channels.of(0), channels.of(2)], [Buffer.from([80, 0]), Buffer.from([81, 0])]);
    channels.socket.send(Buffer.from('\0hello'));
    await waitFor('the echo', () => channels.of(0).toString('latin1').endsWith('hello'));
    await waitFor('the failure', () => channels.of(3).length > 2);
    assert.equal(
      channels.of(3).toString('latin1', 2),
      'error forwarding port 81 to pod app: nobody listens on 81',
    );
    channels.socket.close();
    await channels.closed();
    echo.close();
    const wrong = await upgrade(`${base}/portforward?ports=0`, webSocket('v4.channel.k8s.io'));
    assert.equal(wrong.status, 400);
  });

  it('ends its streams when the server closes', async () => {
    const own = new FakeSource();
    own.script = () => undefined;
    const second = await startTestServer({ streams: own });
    await second.api.client.create(pods, streamsPod);
    const url = `${second.server.url.replace('https', 'wss')}${exec}`;
    const options = tlsOptions(second);
    const channels = new Channels(new WebSocket(url, ['v4.channel.k8s.io'], options));
    await waitFor('the command to start', () => channels.messages.length > 0);
    const begun = performance.now();
    await second.close();
    assert.ok(performance.now() - begun < 1500, 'the server waited for a stream');
    await channels.closed();
    assert.equal(channels.closeCode, 1001);
    assert.equal(own.hungUp, 1);
  });
});
