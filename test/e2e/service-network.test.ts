/** What a user of Kubernetes takes for granted: Services by name and address, from pods and from this machine. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { hasProgram, kubectlSkipReason, ociSkipReason } from '../support/drivers.ts';
import { leftoversOf, tagIn } from '../support/leftovers.ts';
import { knapsack, TestPlatform } from '../support/platform.ts';
import { waitFor } from '../support/wait.ts';

/** Says who answers, over HTTP; for /ask, what other servers say: names and URLs in, one line each out. */
const app = `
import { createServer } from 'node:http';
import { hostname } from 'node:os';
import { Agent, get } from 'node:http';
import { get as secure } from 'node:https';
import { readFileSync } from 'node:fs';
import { promises as dns } from 'node:dns';
const ca = () => readFileSync('/var/run/secrets/kubernetes.io/serviceaccount/ca.crt');
const fetchText = (url) => new Promise((resolve) => {
  const call = (url.startsWith('https') ? secure : get)(url, { agent: false, timeout: 5000, ...(url.startsWith('https') ? { ca: ca() } : {}) }, (answer) => {
    let body = '';
    answer.on('data', (chunk) => (body += chunk));
    answer.on('end', () => resolve(answer.statusCode + ' ' + body));
  });
  call.on('timeout', () => call.destroy(Object.assign(new Error(), { code: 'TIMEOUT' })));
  call.on('error', (error) => resolve(error.code ?? String(error)));
});
const one = async (question) => {
  const [type, name] = question.split(' ');
  try {
    if (type === 'GET') return await fetchText(name);
    if (type === 'FILE') return readFileSync(name, 'utf8');
    if (type === 'ENV') return process.env[name] ?? 'unset';
    const found = await dns.resolve(name, type);
    return found.map((record) => (record.name ? record.name + ':' + record.port : record)).sort().join(' ');
  } catch (error) {
    return error.code ?? String(error);
  }
};
createServer(async (request, response) => {
  const asked = new URL(request.url, 'http://x').searchParams.getAll('q');
  if (asked.length === 0) return response.end(hostname());
  response.end(JSON.stringify(await Promise.all(asked.map(one))));
}).listen(Number(process.env.PORT ?? 8080));
process.on('SIGTERM', () => process.exit(0));
`;

const container = `{ name: app, image: dev.local/app, imagePullPolicy: Never, ports: [{ name: http, containerPort: 8080 }], readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 } }`;
const manifest = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec: { terminationGracePeriodSeconds: 2, containers: [${container}] }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { type: NodePort, selector: { app: web }, ports: [{ name: http, port: 80, targetPort: http }] }
---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db }
spec:
  serviceName: db
  replicas: 2
  podManagementPolicy: Parallel
  selector: { matchLabels: { app: db } }
  template:
    metadata: { labels: { app: db } }
    spec: { terminationGracePeriodSeconds: 2, containers: [${container}] }
