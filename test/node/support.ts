/** A node agent on the real embedded API, with tiny Node apps and images made of directories. */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { systemClock, type Clock } from '../../src/base/clock.ts';
import { KnapsackError } from '../../src/base/errors.ts';
import { createLogger, silentLogger } from '../../src/base/log.ts';
import { kubernetesResources } from '../../src/api/kubernetes/index.ts';
import { namespaces } from '../../src/api/kubernetes/core.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import type { Pod } from '../../src/api/pods.ts';
import { isAlreadyExists, isNotFound } from '../../src/kube/api-error.ts';
import { inProcessClient } from '../../src/kube/client/in-process.ts';
import { SharedInformers } from '../../src/kube/client/shared-informers.ts';
import { ApiService } from '../../src/kube/server/service/service.ts';
import { sqliteBackend } from '../../src/kube/store/sqlite.ts';
import { Store } from '../../src/kube/store/store.ts';
import { startNodeAgent, type NodeAgent, type NodeAgentOptions } from '../../src/node/agent.ts';
import type { ImageConfig, ImageProvider } from '../../src/node/images.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { waitFor } from '../support/wait.ts';

/** `spawn`: the process driver where no shell can start its containers. */
export type DriverName = 'process' | 'spawn' | 'oci';

/** Directories that stand for images: `hello` serves HTTP, `script` runs what its arguments say. */
class TestImages implements ImageProvider {
  readonly #root: string;
  readonly #configs = new Map<string, ImageConfig>();

  constructor(root: string) {
    this.#root = root;
  }

  /** `full`: with Node.js and its libraries, as containers need; hard links where the file system allows. */
  add(name: string, config: ImageConfig, files: Record<string, string>, full: boolean): void {
    const rootfs = join(this.#root, name);
    for (const dir of ['tmp', 'proc', 'sys', 'dev', 'etc', 'usr/local/bin', 'app']) {
      mkdirSync(join(rootfs, dir), { recursive: true });
    }
    writeFileSync(join(rootfs, 'etc/passwd'), 'root:x:0:0::/:/bin/sh\napp:x:2020:2020::/:/bin/sh\n');
    writeFileSync(join(rootfs, 'etc/group'), 'root:x:0:\napp:x:2020:\n');
    if (full) this.#copyPrograms(rootfs);
    for (const [path, content] of Object.entries(files)) writeFileSync(join(rootfs, path), content);
    this.#configs.set(name, config);
  }

  /** With the host's shell and what people use with it; containers bring copies of the programs. */
  addShell(name: string, full: boolean): void {
    this.add(name, { Cmd: ['sh'] }, {}, full);
    if (!full) return;
    const names = [
      'cat',
      'echo',
      'sleep',
      'tar',
      'stty',
      'tty',
      'sha256sum',
      'ls',
      'id',
      'head',
      'wc',
      'dd',
      'ps',
      'env',
      'rm',
      'mknod',
    ];
    const programs = names.map((program): [string, string] => [
      ['/usr/bin', '/bin'].map((folder) => join(folder, program)).find((path) => existsSync(path)) ?? program,
      `/bin/${program}`,
    ]);
    this.#copyPrograms(join(this.#root, name), programs);
  }

  #copyPrograms(
    rootfs: string,
    programs: readonly (readonly [string, string])[] = [
      [process.execPath, '/usr/local/bin/node'],
      ['/bin/sh', '/bin/sh'],
    ],
  ): void {
    for (const [from, to] of programs) {
      place(from, join(rootfs, to));
      for (const [library] of execFileSync('ldd', [from], { encoding: 'utf8' }).matchAll(/\/[^ )]+/g)) {
        place(library, join(rootfs, library));
      }
    }
  }

  ensure(reference: string): ReturnType<ImageProvider['ensure']> {
    const config = this.#configs.get(reference);
    if (!config) {
      return Promise.reject(new KnapsackError('IMAGE_NOT_FOUND', `image ${reference} is not in the store`));
    }
    const digest = `sha256:${Buffer.from(reference).toString('hex').padEnd(64, '0').slice(0, 64)}`;
    return Promise.resolve({ reference, digest, rootfs: join(this.#root, reference), config });
  }
}

function place(from: string, to: string): void {
  if (existsSync(to)) return;
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
  chmodSync(to, 0o755);
}

export const helloApp = `
const { createServer } = require('node:http');
const server = createServer((request, response) => response.end('hello ' + (process.env.TARGET ?? 'world')));
server.listen(Number(process.env.PORT ?? 8080), () => console.log('listening'));
process.on('SIGTERM', () => { console.log('stopping'); process.exit(0); });
`;

/** Serves HTTP on its container port 8080, Ready when that is open. */
export const helloPod: NonNullable<Pod['spec']> = {
  containers: [
    {
      name: 'app',
      image: 'hello',
      ports: [{ containerPort: 8080 }],
      readinessProbe: { tcpSocket: { port: 8080 } },
    },
  ],
};

export interface TestNode {
  readonly api: TestApi;
  readonly agent: NodeAgent;
  readonly images: TestImages;
  readonly dataDir: string;
  /** Creates a pod in `default`. */
  run(name: string, spec: NonNullable<Pod['spec']>, more?: Partial<Pod['metadata']>): Promise<Pod>;
  get(name: string): Promise<Pod>;
  until(name: string, what: string, check: (pod: Pod) => boolean, timeoutMs?: number): Promise<Pod>;
  untilReady(name: string): Promise<Pod>;
  gone(name: string): Promise<void>;
  logs(name: string, options?: Partial<Parameters<NodeAgent['logs']['open']>[2]>): Promise<string>;
  close(): Promise<void>;
}

/** The embedded API on a store that outlives its process. */
export async function startDurableApi(directory: string): Promise<TestApi> {
  const store = await Store.open(sqliteBackend(directory));
  const service = new ApiService({ store, resources: kubernetesResources, clock: systemClock });
  const client = inProcessClient(service, { user: 'system:admin' });
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } };
  await client.create(namespaces, namespace).catch((error: unknown) => {
    if (!isAlreadyExists(error)) throw error;
  });
  return { service, client, store, close: () => store.close() };
}

