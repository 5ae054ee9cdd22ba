/**
 * Eventing on the embedded API with its store on disk, as a process that a test can kill: `crash-child.ts <dataDir>`.
 * Prints the address of the broker ingress when the broker and the trigger are Ready. The subscriber's URL is in
 * SUBSCRIBER; Broker `main` and Trigger `all` are made on the first start.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { brokers } from '../../src/api/eventing/broker.ts';
import { triggers } from '../../src/api/eventing/trigger.ts';
import { namespaces } from '../../src/api/kubernetes/index.ts';
import { resources } from '../../src/api/registry.ts';
import { systemClock } from '../../src/base/clock.ts';
import { createLogger } from '../../src/base/log.ts';
import { startEventing } from '../../src/eventing/index.ts';
import { isAlreadyExists } from '../../src/kube/api-error.ts';
import { inProcessClient } from '../../src/kube/client/in-process.ts';
import { SharedInformers } from '../../src/kube/client/shared-informers.ts';
import { startControllers } from '../../src/kube/controller/kernel.ts';
import { ApiService } from '../../src/kube/server/service/service.ts';
import { sqliteBackend } from '../../src/kube/store/sqlite.ts';
import { Store } from '../../src/kube/store/store.ts';
import { waitFor } from '../support/wait.ts';

const dataDir = process.argv[2] ?? '';
const subscriber = process.env['SUBSCRIBER'] ?? '';
const log = createLogger({ level: 'error' });
const clock = systemClock;

mkdirSync(join(dataDir, 'store'), { recursive: true });
const store = await Store.open(sqliteBackend(join(dataDir, 'store')));
const client = inProcessClient(new ApiService({ store, resources, clock }), { user: 'system:admin' });
const informers = new SharedInformers({ client, clock, log });
const env = { client, informers, clock, log };
const eventing = await startEventing(env, { dataDir, resources, resolveTransport: () => undefined });
await startControllers(eventing.controllers, env);

const namespace = 'default';
const absent = (error: unknown): void => {
  if (!isAlreadyExists(error)) throw error;
};
await client
  .create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
  .catch(absent);
await client
  .create(brokers, {
    apiVersion: 'eventing.knative.dev/v1',
    kind: 'Broker',
    metadata: { name: 'main', namespace },
    spec: { delivery: { retry: 1000, backoffPolicy: 'linear', backoffDelay: 'PT0.002S' } },
  })
  .catch(absent);
await client
  .create(triggers, {
    apiVersion: 'eventing.knative.dev/v1',
    kind: 'Trigger',
    metadata: { name: 'all', namespace },
    spec: { broker: 'main', subscriber: { uri: subscriber } },
  })
  .catch(absent);
const { host, port } = eventing.ingress;
await waitFor('the ingress to take events', async () => {
  const trigger = await client.get(triggers, { namespace, name: 'all' });
  // Ready is what the last process wrote, too: ask the ingress itself.
  const answer = await fetch(`http://${host}:${port}/default/main`, { method: 'POST' });
  return (
    answer.status === 400 &&
    trigger.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True')
  );
});
process.stdout.write(`http://${host}:${port}\n`);
