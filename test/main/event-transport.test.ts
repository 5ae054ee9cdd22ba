import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { endpointSlices, services } from '../../src/api/kubernetes/services.ts';
import { SharedInformers } from '../../src/kube/client/shared-informers.ts';
import { makeEventTransport } from '../../src/main/event-transport.ts';
import { slice } from '../network/support.ts';
import { startTestApi } from '../support/api.ts';
import { waitFor } from '../support/wait.ts';

const gateway = { host: '127.0.0.1', port: 8081 };

describe('events for names of the cluster', () => {
  it('go to the pods of plain Services, and through the gateway otherwise', async (t) => {
    const api = await startTestApi();
    const informers = new SharedInformers({ client: api.client, clock: systemClock, log: silentLogger });
    t.after(async () => {
      informers.close();
      await api.close();
    });
    const create = (name: string, spec: object, labels: Record<string, string> = {}): Promise<unknown> =>
      api.client.create(services, {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name, namespace: 'default', labels },
        spec,
      });
    await create('display', {
      ports: [
        { name: 'http', port: 80 },
        { name: 'admin', port: 9000 },
      ],
    });
    await create(
      'hello',
      { clusterIP: 'None', ports: [{ port: 80 }] },
      { 'serving.knative.dev/route': 'hello' },
    );
    await create('empty', { ports: [{ port: 80 }] });
    const ports = [
      { name: 'http', port: 8080, protocol: 'TCP' },
      { name: 'admin', port: 9001, protocol: 'TCP' },
    ];
    await api.client.create(endpointSlices, slice('display', ['10.200.0.2'], ports));
    const where = makeEventTransport(informers, gateway);
    await waitFor(
      'the caches',
      () =>
        informers.for(endpointSlices).get('default/display-1') &&
        informers.for(services).get('default/empty'),
    );
    const cases: [string, unknown][] = [
      ['http://display.default.svc.cluster.local', { host: '10.200.0.2', port: 8080 }],
      ['http://display.default.svc:9000/x', { host: '10.200.0.2', port: 9001 }],
      ['http://display.default.svc:81', gateway],
      ['http://hello.default.svc.cluster.local', gateway],
      ['http://empty.default.svc.cluster.local', gateway],
      ['http://nobody.default.svc.cluster.local', gateway],
      ['http://a.b.c.svc.cluster.local', gateway],
      ['https://example.com', undefined],
    ];
    for (const [url, expected] of cases) assert.deepEqual(where(new URL(url)), expected, url);
  });
});
