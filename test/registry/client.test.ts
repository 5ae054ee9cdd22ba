import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { silentLogger } from '../../src/base/log.ts';
import { parseChallenge } from '../../src/image/client/auth.ts';
import { RegistryClient } from '../../src/image/client/client.ts';
import { dockerCredentials } from '../../src/image/client/docker-config.ts';
import { pullImage, pushImage, remoteBase } from '../../src/image/client/transfer.ts';
import { digestOf } from '../../src/image/digest.ts';
import { hostPlatform, mediaTypes } from '../../src/image/manifest.ts';
import { parseReference } from '../../src/image/reference.ts';
import { ImageStore } from '../../src/image/store.ts';
import { startRegistry } from '../../src/registry/server.ts';
import { makeTar, storeImage, temporaryDirectory, withCode } from '../image/support.ts';

/** A registry of our own, and a store beside it. */
async function withBoth(
  work: (tools: {
    host: string;
    local: ImageStore;
    remote: ImageStore;
    client: RegistryClient;
  }) => Promise<void>,
): Promise<void> {
  await using temporary = await temporaryDirectory();
  const local = await ImageStore.open(join(temporary.path, 'local'));
  const remote = await ImageStore.open(join(temporary.path, 'remote'));
  const registry = await startRegistry({ store: remote, port: 0, log: silentLogger });
  try {
    await work({ host: `127.0.0.1:${registry.address.port}`, local, remote, client: new RegistryClient() });
  } finally {
    await registry.close();
  }
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A server that behaves as a test wants. */
async function withServer(handler: Handler, work: (host: string) => Promise<void>): Promise<void> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await work(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

describe('pushing and pulling', () => {
  it('carries an image there and back', () =>
    withBoth(async ({ host, local, client }) => {
      const tar = await makeTar([[{ name: 'f' }, 'x'.repeat(3 << 20)]]);
      const descriptor = await storeImage(local, 'x', [tar], { run: { Cmd: ['a'] } });
      const reference = parseReference(`${host}/team/x:v1`);
      const lines: string[] = [];
      const digest = await pushImage(client, local, { descriptor, reference }, (line) => lines.push(line));
      assert.equal(digest, descriptor.digest);
      assert.equal(lines.filter((line) => line.endsWith('pushed')).length, 2);
      await pushImage(client, local, { descriptor, reference }, (line) => lines.push(line));
      assert.equal(lines.filter((line) => line.endsWith('already there')).length, 2);
      await using other = await temporaryDirectory();
      const store = await ImageStore.open(other.path);
      const pulled = await pullImage(client, store, reference);
      assert.equal(pulled.digest, digest);
      assert.equal(await store.blobSize(digestOf(tar)), tar.length);
      assert.equal((await store.resolve(reference))?.digest, digest);
      assert.equal(await client.resolve(reference), digest);
    }));

  it('does not send the layers of a base', () =>
    withBoth(async ({ host, local, remote, client }) => {
      const baseTar = await makeTar([[{ name: 'base' }, 'b']]);
      await storeImage(remote, 'registry.knapsack.local/base/x:1', [baseTar], { run: { Env: ['A=1'] } });
      const base = await remoteBase(client, parseReference(`${host}/base/x:1`));
      assert.deepEqual(base.run, { Env: ['A=1'] });
      const appTar = await makeTar([[{ name: 'app' }, 'a']]);
      const layer = { mediaType: mediaTypes.layer, ...(await local.putBlob(appTar)) };
      const config = await local.putBlob(
        JSON.stringify({ rootfs: { diff_ids: [...base.diffIds, digestOf(appTar)] } }),
      );
      const manifest = {
        schemaVersion: 2,
        config: { mediaType: mediaTypes.config, ...config },
        layers: [...base.layers, layer],
      };
      const reference = parseReference(`${host}/app`);
      const descriptor = await local.putManifest(reference, Buffer.from(JSON.stringify(manifest)));
      const lines: string[] = [];
      await pushImage(client, local, { descriptor, reference, base: base.reference }, (line) =>
        lines.push(line),
      );
      assert.equal(
        lines.filter((line) => line.endsWith('pushed')).length,
        2,
        'only its own layer and config',
      );
      assert.equal(
        await client.mountBlob(parseReference(`${host}/other`), digestOf(baseTar), 'base/x'),
        true,
      );
      assert.equal(
        await client.mountBlob(parseReference(`${host}/other`), digestOf('none'), 'base/x'),
        false,
      );
      assert.equal(
        (await remote.resolve(parseReference('registry.knapsack.local/app')))?.digest,
        descriptor.digest,
      );
    }));

  it('takes the variant of an index that fits this machine, and keeps the index', () =>
    withBoth(async ({ host, local, remote, client }) => {
      const tar = await makeTar([[{ name: 'f' }, 'mine']]);
      const image = await storeImage(remote, 'registry.knapsack.local/multi', [tar]);
      const manifests = [
        { ...image, digest: digestOf('none'), platform: { os: 'windows', architecture: 'amd64' } },
        { ...image, platform: hostPlatform() },
      ];
      const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }));
      await remote.putManifest(parseReference('registry.knapsack.local/multi'), index);
      const reference = parseReference(`${host}/multi`);
      const pulled = await pullImage(client, local, reference);
      assert.equal(pulled.digest, digestOf(index));
      assert.equal(pulled.mediaType, mediaTypes.index);
      assert.equal(await local.blobSize(digestOf(tar)), tar.length);
      const none = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: manifests.slice(0, 1) }));
      await remote.putManifest(parseReference('registry.knapsack.local/none'), none);
      await assert.rejects(
        pullImage(client, local, parseReference(`${host}/none`)),
        withCode('IMAGE_PLATFORM_MISSING'),
      );
    }));

  it('says what is missing and where it looked', () =>
    withBoth(async ({ host, local, client }) => {
      await assert.rejects(
        pullImage(client, local, parseReference(`${host}/none:v1`)),
        withCode(
          'IMAGE_NOT_FOUND',
          new RegExp(`${host}/none:v1 is neither .* registry at ${host}: MANIFEST_UNKNOWN`),
        ),
      );
    }));
});

