import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { baseImageName } from '../../src/image/build/base.ts';
import { ignoreFilter, type IgnoreDialect } from '../../src/image/build/ignore.ts';
import { buildNodeImage, type BuiltImage } from '../../src/image/build/node-image.ts';
import { projectName, readNodeProject, simpleWords } from '../../src/image/build/node-project.ts';
import { shippedImages } from '../../src/image/build/tools.ts';
import { parseReference } from '../../src/image/reference.ts';
import { ImageStore } from '../../src/image/store.ts';
import { Unpacker } from '../../src/image/unpack.ts';
import { makeTar, storeImage, temporaryDirectory, withCode } from './support.ts';

type Files = { readonly [path: string]: string | object };

function writeFiles(directory: string, files: Files): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), typeof content === 'string' ? content : JSON.stringify(content));
  }
}

const tinyBase = 'registry.knapsack.local/base/tiny:1';

/** A project directory and a store with a base of one file. */
async function withProject(
  files: Files,
  work: (tools: {
    directory: string;
    store: ImageStore;
    build: (lines?: string[]) => Promise<BuiltImage>;
    unpack: (image: BuiltImage) => Promise<string>;
  }) => Promise<void>,
): Promise<void> {
  await using temporary = await temporaryDirectory();
  const directory = join(temporary.path, 'project');
  mkdirSync(directory);
  writeFiles(directory, files);
  const store = await ImageStore.open(join(temporary.path, 'store'));
  await storeImage(store, tinyBase, [await makeTar([[{ name: 'base' }, 'b']])], {
    run: { Env: ['PATH=/bin'] },
  });
  const unpacker = new Unpacker(store, join(temporary.path, 'unpacked'));
  await work({
    directory,
    store,
    build: (lines = []) =>
      buildNodeImage({ directory, name: 'test/app', store, base: tinyBase }, (line) => lines.push(line)),
    async unpack(image) {
      const { manifest } = await store.manifest(image.descriptor);
      assert.equal(manifest.kind, 'image');
      return await unpacker.unpack(manifest.layers, (await store.config(manifest)).diffIds);
    },
  });
}

const hello = { 'package.json': { scripts: { start: 'node index.js' } }, 'index.js': 'console.log(1)' };

