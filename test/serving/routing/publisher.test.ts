import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { silentLogger } from '../../../src/base/log.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { pods } from '../../../src/api/kubernetes/pods.ts';
import type { Pod } from '../../../src/api/pods.ts';
import { ingresses } from '../../../src/api/networking/index.ts';
import { revisions } from '../../../src/api/serving/index.ts';
import { SharedInformers } from '../../../src/kube/client/shared-informers.ts';
import { RoutePublisher } from '../../../src/serving/routing/publisher.ts';
import { startTestApi, type TestApi } from '../../support/api.ts';
import { waitFor } from '../../support/wait.ts';
import { FakeRequestPath } from '../support.ts';

const key = 'default/app-00001';
const labels = (uid: string) => ({
  'serving.knative.dev/revision': 'app-00001',
  'serving.knative.dev/revisionUID': uid,
});

let api: TestApi;
let informers: SharedInformers;
let publisher: RoutePublisher;
let path: FakeRequestPath;
let pod: Pod;

beforeEach(async () => {
  api = await startTestApi();
  const { client } = api;
  informers = new SharedInformers({ client, clock: systemClock, log: silentLogger });
  path = new FakeRequestPath();
  publisher = new RoutePublisher(informers, path, silentLogger);
  const container = { name: 'user-container', image: 'app' };
  const revision = await client.create(revisions, {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Revision',
    metadata: { name: 'app-00001', namespace: 'default' },
    spec: { containers: [container] },
  });
  await client.create(ingresses, {
    apiVersion: 'networking.internal.knative.dev/v1alpha1',
    kind: 'Ingress',
    metadata: {
      name: 'app',
      namespace: 'default',
      annotations: { 'networking.knative.dev/ingress.class': 'gateway.ingress.networking.knapsack.dev' },
    },
    spec: {
      rules: [
        {
          hosts: ['app.default.example.com'],
          visibility: 'ExternalIP',
          http: {
            paths: [
              {
                splits: [
                  { serviceName: 'app-00001', serviceNamespace: 'default', servicePort: 80, percent: 100 },
                ],
              },
            ],
          },
        },
      ],
    },
  });
  pod = await client.create(pods, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'app-1', namespace: 'default', labels: labels(revision.metadata.uid ?? '') },
    spec: { containers: [container] },
  });
  await publisher.start();
  await waitFor('the backend', () => path.backends.has(key));
});

afterEach(async () => {
  publisher.close();
  informers.close();
  await api.close();
});

function withReady(status: 'True' | 'False'): Pod {
  return { ...pod, status: { phase: 'Running', podIP: '10.0.0.1', conditions: [{ type: 'Ready', status }] } };
}

describe('a pod status that is announced before the API has it', () => {
  it('lets requests through at once, and stops them at once', async () => {
    assert.equal(path.endpoints(key), 0);
    publisher.announce(withReady('True'));
    await waitFor('the endpoint', () => path.endpoints(key) === 1);
    publisher.announce(withReady('False'));
    await waitFor('no endpoint', () => path.endpoints(key) === 0);
  });

  it('does not outlive the pod: the API decides which pods there are', async () => {
    publisher.announce(withReady('True'));
    await waitFor('the endpoint', () => path.endpoints(key) === 1);
    await api.client.delete(pods, { namespace: 'default', name: 'app-1' }, { gracePeriodSeconds: 0 });
    await waitFor('no endpoint', () => path.endpoints(key) === 0);
    const updates = path.updates.length;
    publisher.announce(withReady('True'));
    await publisher.exclude(key, []);
    assert.equal(path.updates.length, updates);
  });
});
