import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn, type ExecFileOptions } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { silentLogger } from '../../src/base/log.ts';
import { buildAndPush } from '../../src/build/steps/build-node.ts';
import { makeCredentialFiles, type CredentialSources } from '../../src/build/steps/credentials.ts';
import { parseReference } from '../../src/image/reference.ts';
import { ImageStore } from '../../src/image/store.ts';
import { Unpacker } from '../../src/image/unpack.ts';
import { startRegistry } from '../../src/registry/server.ts';
import { makeTar, storeImage, temporaryDirectory, withCode } from '../image/support.ts';

const steps = fileURLToPath(new URL('../../src/build/steps/', import.meta.url));

/** Runs a step as a container would: a process with arguments, whose end is an exit code. */
async function runStep(
  program: string,
  args: readonly string[],
  options: ExecFileOptions,
): Promise<{ code: number; output: string }> {
  return await new Promise((resolve) => {
    execFile(process.execPath, [join(steps, program), ...args], options, (error, stdout, stderr) => {
      const code = error ? Number(error.code ?? -1) : 0;
      resolve({ code, output: String(stdout) + String(stderr) });
    });
  });
}

interface Repository {
  readonly directory: string;
  readonly bare: string;
  readonly git: (...args: string[]) => string;
  readonly commit: (path: string, content: string) => string;
}

/** A repository with one commit on `main`, and a bare copy of it for servers. */
function makeRepository(parent: string): Repository {
  const directory = join(parent, 'repository');
  const bare = join(parent, 'repository.git');
  mkdirSync(directory);
  const git = (...args: string[]): string =>
    execFileSync('git', args, {
      cwd: directory,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      env: {
        PATH: process.env['PATH'],
        HOME: parent,
        GIT_CONFIG_NOSYSTEM: '1',
        GIT_AUTHOR_NAME: 'a',
        GIT_AUTHOR_EMAIL: 'a@example.com',
        GIT_COMMITTER_NAME: 'a',
        GIT_COMMITTER_EMAIL: 'a@example.com',
      },
    }).trim();
  git('init', '--quiet', '--initial-branch=main');
  const commit = (path: string, content: string): string => {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), content);
    git('add', '.');
    git('commit', '--quiet', '-m', path);
    return git('rev-parse', 'HEAD');
  };
  commit('file', 'one');
  git('clone', '--quiet', '--bare', directory, bare);
  return { directory, bare, git, commit };
}