describe('building a Node.js image', () => {
  it('puts the project over its dependencies over the base', () =>
    withProject(
      {
        ...hello,
        'package.json': { scripts: { start: 'node index.js' }, dependencies: { dep: '1' } },
        'lib/a.js': 'a',
        'node_modules/dep/package.json': {},
        'node_modules/dep/index.js': 'dep',
        'node_modules/dev-only/index.js': 'dev',
        'node_modules/.package-lock.json': {
          packages: { 'node_modules/dep': {}, 'node_modules/dev-only': { dev: true } },
        },
        '.git/config': 'secret',
      },
      async ({ build, unpack, store }) => {
        const image = await build();
        const rootfs = await unpack(image);
        assert.deepEqual(readdirSync(rootfs).sort(), ['app', 'base']);
        assert.deepEqual(readdirSync(join(rootfs, 'app')).sort(), [
          'index.js',
          'lib',
          'node_modules',
          'package.json',
        ]);
        assert.deepEqual(readdirSync(join(rootfs, 'app/node_modules')), ['dep']);
        const { manifest } = await store.manifest(image.descriptor);
        assert.equal(manifest.kind, 'image');
        assert.equal(manifest.layers.length, 3);
        const { run } = await store.config(manifest);
        assert.deepEqual(run, {
          Env: ['PATH=/bin', 'NODE_ENV=production'],
          Cmd: ['node', 'index.js'],
          WorkingDir: '/app',
          User: '1000:1000',
        });
        assert.equal((await store.resolve(parseReference('test/app')))?.digest, image.digest);
      },
    ));

  it('gives the same digest for the same content, whenever and however it was written', async () => {
    const digests: string[] = [];
    for (const order of [1, -1]) {
      const files = Object.fromEntries(
        Object.entries({ ...hello, 'b/c.js': 'c', 'a.js': 'a' }).sort(([a], [b]) => (a < b ? order : -order)),
      );
      await withProject(files, async ({ directory, build }) => {
        utimesSync(join(directory, 'a.js'), order + 5, order + 5);
        chmodSync(join(directory, 'a.js'), order === 1 ? 0o600 : 0o664);
        digests.push((await build()).digest, (await build()).digest);
      });
    }
    assert.equal(new Set(digests).size, 1);
  });

  it('gives another digest for other content, and keeps the layers that did not change', () =>
    withProject({ ...hello, 'node_modules/dep/package.json': {} }, async ({ directory, build, store }) => {
      const layersOf = async (image: BuiltImage): Promise<string[]> => {
        const { manifest } = await store.manifest(image.descriptor);
        return manifest.kind === 'image' ? manifest.layers.map((layer) => layer.digest) : [];
      };
      const before = await layersOf(await build());
      writeFiles(directory, { 'index.js': 'console.log(2)' });
      const after = await layersOf(await build());
      assert.deepEqual(after.slice(0, 2), before.slice(0, 2));
      assert.notEqual(after[2], before[2]);
    }));

  it('leaves out what ignore files name', () =>
    withProject(
      {
        ...hello,
        '.dockerignore': '*.log\nsecret\n',
        '.gitignore': 'index.js\n',
        'x.log': '',
        'secret/key': 'k',
      },
      async ({ build, unpack }) => {
        const rootfs = await unpack(await build());
        assert.deepEqual(readdirSync(join(rootfs, 'app')).sort(), [
          '.dockerignore',
          '.gitignore',
          'index.js',
          'package.json',
        ]);
      },
    ));

  it('refuses a start file that ignore files leave out', () =>
    withProject({ ...hello, '.gitignore': 'index.js' }, async ({ build }) => {
      await assert.rejects(
        build(),
        withCode('IMAGE_BUILD_NO_COMMAND', /left out of the image by \.gitignore/),
      );
    }));

  it('keeps links inside of the project and refuses others', () =>
    withProject(hello, async ({ directory, build, unpack }) => {
      symlinkSync('index.js', join(directory, 'link.js'));
      const rootfs = await unpack(await build());
      assert.equal(readFileSync(join(rootfs, 'app/link.js'), 'utf8'), 'console.log(1)');
      symlinkSync('../../etc/passwd', join(directory, 'out'));
      await assert.rejects(
        build(),
        withCode('IMAGE_BUILD_UNSAFE_LINK', /out links to \.\.\/\.\.\/etc\/passwd/),
      );
    }));

  it('says that it does not execute a Dockerfile', () =>
    withProject({ ...hello, Dockerfile: 'FROM scratch' }, async ({ build }) => {
      const lines: string[] = [];
      await build(lines);
      assert.ok(lines.some((line) => line.includes('Dockerfile is not executed')));
    }));

  it('names the base that is missing, and a directory that is none', () =>
    withProject(hello, async ({ store, directory }) => {
      const base = 'registry.knapsack.local/base/none';
      await assert.rejects(
        buildNodeImage({ directory, name: 'x', store, base }),
        withCode('IMAGE_NOT_FOUND'),
      );
      await assert.rejects(
        buildNodeImage({ directory: join(directory, 'none'), name: 'x', store }),
        withCode('IMAGE_BUILD_NO_PROJECT'),
      );
    }));
});

describe('dependencies that are not installed', () => {
  const project = {
    'package.json': { name: 'app', main: 'index.js', dependencies: { dep: 'file:dep.tgz' } },
    'index.js': '',
  };

  it('installs them in a copy, without running their scripts', () =>
    withProject(project, async ({ directory, build, unpack }) => {
      const dep = JSON.stringify({ name: 'dep', version: '1.0.0', scripts: { postinstall: 'touch ran' } });
      const tar = await makeTar([[{ name: 'package/package.json' }, dep]]);
      writeFileSync(join(directory, 'dep.tgz'), gzipSync(tar));
      const lines: string[] = [];
      const rootfs = await unpack(await build(lines));
      assert.deepEqual(readdirSync(join(rootfs, 'app/node_modules/dep')), ['package.json']);
      assert.deepEqual(readdirSync(directory).sort(), ['dep.tgz', 'index.js', 'package.json']);
      assert.ok(lines.some((line) => line.includes('npm install --omit=dev')));
    }));

  it('says what npm said when that fails', () =>
    withProject(project, async ({ build }) => {
      await assert.rejects(build(), withCode('IMAGE_BUILD_DEPENDENCIES', /needed: dep.*dep\.tgz/s));
    }));
});

