/**
 * The API server alone, on a SQLite store, in a process of its own. Arguments: data directory, port (0: a free one). Prints one
 * line of JSON when it serves: `{"port":…,"kubeconfig":…}`. SIGTERM ends it in order.
 */
import { join } from 'node:path';
import { openStore } from '../../src/kube/store/open.ts';

const [, , data = '', port = '0'] = process.argv;
// The store opens in its thread while this one loads everything else.
const { opened } = openStore(join(data, 'store'));
const [
  { systemClock },
  { silentLogger },
  { namespaces },
  { resources },
  { isAlreadyExists },
  { inProcessClient },
  { makeAccess },
  { admissionPlugins },
  { startApiServer },
  { ensureTokenKey },
  { FlowControl },
  { writeKubeconfig },
  { ensurePki },
  { ApiService },
  { AdmissionWebhooks },
] = await Promise.all([
  import('../../src/base/clock.ts'),
  import('../../src/base/log.ts'),
  import('../../src/api/kubernetes/index.ts'),
  import('../../src/api/registry.ts'),
  import('../../src/kube/api-error.ts'),
  import('../../src/kube/client/in-process.ts'),
  import('../../src/kube/server/access.ts'),
  import('../../src/kube/server/admission/index.ts'),
  import('../../src/kube/server/api-server.ts'),
  import('../../src/kube/server/authentication/token-key.ts'),
  import('../../src/kube/server/flow-control/index.ts'),
  import('../../src/kube/server/kubeconfig.ts'),
  import('../../src/kube/server/pki.ts'),
  import('../../src/kube/server/service/service.ts'),
  import('../../src/kube/server/webhooks/index.ts'),
]);
const store = await opened;
const access = makeAccess({ store, clock: systemClock, key: ensureTokenKey(join(data, 'pki')) });
const webhooks = new AdmissionWebhooks({ store, log: silentLogger });
const service = new ApiService({ store, resources, clock: systemClock, plugins: admissionPlugins, webhooks });
const client = inProcessClient(service, { user: 'system:admin' });
try {
  await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } });
} catch (error) {
  if (!isAlreadyExists(error)) throw error;
}
const pki = ensurePki(join(data, 'pki'));
const server = await startApiServer({
  service,
  pki,
  access,
  flowControl: new FlowControl(store),
  host: '127.0.0.1',
  port: Number(port),
  log: silentLogger,
});
const kubeconfig = join(data, 'kubeconfig');
writeKubeconfig(kubeconfig, { server: server.url, ca: pki.ca.cert, ...pki.admin });
console.log(JSON.stringify({ port: server.port, kubeconfig }));

process.on('SIGTERM', () => {
  void server
    .close()
    .then(() => store.close())
    .then(() => process.exit(0));
});
// For those who ask what this process holds and has used.
process.on('message', (asked) => {
  if (asked === 'memory') globalThis.gc?.();
  const { user, system } = process.cpuUsage();
  process.send?.({ rss: process.memoryUsage.rss(), cpuMicroseconds: user + system });
});
