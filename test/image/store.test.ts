import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { KnapsackError } from '../../src/base/errors.ts';
import { silentLogger } from '../../src/base/log.ts';
import { digestOf } from '../../src/image/digest.ts';
import { withFileLock } from '../../src/image/files.ts';
import { mediaTypes, type Descriptor } from '../../src/image/manifest.ts';
import { ImageProvider, type ImagePuller } from '../../src/image/provider.ts';
import { parseReference } from '../../src/image/reference.ts';
import { ImageStore, pulledAnnotation } from '../../src/image/store.ts';
import { Unpacker } from '../../src/image/unpack.ts';
import { makeTar, storeImage, temporaryDirectory, withCode } from './support.ts';

async function withStore(work: (store: ImageStore, directory: string) => Promise<void>): Promise<void> {
  await using temporary = await temporaryDirectory();
  const root = join(temporary.path, 'store');
  await work(await ImageStore.open(root, { aliases: ['localhost:5000'] }), temporary.path);
}

const manifestOf = (text: string): Buffer => {
  const config = { mediaType: mediaTypes.config, digest: digestOf(text), size: text.length };
  return Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers: [] }));
};

describe('image store', () => {
  it('keeps exact bytes under their digest', () =>
    withStore(async (store) => {
      const { digest, size } = await store.putBlob('hello');
      assert.equal(digest, digestOf('hello'));
      assert.equal(size, 5);
      assert.equal(Buffer.from(await store.readBlob(digest, 10)).toString(), 'hello');
      await assert.rejects(store.readBlob(digest, 4), withCode('IMAGE_TOO_LARGE'));
      await assert.rejects(store.readBlob(digestOf('other'), 10), withCode('IMAGE_NOT_FOUND'));
    }));

  it('notices damage on disk', () =>
    withStore(async (store) => {
      const { digest } = await store.putBlob('hello');
      writeFileSync(join(store.root, 'blobs/sha256', digest.slice(7)), 'jello');
      await assert.rejects(store.readBlob(digest, 10), withCode('IMAGE_DIGEST_MISMATCH'));
    }));

  it('takes nothing that has another digest than promised, or is too large', () =>
    withStore(async (store) => {
      const wrong = await store.newBlob();
      await wrong.write(Buffer.from('x'));
      await assert.rejects(wrong.commit(digestOf('y')), withCode('IMAGE_DIGEST_MISMATCH'));
      const large = await store.newBlob(3);
      await assert.rejects(large.write(Buffer.from('four')), withCode('IMAGE_TOO_LARGE'));
      await large.abort();
      const long = await store.newBlob();
      await long.write(Buffer.from('x'));
      const sha512 = digestOf('x', 'sha512');
      assert.equal((await long.commit(sha512)).digest, sha512);
      assert.deepEqual(readdirSync(join(store.root, 'blobs/sha256')), []);
      assert.deepEqual(readdirSync(join(store.root, 'tmp')), []);
    }));

  it('knows an image by tag and by digest, and the embedded registry by all its hosts', () =>
    withStore(async (store) => {
      const { digest } = await store.putManifest(parseReference('localhost:5000/a/b:v1'), manifestOf('1'));
      const names = [
        'registry.knapsack.local/a/b:v1',
        'localhost:5000/a/b:v1',
        `localhost:5000/a/b@${digest}`,
      ];
      for (const name of names) assert.equal((await store.resolve(parseReference(name)))?.digest, digest);
      store.addAlias('127.0.0.1:6000');
      assert.equal((await store.resolve(parseReference('127.0.0.1:6000/a/b:v1')))?.digest, digest);
      assert.equal(await store.resolve(parseReference('127.0.0.1:6001/a/b:v1')), undefined);
      assert.equal(await store.resolve(parseReference('a/b:v1')), undefined);
    }));

  it('moves tags and still knows the old image by digest', () =>
    withStore(async (store) => {
      const reference = parseReference('x/y');
      const old = await store.putManifest(reference, manifestOf('1'));
      const next = await store.putManifest(reference, manifestOf('2'));
      assert.equal((await store.resolve(reference))?.digest, next.digest);
      assert.equal((await store.resolve(parseReference(`x/y@${old.digest}`)))?.digest, old.digest);
      await store.tag(reference, parseReference('other/name:t'));
      assert.equal((await store.resolve(parseReference('other/name:t')))?.digest, next.digest);
      assert.deepEqual(await store.tags(parseReference('other/name')), ['t']);
      assert.equal(await store.delete(reference), true);
      assert.equal(await store.resolve(reference), undefined);
      assert.equal(await store.delete(reference), false);
      assert.equal(await store.delete(parseReference(`x/y@${next.digest}`)), true);
      assert.equal((await store.resolve(parseReference('other/name:t')))?.digest, next.digest);
      await assert.rejects(store.tag(reference, parseReference('z')), withCode('IMAGE_NOT_FOUND'));
    }));

  it('is an OCI image layout that outlives the process', () =>
    withStore(async (store) => {
      const { digest } = await store.putManifest(parseReference('x'), manifestOf('1'));
      assert.deepEqual(JSON.parse(readFileSync(join(store.root, 'oci-layout'), 'utf8')), {
        imageLayoutVersion: '1.0.0',
      });
      const index = JSON.parse(readFileSync(join(store.root, 'index.json'), 'utf8')) as {
        manifests: Descriptor[];
      };
      const names = index.manifests.map((item) => item.annotations?.['org.opencontainers.image.ref.name']);
      assert.deepEqual(names, ['docker.io/library/x:latest', `docker.io/library/x@${digest}`]);
      const again = await ImageStore.open(store.root);
      assert.equal((await again.resolve(parseReference('x')))?.digest, digest);
    }));

  it('loses no name when several write at the same time', () =>
    withStore(async (store) => {
      const other = await ImageStore.open(store.root);
      const names = Array.from({ length: 20 }, (_, i) => `image-${i}`);
      await Promise.all(
        names.map((name, i) => (i % 2 ? store : other).putManifest(parseReference(name), manifestOf(name))),
      );
      for (const name of names) assert.ok(await store.resolve(parseReference(name)), name);
    }));

  it('breaks the lock of a process that died, and only that', async () => {
    await using temporary = await temporaryDirectory();
    const lock = join(temporary.path, 'lock');
    const dead = spawn(process.execPath, ['-e', '']);
    await once(dead, 'exit');
    writeFileSync(lock, String(dead.pid));
    assert.equal(await withFileLock(lock, () => Promise.resolve('done')), 'done');
    let inside = 0;
    await Promise.all(
      Array.from({ length: 5 }, () =>
        withFileLock(lock, async () => {
          assert.equal(++inside, 1);
          await Promise.resolve();
          inside--;
        }),
      ),
    );
    assert.deepEqual(readdirSync(temporary.path), []);
  });

  it('deletes what no name reaches, when asked, and spares what is young', () =>
    withStore(async (store) => {
      const tar = await makeTar([[{ name: 'f' }, 'x']]);
      await storeImage(store, 'kept', [tar]);
      await storeImage(store, 'gone', [await makeTar([[{ name: 'g' }, 'y']])]);
      const gone = await store.resolve(parseReference('gone'));
      await store.delete({ ...parseReference('gone'), digest: gone?.digest ?? '' });
      assert.deepEqual(await store.collectGarbage(), { blobs: 0, bytes: 0 });
      const { blobs } = await store.collectGarbage(-1000);
      assert.equal(blobs, 3, 'manifest, config and layer of the deleted image');
      assert.equal(await store.blobSize(digestOf(tar)), tar.length);
    }));

  it('makes a shipped image once, and again after a failure', async () => {
    await using temporary = await temporaryDirectory();
    let calls = 0;
    const name = 'registry.knapsack.local/base/x:1';
    const store: ImageStore = await ImageStore.open(temporary.path, {
      shipped: new Map([
        [
          name,
          async (target) => {
            if (++calls === 1) throw new Error('no disk');
            return await target.putManifest(parseReference(name), manifestOf('base'));
          },
        ],
      ]),
    });
    await assert.rejects(store.resolve(parseReference(name)), /no disk/);
    const [one, two] = await Promise.all([
      store.resolve(parseReference(name)),
      store.resolve(parseReference(name)),
    ]);
    assert.equal(one?.digest, two?.digest);
    assert.equal(calls, 2);
  });
});