describe('how a project is started', () => {
  const cases: [string, Files, string[], string[]?][] = [
    [
      'a start script',
      { 'package.json': { scripts: { start: 'node ./a.js --x 1' } }, 'a.js': '' },
      ['node', 'a.js', '--x', '1'],
    ],
    [
      'a start script with options and variables',
      {
        'package.json': {
          scripts: { start: 'NODE_OPTIONS=--no-warnings A="b c" node --import ./p.js src/m.ts' },
        },
        'src/m.ts': '',
        'p.js': '',
      },
      ['node', '--import', './p.js', 'src/m.ts'],
      ['NODE_OPTIONS=--no-warnings', 'A=b c'],
    ],
    [
      'a start script without extension',
      { 'package.json': { scripts: { start: 'node server' } }, 'server.js': '' },
      ['node', 'server.js'],
    ],
    ['main', { 'package.json': { main: 'lib/x.js' }, 'lib/x.js': '' }, ['node', 'lib/x.js']],
    [
      'main as a directory',
      { 'package.json': { main: 'lib' }, 'lib/index.js': '' },
      ['node', 'lib/index.js'],
    ],
    [
      'a start script for a shell, then main',
      { 'package.json': { main: 'm.js', scripts: { start: 'tsc && node m.js' } }, 'm.js': '' },
      ['node', 'm.js'],
    ],
    ['index.js', { 'package.json': {}, 'index.js': '' }, ['node', 'index.js']],
    ['server.js without package.json', { 'server.js': '' }, ['node', 'server.js']],
  ];
  for (const [what, files, command, env = []] of cases) {
    it(`finds ${what}`, () =>
      withProject(files, async ({ directory }) => {
        const project = readNodeProject(directory);
        assert.deepEqual(project.command, command);
        assert.deepEqual(project.env, env);
        await Promise.resolve();
      }));
  }

  it('runs the JavaScript program of a dependency directly', () =>
    withProject(
      {
        'package.json': { scripts: { start: 'serve --port 8080' } },
        'node_modules/serve/bin.js': '#!/usr/bin/env node\n',
      },
      async ({ directory }) => {
        mkdirSync(join(directory, 'node_modules/.bin'));
        symlinkSync('../serve/bin.js', join(directory, 'node_modules/.bin/serve'));
        const { command } = readNodeProject(directory);
        assert.deepEqual(command, ['node', 'node_modules/serve/bin.js', '--port', '8080']);
        await Promise.resolve();
      },
    ));

  it('finds the program of a dependency where it was installed', () =>
    withProject(
      { 'package.json': { main: 'index.js', scripts: { start: 'serve' } }, 'index.js': '' },
      (app) =>
        withProject({ 'node_modules/serve/bin.js': '#!/usr/bin/env node\n' }, async (installed) => {
          mkdirSync(join(installed.directory, 'node_modules/.bin'));
          symlinkSync('../serve/bin.js', join(installed.directory, 'node_modules/.bin/serve'));
          const { command } = readNodeProject(app.directory, installed.directory);
          assert.deepEqual(command, ['node', 'node_modules/serve/bin.js']);
          await Promise.resolve();
        }),
    ));

  const refused: [string, Files, string, RegExp][] = [
    ['nothing', {}, 'IMAGE_BUILD_NO_PROJECT', /neither package.json/],
    ['broken JSON', { 'package.json': '{' }, 'IMAGE_BUILD_NO_PROJECT', /package\.json cannot be read/],
    ['no way to start', { 'package.json': {} }, 'IMAGE_BUILD_NO_COMMAND', /there is no index\.js/],
    [
      'a start file that is not there',
      { 'package.json': { main: 'gone.js' } },
      'IMAGE_BUILD_NO_COMMAND',
      /"main" names gone\.js/,
    ],
    [
      'a file outside',
      { 'package.json': { scripts: { start: 'node ../x.js' } } },
      'IMAGE_BUILD_NO_COMMAND',
      /not of the form/,
    ],
  ];
  for (const [what, files, code, message] of refused) {
    it(`refuses ${what}`, () =>
      withProject(files, async ({ directory }) => {
        assert.throws(() => readNodeProject(directory), withCode(code, message));
        await Promise.resolve();
      }));
  }

  it('tells words from shell syntax', () => {
    assert.deepEqual(simpleWords(`node 'a b' "c"d`), ['node', 'a b', 'cd']);
    for (const line of ['a && b', 'a | b', 'a $X', 'a `b`', 'a > f', 'a *', "a 'b", 'a; b']) {
      assert.equal(simpleWords(line), undefined, line);
    }
  });
});

