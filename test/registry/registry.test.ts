import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { join } from 'node:path';
import { readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { silentLogger } from '../../src/base/log.ts';
import { digestOf } from '../../src/image/digest.ts';
import { mediaTypes, type ImageIndex } from '../../src/image/manifest.ts';
import { parseReference } from '../../src/image/reference.ts';
import { ImageStore } from '../../src/image/store.ts';
import { startRegistry, type Registry } from '../../src/registry/server.ts';
import type { UploadLimits } from '../../src/registry/uploads.ts';
import { temporaryDirectory } from '../image/support.ts';
import { waitFor } from '../support/wait.ts';

interface Answer {
  readonly status: number;
  readonly headers: { readonly [name: string]: string | string[] | undefined };
  readonly body: Buffer;
  readonly json: () => unknown;
  /** The code of the first error. */
  readonly code: () => string | undefined;
}

interface Client {
  readonly store: ImageStore;
  readonly registry: Registry;
  readonly call: (
    method: string,
    path: string,
    options?: { body?: Buffer | string; headers?: { [name: string]: string } },
  ) => Promise<Answer>;
  readonly pushBlob: (name: string, bytes: Buffer | string) => Promise<string>;
}

async function withRegistry(work: (client: Client) => Promise<void>, limits?: UploadLimits): Promise<void> {
  await using temporary = await temporaryDirectory();
  const store = await ImageStore.open(join(temporary.path, 'store'));
  const registry = await startRegistry({ store, port: 0, log: silentLogger, ...(limits && { limits }) });
  const call: Client['call'] = (method, path, { body, headers = {} } = {}) =>
    new Promise((resolve, reject) => {
      const outgoing = request(new URL(path, registry.url), { method, headers }, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => {
          const bytes = Buffer.concat(parts);
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: bytes,
            json: () => JSON.parse(bytes.toString()) as unknown,
            code: () => (JSON.parse(bytes.toString()) as { errors: { code: string }[] }).errors[0]?.code,
          });
        });
      });
      outgoing.on('error', reject);
      outgoing.end(body);
    });
  try {
    await work({
      store,
      registry,
      call,
      async pushBlob(name, bytes) {
        const digest = digestOf(bytes);
        const { status } = await call('POST', `/v2/${name}/blobs/uploads/?digest=${digest}`, { body: bytes });
        assert.equal(status, 201);
        return digest;
      },
    });
  } finally {
    await registry.close();
  }
}

const location = (answer: Answer): string => String(answer.headers['location']);

async function pushImage(
  { call, pushBlob }: Client,
  name: string,
  tag: string,
  extra: object = {},
): Promise<{ digest: string; bytes: Buffer }> {
  const config = { mediaType: mediaTypes.config, digest: await pushBlob(name, '{}'), size: 2 };
  const bytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.manifest, config, layers: [], ...extra }),
  );
  const { status, headers } = await call('PUT', `/v2/${name}/manifests/${tag}`, {
    body: bytes,
    headers: { 'content-type': mediaTypes.manifest },
  });
  assert.equal(status, 201);
  assert.equal(headers['docker-content-digest'], digestOf(bytes));
  return { digest: digestOf(bytes), bytes };
}