/** Git's own server program behind HTTP, as a real git server runs it. */
async function withGitServer(root: string, work: (url: string) => Promise<void>): Promise<void> {
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://x');
    const child = spawn('git', ['http-backend'], {
      env: {
        PATH: process.env['PATH'],
        GIT_PROJECT_ROOT: root,
        GIT_HTTP_EXPORT_ALL: '1',
        GIT_CONFIG_COUNT: '1',
        GIT_CONFIG_KEY_0: 'safe.directory',
        GIT_CONFIG_VALUE_0: '*',
        PATH_INFO: url.pathname,
        QUERY_STRING: url.search.slice(1),
        REQUEST_METHOD: request.method,
        CONTENT_TYPE: request.headers['content-type'],
        GIT_PROTOCOL: request.headers['git-protocol'] as string | undefined,
        HTTP_CONTENT_ENCODING: request.headers['content-encoding'],
      },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    request.pipe(child.stdin);
    const parts: Buffer[] = [];
    child.stdout.on('data', (part: Buffer) => parts.push(part));
    child.on('close', () => {
      const whole = Buffer.concat(parts);
      const end = whole.indexOf('\r\n\r\n');
      const headers = whole.toString('latin1', 0, Math.max(end, 0)).split('\r\n');
      for (const line of headers) {
        const [name = '', value = ''] = line.split(': ');
        if (name === 'Status') response.statusCode = Number.parseInt(value, 10);
        else if (name) response.setHeader(name, value);
      }
      response.end(whole.subarray(end + 4));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

describe('git source', () => {
  interface Tools {
    readonly repository: Repository;
    readonly workspace: string;
    readonly message: () => string;
    readonly fetch: (
      url: string,
      revision: string,
      ...more: string[]
    ) => Promise<{ code: number; output: string }>;
  }

  async function withRepository(work: (tools: Tools) => Promise<void>): Promise<void> {
    await using temporary = await temporaryDirectory();
    const repository = makeRepository(temporary.path);
    const workspace = join(temporary.path, 'workspace');
    const home = join(temporary.path, 'home');
    const log = join(temporary.path, 'termination-log');
    mkdirSync(home);
    const env = { PATH: process.env['PATH'], HOME: home, KNAPSACK_TERMINATION_LOG: log };
    await work({
      repository,
      workspace,
      message: () => readFileSync(log, 'utf8'),
      fetch: (url, revision, ...more) => {
        const args = [`--url=${url}`, `--revision=${revision}`, `--workspace=${workspace}`, ...more];
        return runStep('git-source.ts', args, { env });
      },
    });
  }

  it('fetches branches, tags, commits and other refs', () =>
    withRepository(async ({ repository, workspace, fetch }) => {
      const first = repository.git('rev-parse', 'HEAD');
      repository.git('tag', 'v1');
      repository.commit('file', 'two');
      repository.git('checkout', '--quiet', '-b', 'feature');
      repository.commit('file', 'three');
      repository.git('update-ref', 'refs/pull/7/head', 'HEAD');
      repository.git('checkout', '--quiet', 'main');
      const content = {
        main: 'two',
        feature: 'three',
        v1: 'one',
        [first]: 'one',
        'refs/pull/7/head': 'three',
        'pull/7/head': 'three',
      };
      for (const [revision, text] of Object.entries(content)) {
        const { code, output } = await fetch(repository.directory, revision);
        assert.equal(code, 0, output);
        assert.equal(readFileSync(join(workspace, 'file'), 'utf8'), text, revision);
      }
    }));

  it('fetches from a file URL, into a subdirectory', () =>
    withRepository(async ({ repository, workspace, fetch }) => {
      const { code, output } = await fetch(`file://${repository.directory}`, 'main', '--path=a/b');
      assert.equal(code, 0, output);
      assert.equal(readFileSync(join(workspace, 'a/b/file'), 'utf8'), 'one');
    }));

  it('fetches over http, also a commit that no ref points at', () =>
    withRepository(async ({ repository, workspace, fetch }) => {
      await withGitServer(dirname(repository.bare), async (url) => {
        const old = repository.git('rev-parse', 'HEAD');
        repository.commit('file', 'two');
        repository.git('push', '--quiet', repository.bare, 'main');
        const address = `${url}/${basename(repository.bare)}`;
        const newest = await fetch(address, 'main');
        assert.equal(newest.code, 0, newest.output);
        assert.equal(readFileSync(join(workspace, 'file'), 'utf8'), 'two');
        const before = await fetch(address, old);
        assert.equal(before.code, 0, before.output);
        assert.equal(readFileSync(join(workspace, 'file'), 'utf8'), 'one');
      });
    }));

  it('fails with a message that names what is wrong', () =>
    withRepository(async ({ repository, fetch, message }) => {
      assert.equal((await fetch(repository.directory, 'no-such-branch')).code, 1);
      assert.match(message(), /git fetch .*couldn't find remote ref no-such-branch/);
      assert.equal((await fetch('http://127.0.0.1:1/x', 'main')).code, 1);
      assert.match(message(), /unable to access 'http:\/\/127\.0\.0\.1:1\/x\/'/);
      assert.equal((await fetch(repository.directory, 'main', '--path=../x')).code, 1);
      assert.match(message(), /leaves the workspace/);
    }));

  it('shows no password of a URL', () =>
    withRepository(async ({ repository, fetch }) => {
      await withGitServer(dirname(repository.bare), async (url) => {
        const address = `${url.replace('//', '//me:secret@')}/${basename(repository.bare)}`;
        const { code, output } = await fetch(address, 'main');
        assert.equal(code, 0, output);
        assert.match(output, /http:\/\/\*\*\*@127\.0\.0\.1:/);
        assert.doesNotMatch(output, /secret/);
      });
    }));

  it('runs no program that a URL or revision names', () =>
    withRepository(async ({ repository, workspace, fetch }) => {
      const trap = join(workspace, '..', 'trapped');
      for (const [url, revision] of [
        [`ext::sh -c touch% ${trap}`, 'main'],
        [repository.directory, `--upload-pack=touch ${trap}`],
        [`--upload-pack=touch ${trap}`, 'main'],
      ] as const) {
        assert.equal((await fetch(url, revision)).code, 1);
        assert.equal(existsSync(trap), false);
      }
    }));
});

describe('credential files', () => {
  const secrets: { [secret: string]: { [key: string]: string } } = {
    hub: { username: 'u', password: 'p' },
    git: { username: 'me@x', password: 'a/b' },
    key: { 'ssh-privatekey': 'KEY\n', known_hosts: 'known\n' },
    scanned: { 'ssh-privatekey': 'KEY2' },
    json: {
      '.dockerconfigjson': '{"auths":{"r":{"auth":"x"},"https://index.docker.io/v1/":{"auth":"old"}}}',
    },
    cfg: { '.dockercfg': '{"r":{"auth":"cfg"},"s":{"auth":"cfg"}}' },
    broken: { '.dockerconfigjson': '{' },
  };
  const none: CredentialSources = {
    basicDocker: [],
    basicGit: [],
    sshGit: [],
    dockerJson: [],
    dockerCfg: [],
  };
  const make = (sources: Partial<CredentialSources>): { [name: string]: string } =>
    Object.fromEntries(
      makeCredentialFiles(
        { ...none, ...sources },
        (secret, key) => secrets[secret]?.[key],
        (host, port) => `scan ${host} ${port}`,
      ),
    );

  it('are written also when there are no secrets', () => {
    assert.deepEqual(make({}), {
      '.docker/config.json': '{"auths":{}}',
      '.gitconfig': '[credential]\n\thelper = store\n',
      '.git-credentials': '',
    });
  });

  it('hold registry credentials, basic-auth over dockerconfigjson over dockercfg', () => {
    const files = make({
      basicDocker: ['hub=https://index.docker.io/v1/'],
      dockerJson: ['json'],
      dockerCfg: ['cfg'],
    });
    assert.deepEqual(JSON.parse(files['.docker/config.json'] ?? ''), {
      auths: {
        r: { auth: 'x' },
        s: { auth: 'cfg' },
        'https://index.docker.io/v1/': { username: 'u', password: 'p', auth: 'dTpw', email: 'not@val.id' },
      },
    });
  });

  it('hold git credentials, encoded', () => {
    const files = make({ basicGit: ['git=https://git.example'] });
    assert.equal(
      files['.gitconfig'],
      '[credential]\n\thelper = store\n[credential "https://git.example"]\n\tusername = me@x\n',
    );
    assert.equal(files['.git-credentials'], 'https://me%40x:a%2Fb@git.example\n');
  });

  it('hold ssh keys and host keys', () => {
    const files = make({ sshGit: ['key=git.example', 'scanned=other.example:2222'] });
    assert.equal(files['.ssh/id_key'], 'KEY\n');
    assert.equal(
      files['.ssh/config'],
      'Host git.example\n    HostName git.example\n    IdentityFile ~/.ssh/id_key\n    Port 22\n' +
        'Host other.example\n    HostName other.example\n    IdentityFile ~/.ssh/id_scanned\n    Port 2222\n',
    );
    assert.equal(files['.ssh/known_hosts'], 'known\nscan other.example 2222\n');
  });

  const refused: [string, Partial<CredentialSources>, RegExp][] = [
    [
      'two secrets for one place',
      { basicGit: ['git=https://x', 'hub=https://x'] },
      /Multiple entries for url: https:\/\/x/,
    ],
    ['a secret without the key', { basicGit: ['key=https://x'] }, /Secret key has no key username/],
    ['what is no URL', { basicGit: ['git=x'] }, /not a URL/],
    ['what is no host', { sshGit: ['key=a b'] }, /HOST/],
    ['a broken config', { dockerJson: ['broken'] }, /not JSON/],
  ];
  for (const [what, sources, message] of refused) {
    it(`refuse ${what}`, () =>
      assert.throws(() => make(sources), withCode('BUILD_CREDENTIALS_INVALID', message)));
  }

  it('are private, and say where the keys really are', async () => {
    await using temporary = await temporaryDirectory();
    const home = join(temporary.path, 'home');
    const secret = join(temporary.path, 'secret');
    mkdirSync(secret);
    for (const [key, value] of Object.entries(secrets['key'] ?? {})) writeFileSync(join(secret, key), value);
    const args = [`--home=${home}`, `--secret=key=${secret}`, '--ssh-git=key=git.example'];
    const { code, output } = await runStep('credentials.ts', args, { env: { PATH: process.env['PATH'] } });
    assert.equal(code, 0, output);
    assert.equal(statSync(join(home, '.ssh/id_key')).mode & 0o777, 0o600);
    assert.match(
      readFileSync(join(home, '.ssh/config'), 'utf8'),
      new RegExp(`IdentityFile ${home}/.ssh/id_key`),
    );
    assert.deepEqual(readdirSync(join(home, '.ssh')).sort(), ['config', 'id_key', 'known_hosts']);
  });
});

describe('node build step', () => {
  it('builds upon a base in the registry and pushes only its own layers', async () => {
    await using temporary = await temporaryDirectory();
    const store = await ImageStore.open(join(temporary.path, 'registry'));
    const registry = await startRegistry({ store, port: 0, log: silentLogger });
    try {
      const base = 'registry.knapsack.local/base/x:1';
      await storeImage(store, base, [await makeTar([[{ name: 'base' }, 'b']])]);
      const directory = join(temporary.path, 'workspace');
      mkdirSync(directory);
      writeFileSync(join(directory, 'package.json'), '{"main":"m.js"}');
      writeFileSync(join(directory, 'm.js'), 'x');
      for (const image of ['registry.knapsack.local/team/app:v1', 'localhost:1/team/app:v2']) {
        const digest = await buildAndPush(
          {
            image,
            directory,
            base,
            scratch: temporary.path,
            registry: registry.url,
            aliases: ['localhost:1'],
          },
          () => {},
        );
        const name = parseReference(image.replace('localhost:1', 'registry.knapsack.local'));
        const found = await store.resolve(name);
        assert.equal(found?.digest, digest);
        const { manifest } = await store.manifest(found);
        assert.equal(manifest.kind, 'image');
        const unpacker = new Unpacker(store, join(temporary.path, 'unpacked'));
        const rootfs = await unpacker.unpack(manifest.layers, (await store.config(manifest)).diffIds);
        assert.deepEqual(readdirSync(rootfs).sort(), ['app', 'base']);
      }
      assert.deepEqual(
        readdirSync(temporary.path).sort(),
        ['registry', 'unpacked', 'workspace'],
        'no files left',
      );
    } finally {
      await registry.close();
    }
  });
});
