import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { snapshotPath } from '../../../src/kube/server/snapshot.ts';
import { readSnapshot } from '../../../src/kube/store/snapshot.ts';
import { assertStatus, configMap, configMaps, startTestServer, type TestServer } from './support.ts';

describe('snapshot of the store', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    for (let i = 0; i < 30; i++) {
      await server.call('POST', configMaps, { body: configMap(`c${i}`, { payload: 'x'.repeat(20_000) }) });
    }
  });
  after(() => server.close());

  it('is whole, as of one version, while writes go on', async () => {
    const { resourceVersion } = server.api.service;
    const asked = server.call('GET', snapshotPath);
    const writes = Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        server.call('POST', configMaps, { body: configMap(`later-${i}`) }),
      ),
    );
    const reply = await asked;
    assert.equal(reply.status, 200);
    assert.equal(reply.headers['content-type'], 'application/x-ndjson');
    await writes;
    const names: string[] = [];
    const facts = await readSnapshot(
      Readable.from([reply.body]),
      ({ table, key, json, resourceVersion: version }) => {
        if (table === 'configmaps') names.push(key);
        const object = JSON.parse(json) as { metadata: { resourceVersion: string } };
        assert.equal(Number(object.metadata.resourceVersion), version);
      },
    );
    assert.ok(facts.resourceVersion >= Number(resourceVersion));
    assert.equal(names.filter((name) => name.startsWith('default/c')).length, 30);
    for (const chunk of [reply.body.subarray(0, -5), reply.body.subarray(0, 1000)]) {
      await assert.rejects(readSnapshot(Readable.from([chunk])), { code: 'CLI_BACKUP_INVALID' });
    }
  });

  it('is for administrators, and to be read only', async () => {
    const identity = server.pki.issueClient({ commonName: 'jane', organization: 'devs' });
    assertStatus(
      await server.call('GET', snapshotPath, { identity }),
      403,
      'Forbidden',
      `forbidden: User "jane" cannot get path "${snapshotPath}"`,
    );
    assert.equal((await server.call('GET', snapshotPath, { identity: 'anonymous' })).status, 401);
    assert.equal((await server.call('POST', snapshotPath)).status, 405);
  });
});