describe('registry: blobs', () => {
  it('answers the version check, and refuses what it does not know', () =>
    withRegistry(async ({ call }) => {
      assert.equal((await call('GET', '/v2/')).status, 200);
      assert.equal((await call('GET', '/v1/')).status, 404);
      const answer = await call('POST', '/v2/');
      assert.equal(answer.status, 405);
      assert.equal(answer.headers['allow'], 'GET, HEAD');
      assert.equal(answer.code(), 'UNSUPPORTED');
      assert.equal((await call('GET', '/v2/UPPER/tags/list')).code(), 'NAME_INVALID');
      assert.equal((await call('GET', '/v2/a/%ff/tags/list')).status, 400);
    }));

  it('takes a blob in one request, after opening, and in chunks', () =>
    withRegistry(async ({ call, pushBlob }) => {
      await pushBlob('one/request', 'hello');
      const opened = await call('POST', '/v2/a/b/blobs/uploads/');
      assert.equal(opened.status, 202);
      const put = await call('PUT', `${location(opened)}?digest=${digestOf('piece')}`, { body: 'piece' });
      assert.equal(put.status, 201);
      assert.equal(location(put), `/v2/a/b/blobs/${digestOf('piece')}`);

      const bytes = randomBytes(300_000);
      const upload = location(await call('POST', '/v2/a/b/blobs/uploads/'));
      for (const [start, end] of [
        [0, 100_000],
        [100_000, 250_000],
      ] as const) {
        const patched = await call('PATCH', upload, {
          body: bytes.subarray(start, end),
          headers: { 'content-range': `${start}-${end - 1}` },
        });
        assert.equal(patched.status, 202);
        assert.equal(patched.headers['range'], `0-${end - 1}`);
      }
      assert.equal((await call('GET', upload)).headers['range'], '0-249999');
      const out = await call('PATCH', upload, { body: 'x', headers: { 'content-range': '100-100' } });
      assert.equal(out.status, 416, 'a chunk out of order');
      const last = bytes.subarray(250_000);
      const done = await call('PUT', `${upload}?digest=${digestOf(bytes)}`, { body: last });
      assert.equal(done.status, 201);
      const read = await call('GET', `/v2/a/b/blobs/${digestOf(bytes)}`);
      assert.ok(read.body.equals(bytes));
      assert.equal((await call('PATCH', upload, { body: 'x' })).code(), 'BLOB_UPLOAD_UNKNOWN');
    }));

  it('takes an empty blob and a sha512 one', () =>
    withRegistry(async ({ call, pushBlob }) => {
      const empty = await call('GET', `/v2/a/blobs/${await pushBlob('a', '')}`);
      assert.equal(empty.status, 200);
      assert.equal(empty.body.length, 0);
      const digest = `sha512:${createHash('sha512').update('x').digest('hex')}`;
      assert.equal((await call('POST', `/v2/a/blobs/uploads/?digest=${digest}`, { body: 'x' })).status, 201);
      assert.equal((await call('GET', `/v2/a/blobs/${digest}`)).body.toString(), 'x');
    }));

  it('refuses bytes that have another digest, and keeps nothing', () =>
    withRegistry(async ({ call, store }) => {
      const upload = location(await call('POST', '/v2/a/blobs/uploads/'));
      const wrong = await call('PUT', `${upload}?digest=${digestOf('other')}`, { body: 'x' });
      assert.equal(wrong.status, 400);
      assert.equal(wrong.code(), 'DIGEST_INVALID');
      const malformed = await call('POST', '/v2/a/blobs/uploads/?digest=sha256:xyz', { body: 'x' });
      assert.equal(malformed.code(), 'DIGEST_INVALID');
      const single = await call('POST', `/v2/a/blobs/uploads/?digest=${digestOf('other')}`, { body: 'x' });
      assert.equal(single.status, 400);
      assert.deepEqual(readdirSync(join(store.root, 'tmp')), []);
      assert.deepEqual(readdirSync(join(store.root, 'blobs/sha256')), []);
    }));

  it('serves ranges', () =>
    withRegistry(async ({ call, pushBlob }) => {
      const path = `/v2/a/blobs/${await pushBlob('a', '0123456789')}`;
      const range = (value: string): Promise<Answer> => call('GET', path, { headers: { range: value } });
      const middle = await range('bytes=2-4');
      assert.equal(middle.status, 206);
      assert.equal(middle.body.toString(), '234');
      assert.equal(middle.headers['content-range'], 'bytes 2-4/10');
      assert.equal((await range('bytes=7-')).body.toString(), '789');
      assert.equal((await range('bytes=8-100')).body.toString(), '89');
      for (const bad of ['bytes=10-', 'bytes=5-2', 'bytes=-3', 'bytes=x']) {
        assert.equal((await range(bad)).status, 416, bad);
      }
      const head = await call('HEAD', path);
      assert.equal(head.headers['content-length'], '10');
      assert.equal(head.headers['docker-content-digest'], digestOf('0123456789'));
    }));

  it('mounts what is there and opens an upload for what is not', () =>
    withRegistry(async ({ call, pushBlob }) => {
      const digest = await pushBlob('a', 'layer');
      for (const from of ['&from=a', '']) {
        const mounted = await call('POST', `/v2/b/blobs/uploads/?mount=${digest}${from}`);
        assert.equal(mounted.status, 201);
        assert.equal(location(mounted), `/v2/b/blobs/${digest}`);
      }
      const unknown = await call('POST', `/v2/b/blobs/uploads/?mount=${digestOf('none')}&from=a`);
      assert.equal(unknown.status, 202);
      assert.equal((await call('DELETE', location(unknown))).status, 204);
      assert.equal((await call('GET', location(unknown))).status, 404);
    }));

  it('deletes a blob only when no image needs it', () =>
    withRegistry(async (client) => {
      const { call } = client;
      const { digest } = await pushImage(client, 'a', 'v1');
      const config = `/v2/a/blobs/${digestOf('{}')}`;
      assert.equal((await call('DELETE', config)).status, 405);
      assert.equal((await call('DELETE', `/v2/a/manifests/${digest}`)).status, 202);
      assert.equal((await call('DELETE', config)).status, 202);
      assert.equal((await call('HEAD', config)).status, 404);
      assert.equal((await call('DELETE', config)).status, 404);
    }));

  it('refuses what is too large with 413, and drops uploads that nobody continues', () =>
    withRegistry(
      async ({ call, store }) => {
        const digest = digestOf('x'.repeat(20));
        const large = await call('POST', `/v2/a/blobs/uploads/?digest=${digest}`, { body: 'x'.repeat(20) });
        assert.equal(large.status, 413);
        const upload = location(await call('POST', '/v2/a/blobs/uploads/'));
        await waitFor('the upload to expire', async () => (await call('GET', upload)).status === 404);
        await waitFor('its file to go', () => readdirSync(join(store.root, 'tmp')).length === 0);
      },
      { idleMs: 50, maxBlobSize: 10 },
    ));

  it('does not serve web pages', () =>
    withRegistry(async ({ call }) => {
      const answer = await call('GET', '/v2/', { headers: { origin: 'http://evil.example' } });
      assert.equal(answer.status, 403);
    }));
});