describe('a registry that is not to be trusted', () => {
  const image = (size: number): Buffer =>
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        config: { mediaType: mediaTypes.config, digest: digestOf('{}'), size },
        layers: [],
      }),
    );

  const cases: [string, Handler, string][] = [
    [
      'a manifest with another digest than the header',
      (_, response) => response.writeHead(200, { 'docker-content-digest': digestOf('x') }).end(image(2)),
      'IMAGE_DIGEST_MISMATCH',
    ],
    ['an endless manifest', (_, response) => response.end(Buffer.alloc(9 << 20, 0x20)), 'IMAGE_TOO_LARGE'],
    ['no JSON', (_, response) => response.end('<html>'), 'IMAGE_MANIFEST_INVALID'],
    [
      'a blob with other bytes',
      (request, response) => response.end(request.url?.includes('/blobs/') ? '[]' : image(2)),
      'IMAGE_DIGEST_MISMATCH',
    ],
    [
      'a blob that is longer than promised',
      (request, response) => response.end(request.url?.includes('/blobs/') ? '{}  ' : image(2)),
      'IMAGE_TOO_LARGE',
    ],
    ['a blob of a petabyte', (_, response) => response.end(image(2 ** 50)), 'IMAGE_TOO_LARGE'],
    [
      'an answer that breaks off',
      (_, response) => {
        response.writeHead(200, { 'content-length': '1000' }).write('{');
        setImmediate(() => response.destroy());
      },
      'IMAGE_REGISTRY_UNREACHABLE',
    ],
    ['silence', () => {}, 'IMAGE_REGISTRY_UNREACHABLE'],
    [
      'a redirect to a file',
      (_, r) => r.writeHead(307, { location: 'file:///etc/passwd' }).end(),
      'IMAGE_REGISTRY_UNREACHABLE',
    ],
    [
      'redirects in a circle',
      (q, r) => r.writeHead(307, { location: q.url ?? '/' }).end(),
      'IMAGE_REGISTRY_UNREACHABLE',
    ],
    ['a server error', (_, response) => response.writeHead(500).end('oops'), 'IMAGE_REGISTRY_UNREACHABLE'],
    ['a refusal', (_, response) => response.writeHead(403).end(), 'IMAGE_REGISTRY_REFUSED'],
  ];
  for (const [what, handler, code] of cases) {
    it(`reports ${what}`, () =>
      withServer(handler, async (host) => {
        await using temporary = await temporaryDirectory();
        const store = await ImageStore.open(temporary.path);
        const client = new RegistryClient({ limits: { idleMs: 300 } });
        await assert.rejects(pullImage(client, store, parseReference(`${host}/x`)), withCode(code));
        assert.deepEqual(await store.list(), []);
      }));
  }

  it('does not hand credentials to where it is redirected', async () => {
    const seen: (string | undefined)[] = [];
    await withServer(
      (request, response) => {
        seen.push(request.headers.authorization);
        response.end(image(2));
      },
      (elsewhere) =>
        withServer(
          (request, response) => {
            if (request.headers.authorization === undefined) {
              response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
            } else {
              response.writeHead(307, { location: `http://${elsewhere}/there` }).end();
            }
          },
          async (host) => {
            const client = new RegistryClient();
            await client.manifest(parseReference(`${host}/x`), { username: 'u', password: 'p' });
          },
        ),
    );
    assert.deepEqual(seen, [undefined]);
  });
});

