import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { endpoints, services } from '../../../../src/api/kubernetes/services.ts';
import { pods } from '../../../../src/api/kubernetes/pods.ts';
import type { Pod } from '../../../../src/api/pods.ts';
import { FakeSource } from '../pod-streams/fake-source.ts';
import { assertStatus, startTestServer, type TestServer } from '../support.ts';

const root = '/api/v1/namespaces/default';

describe('requests through pods and Services', () => {
  const source = new FakeSource();
  let server: TestServer;
  let backend: Server;
  let last: { url: string; method: string; headers: IncomingMessage['headers']; body: string };

  before(async () => {
    backend = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { url = '', method = '', headers } = request;
        last = { url, method, headers, body: Buffer.concat(chunks).toString() };
        if (url.startsWith('/moved')) response.writeHead(302, { location: '/there?x=1' }).end();
        else if (url.startsWith('/page')) {
          response.setHeader('content-type', 'text/html; charset=utf-8');
          response.end('<a class="x" href="/next">né</a><img src=\'logo.png\'><a href=/p#top>/next</a>');
        } else response.writeHead(url === '/418' ? 418 : 200, { 'x-backend': 'yes' }).end('hello');
      });
    });
    await new Promise<void>((resolve) => void backend.listen(0, '127.0.0.1', resolve));
    source.ports_.set(8080, (backend.address() as AddressInfo).port);
    server = await startTestServer({ streams: source });
    const { client } = server.api;
    const pod: Pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'web', namespace: 'default' },
      spec: { containers: [{ name: 'a', image: 'i', ports: [{ containerPort: 8080 }] }] },
    };
    await client.create(pods, pod);
    const body = { status: { phase: 'Running', podIP: '127.0.0.1' } };
    const key = { namespace: 'default', name: 'web' };
    await client.patch(pods, key, { type: 'merge', body }, { subresource: 'status' });
    await client.create(services, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace: 'default' },
      spec: { ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
    });
    await client.create(endpoints, {
      apiVersion: 'v1',
      kind: 'Endpoints',
      metadata: { name: 'web', namespace: 'default' },
      subsets: [
        {
          addresses: [{ ip: '127.0.0.1', targetRef: { kind: 'Pod', name: 'web' } }],
          ports: [{ name: 'http', port: 8080 }],
        },
      ],
    });
  });
  after(async () => {
    await server.close();
    backend.close();
  });

  it('arrive as they were sent, but for what is between client and server', async () => {
    const path = `${root}/pods/web:8080/proxy/a%2Fb//c/?x=1&dryRun=no`;
    const headers = { 'x-mine': 'kept', 'content-type': 'text/plain', connection: 'x-hop', 'x-hop': '1' };
    const reply = await server.call('POST', path, { body: 'question', headers });
    assert.equal(reply.status, 200);
    assert.equal(reply.body.toString(), 'hello');
    assert.equal(reply.headers['x-backend'], 'yes');
    assert.equal(last.url, '/a%2Fb//c/?x=1&dryRun=no');
    assert.equal(last.method, 'POST');
    assert.equal(last.body, 'question');
    assert.equal(last.headers['x-mine'], 'kept');
    assert.equal(last.headers['x-forwarded-uri'], `${root}/pods/web:8080/proxy`);
    assert.equal(last.headers['x-hop'], undefined);
    assert.equal(last.headers.authorization, undefined);
  });

  it('go to the port that is named, or to the first', async () => {
    for (const name of ['pods/web', 'pods/http:web:', 'services/web:http', 'services/http:web:80']) {
      const reply = await server.call('GET', `${root}/${name}/proxy/418`);
      assert.equal(reply.status, 418, name);
      assert.equal(last.url, '/418', name);
    }
  });

  it('get a slash at the end of the root', async () => {
    const reply = await server.call('GET', `${root}/pods/web/proxy?a=b`);
    assert.equal(reply.status, 301);
    assert.equal(reply.headers['location'], `${root}/pods/web/proxy/?a=b`);
  });

  it('find links and redirections below the proxy', async () => {
    const prefix = `${root}/services/web:http/proxy`;
    const page = await server.call('GET', `${prefix}/page`);
    assert.equal(
      page.body.toString(),
      `<a class="x" href="${prefix}/next">né</a><img src='logo.png'><a href=${prefix}/p#top>/next</a>`,
    );
    const moved = await server.call('GET', `${prefix}/moved`);
    assert.equal(moved.headers['location'], `${prefix}/there?x=1`);
  });

  it('are told what is not there', async () => {
    const refused: [string, number, string][] = [
      ['pods/none/proxy/', 404, 'pods "none" not found'],
      ['pods/ftp:web:80/proxy/', 400, 'invalid pod request "ftp:web:80"'],
      ['pods/web:x/proxy/', 400, 'invalid port "x"'],
      ['services/web:81/proxy/', 503, 'no service port 81 found for service "web"'],
      ['services/web:other/proxy/', 503, 'no endpoints available for service "web"'],
    ];
    for (const [path, code, message] of refused) {
      const reply = await server.call('GET', `${root}/${path}`);
      assert.equal(reply.status, code, path);
      assert.equal(reply.json<{ message: string }>().message, message);
    }
    const closed = await server.call('GET', `${root}/pods/web:9/proxy/`);
    assert.equal(closed.status, 503);
    assert.match(closed.json<{ message: string }>().message, /^error trying to reach service: /);
  });

  it('need leave for the proxy', async () => {
    const identity = server.pki.issueClient({ commonName: 'jane', organization: 'devs' });
    const reply = await server.call('GET', `${root}/pods/web/proxy/get`, { identity });
    assertStatus(
      reply,
      403,
      'Forbidden',
      'pods "web" is forbidden: User "jane" cannot get resource "pods/proxy" in API group "" in the namespace "default"',
    );
  });

  it('are not handed on elsewhere', async () => {
    for (const path of ['pods/web/log/more', 'pods%2Fweb/proxy/x', 'configmaps/web/proxy/x']) {
      assert.equal((await server.call('GET', `${root}/${path}`)).status, 404, path);
    }
  });
});