describe('registry: manifests', () => {
  it('keeps the exact bytes and finds them by tag and digest', () =>
    withRegistry(async (client) => {
      const { call, store, registry } = client;
      const { digest, bytes } = await pushImage(client, 'team/app', 'v1');
      for (const reference of ['v1', digest]) {
        const read = await call('GET', `/v2/team/app/manifests/${reference}`);
        assert.ok(read.body.equals(bytes));
        assert.equal(read.headers['content-type'], mediaTypes.manifest);
        assert.equal(read.headers['docker-content-digest'], digest);
        const head = await call('HEAD', `/v2/team/app/manifests/${reference}`);
        assert.equal(head.headers['content-length'], String(bytes.length));
      }
      assert.equal((await call('GET', '/v2/team/app/manifests/v2')).code(), 'MANIFEST_UNKNOWN');
      const name = `localhost:${registry.address.port}/team/app:v1`;
      assert.equal(
        (await store.resolve(parseReference(name)))?.digest,
        digest,
        'one repository under all hosts',
      );
    }));

  it('refuses what is no manifest, and one whose parts are missing', () =>
    withRegistry(async ({ call }) => {
      const put = (body: string, reference = 'v1'): Promise<Answer> =>
        call('PUT', `/v2/a/manifests/${reference}`, { body });
      assert.equal((await put('{')).code(), 'MANIFEST_INVALID');
      assert.equal((await put('{"schemaVersion":1}')).code(), 'MANIFEST_INVALID');
      const config = { mediaType: mediaTypes.config, digest: digestOf('none'), size: 4 };
      const missing = JSON.stringify({ schemaVersion: 2, config, layers: [] });
      assert.equal((await put(missing)).code(), 'MANIFEST_BLOB_UNKNOWN');
      const index = JSON.stringify({ schemaVersion: 2, manifests: [] });
      assert.equal((await put(index, digestOf('other'))).code(), 'DIGEST_INVALID');
      assert.equal((await put(index, 'sha256:abc')).status, 400);
      assert.equal((await put(index, '.bad')).status, 400);
      assert.equal((await put(index, digestOf(index))).status, 201);
    }));

  it('takes manifests of four megabytes, and refuses endless ones', () =>
    withRegistry(async (client) => {
      const large = { annotations: { text: 'x'.repeat(4 << 20) } };
      await pushImage(client, 'a', 'large', large);
      const endless = JSON.stringify({
        schemaVersion: 2,
        manifests: [],
        annotations: { t: 'x'.repeat(9 << 20) },
      });
      const answer = await client
        .call('PUT', '/v2/a/manifests/endless', { body: endless })
        .catch(() => undefined);
      assert.ok(answer === undefined || answer.status === 413, 'refused before it is all read');
      assert.equal((await client.call('HEAD', '/v2/a/manifests/endless')).status, 404);
    }));

  it('sets several tags with one push by digest', () =>
    withRegistry(async (client) => {
      const { digest, bytes } = await pushImage(client, 'a', 'v1');
      const path = `/v2/a/manifests/${digest}?tag=x&tag=y`;
      const answer = await client.call('PUT', path, { body: bytes });
      assert.equal(answer.status, 201);
      assert.equal(answer.headers['oci-tag'], 'x, y');
      const { tags } = (await client.call('GET', '/v2/a/tags/list')).json() as { tags: string[] };
      assert.deepEqual(tags, ['v1', 'x', 'y']);
    }));

  it('lists tags in order, page by page', () =>
    withRegistry(async (client) => {
      const { call } = client;
      assert.equal((await call('GET', '/v2/none/tags/list')).code(), 'NAME_UNKNOWN');
      for (const tag of ['b', 'a', 'C', 'd']) await pushImage(client, 'x/y', tag);
      const list = async (path: string): Promise<[string[], unknown]> => {
        const answer = await call('GET', path);
        return [(answer.json() as { tags: string[] }).tags, answer.headers['link']];
      };
      assert.deepEqual(await list('/v2/x/y/tags/list'), [['C', 'a', 'b', 'd'], undefined]);
      const next = '</v2/x/y/tags/list?n=2&last=a>; rel="next"';
      assert.deepEqual(await list('/v2/x/y/tags/list?n=2'), [['C', 'a'], next]);
      assert.deepEqual(await list('/v2/x/y/tags/list?n=2&last=a'), [['b', 'd'], undefined]);
      assert.deepEqual(await list('/v2/x/y/tags/list?n=0'), [[], undefined]);
      const { repositories } = (await call('GET', '/v2/_catalog')).json() as { repositories: string[] };
      assert.deepEqual(repositories, ['x/y']);
    }));

  it('deletes a tag alone, and a manifest with its tags', () =>
    withRegistry(async (client) => {
      const { call } = client;
      const { digest } = await pushImage(client, 'a', 'v1');
      await pushImage(client, 'a', 'v2');
      assert.equal((await call('DELETE', '/v2/a/manifests/v1')).status, 202);
      assert.equal((await call('HEAD', '/v2/a/manifests/v1')).status, 404);
      assert.equal((await call('HEAD', `/v2/a/manifests/${digest}`)).status, 200);
      assert.equal((await call('DELETE', `/v2/a/manifests/${digest}`)).status, 202);
      assert.equal((await call('HEAD', '/v2/a/manifests/v2')).status, 404);
      assert.equal((await call('DELETE', `/v2/a/manifests/${digest}`)).status, 404);
    }));

  it('finds what refers to an image', () =>
    withRegistry(async (client) => {
      const { call } = client;
      const { digest, bytes } = await pushImage(client, 'a', 'v1');
      const subject = { mediaType: mediaTypes.manifest, digest, size: bytes.length };
      const annotations = { note: 'n' };
      const sbom = await pushImage(client, 'a', 'sbom', { subject, artifactType: 'x/sbom', annotations });
      const signature = await pushImage(client, 'a', 'sig', { subject });
      const list = async (query = ''): Promise<[Answer, ImageIndex]> => {
        const answer = await call('GET', `/v2/a/referrers/${digest}${query}`);
        return [answer, answer.json() as ImageIndex];
      };
      const [all, { manifests }] = await list();
      assert.equal(all.headers['content-type'], mediaTypes.index);
      assert.deepEqual(
        new Set(manifests.map((item) => item.digest)),
        new Set([sbom.digest, signature.digest]),
      );
      const [filtered, one] = await list('?artifactType=x/sbom');
      assert.equal(filtered.headers['oci-filters-applied'], 'artifactType');
      assert.deepEqual(one.manifests, [
        {
          mediaType: mediaTypes.manifest,
          digest: sbom.digest,
          size: sbom.bytes.length,
          artifactType: 'x/sbom',
          annotations,
        },
      ]);
      const none = await call('GET', `/v2/a/referrers/${digestOf('none')}`);
      assert.deepEqual((none.json() as ImageIndex).manifests, []);
      assert.equal((await call('GET', '/v2/a/referrers/bad')).status, 400);
    }));
});