describe('ignore files', () => {
  const cases: [IgnoreDialect, string, string, boolean, 'take' | 'leave' | 'descend'][] = [
    ['git', '*.log', 'a/b.log', false, 'leave'],
    ['git', '*.log', 'a/b.logs', false, 'take'],
    ['git', '/x', 'x', false, 'leave'],
    ['git', '/x', 'a/x', false, 'take'],
    ['git', 'a/x', 'b/a/x', false, 'take'],
    ['git', 'dir/', 'dir', true, 'leave'],
    ['git', 'dir/', 'dir', false, 'take'],
    ['git', '**/deep', 'a/b/deep', false, 'leave'],
    ['git', 'a/**/z', 'a/z', false, 'leave'],
    ['git', 'a/**', 'a/b/c', false, 'leave'],
    ['git', '*\n!keep.js', 'keep.js', false, 'take'],
    ['git', '# x\n\n\\#x', '#x', false, 'leave'],
    ['git', 'a?c', 'abc', false, 'leave'],
    ['git', '[ab].js', 'b.js', false, 'leave'],
    ['git', '[!ab].js', 'b.js', false, 'take'],
    ['git', '[', 'x', false, 'take'],
    ['git', 'a.b', 'axb', false, 'take'],
    ['docker', '*.log', 'a/b.log', false, 'take'],
    ['docker', '**/*.log', 'a/b.log', false, 'leave'],
    ['docker', 'dir', 'dir/file', false, 'leave'],
    ['docker', './dir/', 'dir', true, 'leave'],
    ['docker', '*\n!src', 'src/a', false, 'take'],
    ['docker', '*\n!src', 'other', true, 'descend'],
    ['docker', '*\n!src', 'other/f', false, 'leave'],
  ];
  for (const [dialect, text, path, isDirectory, answer] of cases) {
    it(`${dialect} ${JSON.stringify(text)}: ${answer} ${path}`, () => {
      assert.equal(ignoreFilter(text, dialect)(path, isDirectory), answer);
    });
  }
});

describe('images of this machine', { skip: process.platform !== 'linux' && 'Linux only' }, () => {
  it('holds a Node.js that starts with nothing but the image', async (t) => {
    await using temporary = await temporaryDirectory();
    const store = await ImageStore.open(join(temporary.path, 'store'), { shipped: shippedImages() });
    const descriptor = await store.resolve(parseReference(baseImageName));
    assert.ok(descriptor);
    const { manifest } = await store.manifest(descriptor);
    assert.equal(manifest.kind, 'image');
    const unpacker = new Unpacker(store, join(temporary.path, 'unpacked'));
    const rootfs = await unpacker.unpack(manifest.layers, (await store.config(manifest)).diffIds);
    assert.match(
      readFileSync(join(rootfs, 'etc/ssl/certs/ca-certificates.crt'), 'utf8'),
      /BEGIN CERTIFICATE/,
    );
    const again = await ImageStore.open(store.root, { shipped: shippedImages() });
    assert.equal((await again.resolve(parseReference(baseImageName)))?.digest, descriptor.digest);
    if (process.geteuid?.() !== 0) {
      t.diagnostic('not root: the image is not started');
      return;
    }
    const script = 'console.log(process.version, require("node:os").userInfo().username)';
    const output = execFileSync('chroot', [rootfs, '/usr/local/bin/node', '-e', script], {
      encoding: 'utf8',
    });
    assert.equal(output, `${process.version} root\n`);
  });
});

describe('the name of an image that nobody named', () => {
  const table: [string, Files, string | RegExp][] = [
    ['is that of package.json', { 'package.json': { name: 'hello' } }, 'hello'],
    ['has no scope', { 'package.json': { name: '@me/My_App.js' } }, 'my-app-js'],
    ['is that of the folder without package.json', { 'index.js': '' }, /^[a-z0-9-]+$/],
    ['is never empty', { 'package.json': { name: '***' } }, 'app'],
  ];
  for (const [what, files, expected] of table) {
    it(what, async () => {
      await using directory = await temporaryDirectory();
      writeFiles(directory.path, files);
      const name = projectName(directory.path);
      assert.match(name, typeof expected === 'string' ? new RegExp(`^${expected}$`) : expected);
    });
  }
});