describe('image provider', () => {
  interface Fake extends ImagePuller {
    readonly calls: string[];
  }

  /** A registry that has one image under every name. */
  function fakePuller(store: ImageStore, content: () => string, failure?: () => Error | undefined): Fake {
    const calls: string[] = [];
    const check = (what: string): void => {
      calls.push(what);
      const error = failure?.();
      if (error) throw error;
    };
    return {
      calls,
      async resolve() {
        check('resolve');
        return await Promise.resolve(digestOf(content()));
      },
      async pull(reference) {
        check('pull');
        const tar = await makeTar([[{ name: 'f' }, content()]]);
        const stored = await storeImage(store, 'pulled/scratch', [tar], { run: { Cmd: [content()] } });
        const { bytes } = await store.manifest(stored);
        return await store.putManifest(reference, bytes, { annotations: { [pulledAnnotation]: 'true' } });
      },
    };
  }

  async function withProvider(
    work: (tools: { store: ImageStore; provider: ImageProvider; puller: Fake }) => Promise<void>,
    content: () => string = () => 'remote',
    failure?: () => Error | undefined,
  ): Promise<void> {
    await withStore(async (store, directory) => {
      const puller = fakePuller(store, content, failure);
      const unpacker = new Unpacker(store, join(directory, 'unpacked'));
      await work({
        store,
        puller,
        provider: new ImageProvider({ store, unpacker, puller, log: silentLogger }),
      });
    });
  }

  it('gives root, digest and run settings of an image in the store, and asks no registry', () =>
    withProvider(async ({ store, provider, puller }) => {
      const run = {
        Cmd: ['node', 'x.js'],
        Env: ['A=1'],
        User: '1000',
        WorkingDir: '/app',
        StopSignal: 'SIGINT',
      };
      const tar = await makeTar([[{ name: 'app/x.js' }, 'code']]);
      const { digest } = await storeImage(store, 'docker.io/bianlian/hello', [tar], { run });
      for (const policy of ['Always', 'IfNotPresent', 'Never'] as const) {
        const image = await provider.ensure('bianlian/hello', policy);
        assert.equal(image.digest, digest);
        assert.deepEqual(image.config, run);
        assert.equal(readFileSync(join(image.rootfs, 'app/x.js'), 'utf8'), 'code');
      }
      assert.equal(await provider.resolveDigest('bianlian/hello'), digest);
      assert.deepEqual(puller.calls, []);
    }));

  it('pulls by policy', async () => {
    let content = 'one';
    await withProvider(
      async ({ provider, puller }) => {
        await assert.rejects(
          provider.ensure('x/y', 'Never'),
          withCode('IMAGE_NOT_FOUND', /pull policy is Never/),
        );
        const first = await provider.ensure('x/y', 'IfNotPresent');
        assert.deepEqual(first.config.Cmd, ['one']);
        content = 'two';
        assert.deepEqual((await provider.ensure('x/y', 'IfNotPresent')).config.Cmd, ['one']);
        assert.equal(puller.calls.length, 1);
        assert.deepEqual((await provider.ensure('x/y', 'Always')).config.Cmd, ['two']);
        assert.deepEqual((await provider.ensure(`x/y@${first.digest}`, 'Always')).config.Cmd, ['one']);
        assert.equal(puller.calls.length, 2);
      },
      () => content,
    );
  });

  it('shares one pull among pods that start together', () =>
    withProvider(async ({ provider, puller }) => {
      await Promise.all(Array.from({ length: 5 }, () => provider.ensure('x/y')));
      assert.deepEqual(puller.calls, ['pull']);
    }));

  it('uses the digest of a copy when the registry is unreachable, but not for what it never had', async () => {
    let offline: Error | undefined;
    await withProvider(
      async ({ provider }) => {
        const { digest } = await provider.ensure('x/y');
        offline = new KnapsackError('IMAGE_REGISTRY_UNREACHABLE', 'no network');
        assert.equal(await provider.resolveDigest('x/y'), digest);
        await assert.rejects(provider.resolveDigest('x/z'), withCode('IMAGE_REGISTRY_UNREACHABLE'));
        await assert.rejects(provider.ensure('x/y', 'Always'), withCode('IMAGE_REGISTRY_UNREACHABLE'));
        offline = new KnapsackError('IMAGE_REGISTRY_REFUSED', 'no');
        await assert.rejects(provider.resolveDigest('x/y'), withCode('IMAGE_REGISTRY_REFUSED'));
      },
      () => 'remote',
      () => offline,
    );
  });

  it('does not look elsewhere for an image of the embedded registry', () =>
    withProvider(async ({ provider, puller }) => {
      await assert.rejects(
        provider.ensure('localhost:5000/none', 'Always'),
        withCode('IMAGE_NOT_FOUND', /localhost:5000\/none:latest is not in the embedded registry/),
      );
      await assert.rejects(
        provider.resolveDigest('registry.knapsack.local/none'),
        withCode('IMAGE_NOT_FOUND'),
      );
      assert.deepEqual(puller.calls, []);
    }));
});