describe('credentials', () => {
  it('answers a Bearer challenge with a token, and uses it again', async () => {
    const tokens: string[] = [];
    let refusals = 0;
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [] }));
    await withServer(
      (request, response) => {
        const { host = '', authorization } = request.headers;
        if (request.url?.startsWith('/token')) {
          tokens.push(`${request.url} ${authorization}`);
          response.end(JSON.stringify({ token: 'abc' }));
        } else if (authorization === 'Bearer abc') {
          response.end(bytes);
        } else {
          refusals++;
          const challenge = `Bearer realm="http://${host}/token",service="s",scope="repository:x:pull"`;
          response.writeHead(401, { 'www-authenticate': challenge }).end();
        }
      },
      async (host) => {
        const client = new RegistryClient({ credentials: () => ({ username: 'u', password: 'p' }) });
        for (let i = 0; i < 2; i++) await client.manifest(parseReference(`${host}/x`));
      },
    );
    const basic = Buffer.from('u:p').toString('base64');
    assert.deepEqual(tokens, [`/token?service=s&scope=repository%3Ax%3Apull Basic ${basic}`]);
    assert.equal(refusals, 1);
  });

  it('says that a registry wants other credentials', () =>
    withServer(
      (_, response) => response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end(),
      async (host) => {
        const wrong = { username: 'u', password: 'wrong' };
        await assert.rejects(
          new RegistryClient().resolve(parseReference(`${host}/x`), wrong),
          withCode('IMAGE_REGISTRY_REFUSED', /401/),
        );
      },
    ));

  it('reads challenges as registries write them', () => {
    assert.deepEqual(
      parseChallenge('Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"'),
      {
        scheme: 'bearer',
        parameters: { realm: 'https://a/t', service: 's', scope: 'repository:x:pull,push' },
      },
    );
    assert.deepEqual(parseChallenge('basic realm=plain'), {
      scheme: 'basic',
      parameters: { realm: 'plain' },
    });
    assert.equal(parseChallenge('='), undefined);
  });

  it('finds credentials in a Docker config', () => {
    const auth = Buffer.from('u:p:q').toString('base64');
    const look = dockerCredentials(
      JSON.stringify({
        auths: {
          'https://index.docker.io/v1/': { auth },
          'reg.example:5000': { username: 'a', password: 'b' },
          broken: { auth: 'bm9jb2xvbg==' },
          none: null,
        },
      }),
    );
    assert.deepEqual(look('docker.io'), { username: 'u', password: 'p:q' });
    assert.deepEqual(look('reg.example:5000'), { username: 'a', password: 'b' });
    for (const name of ['broken', 'none', 'other']) assert.equal(look(name), undefined);
    assert.equal(dockerCredentials('{')('docker.io'), undefined);
    assert.equal(dockerCredentials(undefined)('docker.io'), undefined);
  });

  it('speaks http to loopback and https to the rest', () => {
    const client = new RegistryClient({
      plainHttp: new Set(['plain.example']),
      endpoints: new Map([['registry.knapsack.local', new URL('http://10.0.0.1:5')]]),
    });
    const cases = {
      'localhost:5000': 'http://localhost:5000/',
      '127.1.2.3': 'http://127.1.2.3/',
      '[::1]:5': 'http://[::1]:5/',
      '127.0.0.1.evil.example': 'https://127.0.0.1.evil.example/',
      'docker.io': 'https://registry-1.docker.io/',
      'gcr.io': 'https://gcr.io/',
      'plain.example': 'http://plain.example/',
      'registry.knapsack.local': 'http://10.0.0.1:5/',
    };
    for (const [registry, url] of Object.entries(cases)) assert.equal(client.endpoint(registry).href, url);
  });
});