export async function startTestNode(
  driver: DriverName,
  options: Partial<NodeAgentOptions> & { clock?: Clock; api?: TestApi; root?: string } = {},
): Promise<TestNode> {
  const root = options.root ?? mkdtempSync(join(tmpdir(), 'knapsack-node-'));
  // Containers under other users reach their files through it.
  chmodSync(root, 0o755);
  const dataDir = join(root, 'data');
  mkdirSync(dataDir, { recursive: true });
  const images = new TestImages(join(root, 'images'));
  const full = driver === 'oci';
  images.add(
    'hello',
    { Cmd: ['node', '/app/server.cjs'], WorkingDir: '/app' },
    { 'app/server.cjs': helloApp },
    full,
  );
  images.add('script', { Entrypoint: ['node', '-e'] }, {}, full);
  const clock = options.clock ?? systemClock;
  const log = process.env['TEST_LOG'] ? createLogger({ level: 'debug' }) : silentLogger;
  const api = options.api ?? (await startTestApi({ resources: kubernetesResources }));
  const informers = new SharedInformers({ client: api.client, clock, log });
  const agent = await startNodeAgent({
    client: api.client,
    informers,
    clock,
    log,
    dataDir,
    nodeName: 'testnode',
    driver: driver === 'spawn' ? 'process' : driver,
    images,
    ...(driver === 'spawn' ? { hostEnv: { PATH: join(root, 'no-programs') } } : {}),
    ...options,
  });
  const read = (name: string): Promise<Pod> => api.client.get(pods, { namespace: 'default', name });
  const until: TestNode['until'] = (name, what, check, timeoutMs = 30_000) => {
    let last: Pod | undefined;
    return waitFor(
      `${name}: ${what}`,
      async () => {
        last = await read(name);
        return check(last) ? last : undefined;
      },
      timeoutMs,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${JSON.stringify(last?.status)}`, { cause: error });
    });
  };
  return {
    api,
    agent,
    images,
    dataDir,
    get: read,
    until,
    run: (name, spec, more = {}) =>
      api.client.create(pods, {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, namespace: 'default', ...more },
        spec: { terminationGracePeriodSeconds: 5, ...spec },
      }),
    untilReady: (name) => until(name, 'Ready', (pod) => condition(pod, 'Ready') === 'True'),
    gone: async (name) => {
      await waitFor(`${name} to be gone`, () =>
        read(name).then(
          () => false,
          (error: unknown) => isNotFound(error),
        ),
      );
    },
    logs: async (name, more = {}) => {
      const chunks: Buffer[] = [];
      const pod = await read(name);
      const options = {
        container: pod.spec?.containers[0]?.name ?? '',
        follow: false,
        previous: false,
        timestamps: false,
        signal: new AbortController().signal,
        ...more,
      };
      for await (const chunk of await agent.logs.open('default', name, options)) chunks.push(chunk);
      return Buffer.concat(chunks).toString();
    },
    close: async () => {
      await agent.close({ removePods: true });
      informers.close();
      if (!options.api) await api.close();
      if (!options.root) rmSync(root, { recursive: true, force: true });
    },
  };
}

export function condition(pod: Pod, type: string): string | undefined {
  return pod.status?.conditions?.find((c) => c.type === type)?.status;
}

/**
 * The body of a 200, or undefined when there is none within half a second: behind a proxy even an address that is gone
 * gets some answer. Leaves no connection behind.
 */
export function tryHttp(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const call = get({ host, port, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (body += chunk));
      response.on('end', () => settle(response.statusCode === 200 ? body : undefined));
    });
    const settle = (body: string | undefined): void => {
      clearTimeout(timer);
      call.destroy();
      resolve(body);
    };
    const timer = setTimeout(() => settle(undefined), 500);
    call.on('error', () => settle(undefined));
  });
}