---
apiVersion: v1
kind: Service
metadata: { name: db }
spec: { clusterIP: None, selector: { app: db }, ports: [{ name: http, port: 8080 }] }
---
apiVersion: v1
kind: Service
metadata: { name: sticky }
spec: { selector: { app: web }, sessionAffinity: ClientIP, ports: [{ port: 80, targetPort: 8080 }] }
---
apiVersion: v1
kind: Service
metadata: { name: alias }
spec: { type: ExternalName, externalName: web.default.svc.cluster.local }
---
apiVersion: v1
kind: Service
metadata: { name: nobody }
spec: { selector: { app: nobody }, ports: [{ port: 80 }] }
---
apiVersion: v1
kind: Service
metadata: { name: self }
spec: { selector: { app: client }, ports: [{ port: 80, targetPort: 8080 }] }
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: { name: hello, labels: { networking.knative.dev/visibility: cluster-local } }
spec: { template: { spec: { containers: [{ image: dev.local/app, imagePullPolicy: Never }] } } }
---
apiVersion: v1
kind: Pod
metadata: { name: client, labels: { app: client } }
spec: { terminationGracePeriodSeconds: 2, containers: [${container}] }
`;

/** A request of this machine, on a connection of its own; its body, or the code of what went wrong. */
function fromHere(url: string): Promise<string> {
  return new Promise((resolve) => {
    const call = get(url, { agent: false, timeout: 20_000 }, (answer) => {
      let body = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => (body += chunk));
      answer.on('end', () => resolve(body));
    });
    call.on('timeout', () => call.destroy(Object.assign(new Error('too slow'), { code: 'TIMEOUT' })));
    call.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

async function buildApp(platform: TestPlatform): Promise<void> {
  const directory = join(platform.data, 'app');
  mkdirSync(directory);
  writeFileSync(join(directory, 'index.mjs'), app);
  writeFileSync(
    join(directory, 'package.json'),
    JSON.stringify({ name: 'app', version: '1.0.0', type: 'module', main: 'index.mjs' }),
  );
  const args = ['image', 'build', directory, '-t', 'dev.local/app', '--data', platform.data];
  const built = await knapsack(args);
  assert.equal(built.code, 0, built.stderr);
}

const field = (platform: TestPlatform, what: string, name: string, path: string): Promise<string> =>
  platform.kubectl(['get', what, name, '-o', `jsonpath={${path}}`]);

const noNft = hasProgram('nft') ? undefined : 'nft is not installed (Debian: nftables)';
const skip = kubectlSkipReason() ?? ociSkipReason() ?? noNft ?? false;

describe('Services on the oci driver', { skip, timeout: 400_000 }, () => {
  const platform = new TestPlatform('oci');
  after(() => platform.dispose());

  /** What the pod `client` is told. */
  const ask = async (...questions: string[]): Promise<string[]> => {
    const ip = await field(platform, 'pod', 'client', '.status.podIP');
    const query = new URLSearchParams(questions.map((question): [string, string] => ['q', question]));
    return JSON.parse(await fromHere(`http://${ip}:8080/?${query.toString()}`)) as string[];
  };
  const ready = async (): Promise<void> => {
    await platform.kubectl(['wait', '--for=condition=Ready', 'pod/client', '--timeout=60s']);
    for (const one of ['deployment/web', 'statefulset/db'])
      await platform.kubectl(['rollout', 'status', one, '--timeout=60s']);
  };

  before(async () => {
    await platform.up();
    await buildApp(platform);
    await platform.apply(manifest);
    await ready();
    await platform.kubectl(['wait', '--for=condition=Ready', 'ksvc/hello', '--timeout=60s']);
  });

  const namesWork = async (): Promise<void> => {
    const names = ['web', 'web.default', 'web.default.svc', 'web.default.svc.cluster.local', 'alias'];
    for (const answer of await ask(...names.map((name) => `GET http://${name}`)))
      assert.match(answer, /^200 web-/);
  };

  it('answer by their names', namesWork);

  it('answer from each of their pods, and at once when there is none', async () => {
    const answers = new Set(await ask(...Array.from({ length: 40 }, () => 'GET http://web')));
    assert.equal(answers.size, 2);
    assert.deepEqual(await ask('GET http://nobody'), ['ECONNREFUSED']);
  });

  it('keep a client with one pod where they are told to', async () => {
    const answers = new Set(await ask(...Array.from({ length: 30 }, () => 'GET http://sticky')));
    assert.equal(answers.size, 1, [...answers].join(', '));
  });

  it('lead a pod back to itself', async () => {
    assert.deepEqual(await ask('GET http://self'), ['200 client']);
  });

  it('have the names that the specification gives to pods and ports', async () => {
    const ip = await field(platform, 'service', 'web', '.spec.clusterIP');
    const pods = await Promise.all(
      ['db-0', 'db-1'].map((name) => field(platform, 'pod', name, '.status.podIP')),
    );
    const db = 'db.default.svc.cluster.local';
    const answers = await ask(
      'A web.default.svc.cluster.local',
      `A ${db}`,
      `A db-1.${db}`,
      'SRV _http._tcp.web.default.svc.cluster.local',
      `SRV _http._tcp.${db}`,
      `A ${pods[0]?.replaceAll('.', '-')}.default.pod.cluster.local`,
      `PTR ${ip.split('.').reverse().join('.')}.in-addr.arpa`,
      'CNAME alias.default.svc.cluster.local',
      'A nope.default.svc.cluster.local',
      'GET http://db-0.db:8080',
    );
    assert.deepEqual(answers, [
      ip,
      pods.toSorted().join(' '),
      pods[1],
      'web.default.svc.cluster.local:80',
      `db-0.${db}:8080 db-1.${db}:8080`,
      pods[0],
      'web.default.svc.cluster.local',
      'web.default.svc.cluster.local',
      'ENOTFOUND',
      '200 db-0',
    ]);
  });

  it('include those of Knative, also ones that are asleep and for this cluster alone', async () => {
    const [answer] = await ask('GET http://hello.default.svc.cluster.local');
    assert.match(answer ?? '', /^200 hello-00001-/);
    const [broker] = await ask('GET http://broker-ingress.knative-eventing.svc.cluster.local/default/x');
    assert.match(broker ?? '', /^(?:404|405) /);
  });

  it('include the API itself, whose certificate has its names and its address', async () => {
    const ip = await field(platform, 'service', 'kubernetes', '.spec.clusterIP');
    const urls = ['kubernetes', 'kubernetes.default.svc', ip].map((host) => `GET https://${host}/version`);
    for (const answer of await ask(...urls)) assert.match(answer, /^200 .*gitVersion/s);
  });

  it('are told to pods by variables and a search list', async () => {
    const [ip, port] = await Promise.all([
      field(platform, 'service', 'web', '.spec.clusterIP'),
      ask('ENV WEB_SERVICE_PORT_HTTP', 'FILE /etc/resolv.conf'),
    ]);
    // The pod came with the Services, in one manifest: it may have been first.
    await platform.kubectl(['delete', 'pod', 'client', '--wait=true']);
    await platform.apply(manifest);
    await ready();
    const [host, url] = await ask('ENV WEB_SERVICE_HOST', 'ENV WEB_PORT');
    assert.deepEqual([host, url], [ip, `tcp://${ip}:80`]);
    assert.match(
      port[1] ?? '',
      /^nameserver 10\.[\d.]+\nsearch default\.svc\.cluster\.local svc\.cluster\.local cluster\.local.*\noptions ndots:5\n$/,
    );
  });

  it('are reached from this machine: by address, and by node port on each of its own', async () => {
    const ip = await field(platform, 'service', 'web', '.spec.clusterIP');
    const port = await field(platform, 'service', 'web', '.spec.ports[0].nodePort');
    assert.ok(Number(port) >= 30_000 && Number(port) <= 32_767, port);
    const own = Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .find(({ internal, family, address }) => !internal && family === 'IPv4' && !address.startsWith('10.'));
    const hosts = [`${ip}:80`, `127.0.0.1:${port}`, ...(own ? [`${own.address}:${port}`] : [])];
    for (const host of hosts) assert.match(await fromHere(`http://${host}`), /^web-/, host);
    const [fromPod] = await ask(`GET http://${new URL(platform.info.registry).hostname}:${port}`);
    // Loopback of a pod is its own.
    assert.equal(fromPod, 'ECONNREFUSED');
    const nobody = await field(platform, 'service', 'nobody', '.spec.clusterIP');
    assert.equal(await fromHere(`http://${nobody}`), 'ECONNREFUSED');
    assert.equal(await fromHere(`http://${ip}:81`), 'ECONNREFUSED');
  });

  it('follow the pods behind them', async () => {
    await platform.kubectl(['scale', 'deployment/web', '--replicas=0']);
    await waitFor('the Service to refuse', async () => (await ask('GET http://web'))[0] === 'ECONNREFUSED');
    const port = await field(platform, 'service', 'web', '.spec.ports[0].nodePort');
    assert.equal(await fromHere(`http://127.0.0.1:${port}`), 'ECONNREFUSED');
    await platform.kubectl(['scale', 'deployment/web', '--replicas=2']);
    await platform.kubectl(['rollout', 'status', 'deployment/web', '--timeout=60s']);
    await waitFor('both pods', async () => {
      const answers = new Set(await ask(...Array.from({ length: 20 }, () => 'GET http://web')));
      return answers.size === 2 && [...answers].every((answer) => answer.startsWith('200 '));
    });
  });

  it('work for pods that outlive a killed Knapsack, and again after its restart', async () => {
    const before = await field(platform, 'service', 'web', '.spec.clusterIP');
    const pod = await field(platform, 'pod', 'client', '.status.podIP');
    platform.kill();
    const query = new URLSearchParams([['q', `GET http://${before}`]]);
    const orphaned = await fromHere(`http://${pod}:8080/?${query.toString()}`);
    assert.match(orphaned, /200 web-/);
    await platform.up();
    assert.equal(await field(platform, 'service', 'web', '.spec.clusterIP'), before);
    assert.equal(await field(platform, 'pod', 'client', '.status.podIP'), pod);
    await namesWork();
  });

  it('stay apart from those of another platform on the same machine', async (t) => {
    const other = new TestPlatform('oci');
    t.after(() => other.dispose());
    await other.up();
    const ranges = await Promise.all(
      [platform, other].map(async (one) => {
        const ip = await field(one, 'service', 'kubernetes', '.spec.clusterIP');
        return ip.split('.').slice(0, 2).join('.');
      }),
    );
    assert.notEqual(ranges[0], ranges[1]);
    await other.down();
    await namesWork();
  });

  it('leave nothing on the machine', async () => {
    const tag = tagIn(platform.data);
    rmSync(join(platform.data, 'app'), { recursive: true });
    platform.kill();
    const reset = await knapsack(['reset', '--yes', '--force', '--data', platform.data]);
    assert.equal(reset.code, 0, reset.stderr);
    assert.deepEqual(leftoversOf(platform.data, tag), []);
  });
});
