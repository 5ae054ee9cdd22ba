import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endpoints, services } from '../../src/api/kubernetes/services.ts';
import { knativeServices } from '../../src/api/serving/index.ts';
import { waitFor } from '../support/wait.ts';
import { makeKsvc, ready, startServing } from './support.ts';

test('a gateway with an address makes headless placeholders that lead to it', async () => {
  const platform = await startServing({ gatewayIp: '10.88.0.1' });
  try {
    await platform.client.create(knativeServices, makeKsvc('hello'));
    await platform.until(knativeServices, 'hello', 'ready', ready);
    const placeholder = await waitFor('headless placeholder', async () => {
      const found = await platform.get(services, 'hello');
      return found.spec?.clusterIP === 'None' ? found : undefined;
    });
    assert.equal(placeholder.spec?.externalName, undefined);
    const { subsets } = await waitFor('addresses', () => platform.get(endpoints, 'hello'));
    assert.deepEqual(subsets?.[0]?.addresses, [{ ip: '10.88.0.1' }]);
  } finally {
    await platform.close();
  }
});

test('a gateway on loopback does not keep a service from being ready', async () => {
  const platform = await startServing({ gatewayIp: '127.0.0.1' });
  try {
    await platform.client.create(knativeServices, makeKsvc('hello'));
    await platform.until(knativeServices, 'hello', 'ready', ready);
  } finally {
    await platform.close();
  }
});
