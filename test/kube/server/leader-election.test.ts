import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Lease } from '../../../src/api/kubernetes/leases.ts';
import { startTestServer, type TestServer } from './support.ts';

const path = '/apis/coordination.k8s.io/v1/namespaces/default/leases';

/** A microtime as Go clients write it. */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}

/** What client-go's LeaseLock does in one round: true when the caller leads afterwards. */
async function tryToLead(server: TestServer, identity: string): Promise<boolean> {
  const now = microTime(Date.now());
  const spec = { holderIdentity: identity, leaseDurationSeconds: 15, acquireTime: now, renewTime: now };
  const found = await server.call('GET', `${path}/lock`);
  if (found.status === 404) {
    const body = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'lock' }, spec };
    return (await server.call('POST', path, { body })).status === 201;
  }
  const lease = found.json<Lease & { spec: NonNullable<Lease['spec']> }>();
  if (lease.spec.holderIdentity && lease.spec.holderIdentity !== identity) return false;
  const transitions = (lease.spec.leaseTransitions ?? 0) + (lease.spec.holderIdentity === identity ? 0 : 1);
  const body = { ...lease, spec: { ...spec, leaseTransitions: transitions } };
  const reply = await server.call('PUT', `${path}/lock`, { body });
  if (reply.status !== 200) assert.equal(reply.status, 409, reply.body.toString());
  return reply.status === 200;
}

async function release(server: TestServer): Promise<void> {
  const lease = (await server.call('GET', `${path}/lock`)).json<Lease>();
  const body = { ...lease, spec: { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1 } };
  assert.equal((await server.call('PUT', `${path}/lock`, { body })).status, 200);
}

describe('leader election with a Lease', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server.close());

  it('has one winner in each round, however many try at once', async () => {
    const rounds = 8;
    for (let round = 0; round < rounds; round++) {
      const contenders = Array.from({ length: 12 }, (_, i) => `candidate-${i}`);
      const results = await Promise.all(contenders.map((identity) => tryToLead(server, identity)));
      const winners = contenders.filter((_, i) => results[i]);
      assert.equal(winners.length, 1, `round ${round}: ${winners.join()}`);
      const lease = (await server.call('GET', `${path}/lock`)).json<Lease>();
      assert.equal(lease.spec?.holderIdentity, winners[0]);
      assert.match(lease.spec?.renewTime ?? '', /\.\d{6}Z$/);
      // The holder may renew; nobody else may take it.
      assert.equal(await tryToLead(server, winners[0] ?? ''), true);
      assert.equal(await tryToLead(server, 'late'), false);
      await release(server);
    }
    const lease = (await server.call('GET', `${path}/lock`)).json<Lease>();
    assert.equal(lease.spec?.leaseTransitions, rounds - 1);
  });
});
