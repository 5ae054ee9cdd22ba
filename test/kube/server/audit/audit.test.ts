import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { systemClock } from '../../../../src/base/clock.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { Audit } from '../../../../src/kube/server/audit/index.ts';
import { AuditLog } from '../../../../src/kube/server/audit/log.ts';
import { isAudited } from '../../../../src/kube/server/audit/policy.ts';
import { waitFor } from '../../../support/wait.ts';
import { configMap, configMaps, startTestServer, type TestServer } from '../support.ts';

interface Event {
  stage: string;
  verb: string;
  auditID: string;
  user: { username?: string };
  impersonatedUser?: { username: string; groups: string[] };
  objectRef?: Record<string, string>;
  responseStatus?: { code: number; reason?: string };
  annotations?: Record<string, string>;
  sourceIPs: string[];
  requestReceivedTimestamp: string;
}

describe('audit log', () => {
  const dir = mkdtempSync(join(tmpdir(), 'knapsack-audit-'));
  after(() => rmSync(dir, { recursive: true, force: true }));
  const path = join(dir, 'audit.log');
  const linesOf = (file: string): number[] =>
    readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { n: number }).n);

  it('keeps the order of events, and files of bounded size and number', async () => {
    const log = new AuditLog({ path, log: silentLogger, maxBytes: 2000, keep: 2 });
    for (let n = 0; n < 1000; n++) {
      log.append({ n, padding: 'x'.repeat(20) });
      if (n % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await log.close();
    assert.deepEqual(readdirSync(dir).sort(), ['audit.log', 'audit.log.1', 'audit.log.2']);
    const kept = [`${path}.2`, `${path}.1`, path].flatMap(linesOf);
    assert.equal(kept.at(-1), 999);
    assert.deepEqual(
      kept,
      Array.from({ length: kept.length }, (_, i) => 1000 - kept.length + i),
    );
    for (const name of readdirSync(dir)) assert.ok(statSync(join(dir, name)).size <= 2000, name);
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });

  it('goes on behind what an earlier process wrote', async () => {
    const log = new AuditLog({ path, log: silentLogger });
    log.append({ n: 1000 });
    await log.close();
    assert.deepEqual(linesOf(path).slice(-2), [999, 1000]);
  });

  it('does not fail where it cannot write', async () => {
    const log = new AuditLog({ path: join(dir, 'none', 'audit.log'), log: silentLogger });
    log.append({ n: 1 });
    await log.close();
    log.append({ n: 2 });
    await log.close();
  });
});

describe('audit policy', () => {
  const attributes = (verb: string, resource: string, subresource = '', group = '') => ({
    verb,
    resource,
    subresource,
    group,
    version: 'v1',
    namespace: 'default',
    name: 'x',
  });
  const cases: [string, ReturnType<typeof attributes> | undefined, number, boolean, boolean][] = [
    ['a write', attributes('create', 'pods'), 201, true, true],
    ['a read', attributes('get', 'pods'), 200, false, true],
    ['a refused read', attributes('get', 'pods'), 403, true, true],
    ['a read of a secret', attributes('list', 'secrets'), 200, true, true],
    ['exec', attributes('get', 'pods', 'exec'), 101, true, true],
    ['a token', attributes('create', 'serviceaccounts', 'token'), 201, true, true],
    ['a lease', attributes('update', 'leases', '', 'coordination.k8s.io'), 200, false, true],
    [
      'a question',
      attributes('create', 'selfsubjectaccessreviews', '', 'authorization.k8s.io'),
      201,
      false,
      true,
    ],
    ['nobody', undefined, 401, true, true],
    ['a probe', undefined, 200, false, false],
  ];
  for (const [name, asked, code, writes, all] of cases) {
    it(`of ${name}`, () => {
      assert.equal(isAudited('writes', asked, code), writes);
      assert.equal(isAudited('all', asked, code), all);
      assert.equal(isAudited('none', asked, code), false);
    });
  }
});

describe('what is audited of requests', () => {
  const events: Event[] = [];
  let server: TestServer;
  before(async () => {
    const log = { append: (event: object) => void events.push(structuredClone(event) as Event) };
    server = await startTestServer({ audit: new Audit({ choice: 'writes', log, clock: systemClock }) });
  });
  after(() => server.close());
  const next = (): Promise<Event> => waitFor('an event', () => events.shift());

  it('says who did what to which object, and how it ended', async () => {
    const reply = await server.call('POST', configMaps, { body: configMap('a') });
    const event = await next();
    assert.equal(reply.headers['audit-id'], event.auditID);
    assert.deepEqual(
      [event.stage, event.verb, event.user.username, event.responseStatus?.code, event.sourceIPs],
      ['ResponseComplete', 'create', 'system:admin', 201, ['127.0.0.1']],
    );
    const { uid, resourceVersion } = reply.json<{ metadata: Record<string, string> }>().metadata;
    assert.deepEqual(event.objectRef, {
      resource: 'configmaps',
      namespace: 'default',
      name: 'a',
      apiVersion: 'v1',
      uid,
      resourceVersion,
    });
    assert.equal(event.annotations?.['authorization.k8s.io/decision'], 'allow');
    assert.match(event.requestReceivedTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  });

  it('names both the sender and whom it acts as', async () => {
    await server.call('DELETE', `${configMaps}/a`, {
      headers: { 'impersonate-user': 'jane', 'audit-id': 'my-own' },
    });
    const event = await next();
    assert.equal(event.user.username, 'system:admin');
    assert.deepEqual(event.impersonatedUser, { username: 'jane', groups: ['system:authenticated'] });
    assert.equal(event.auditID, 'my-own');
    assert.deepEqual([event.responseStatus?.code, event.responseStatus?.reason], [403, 'Forbidden']);
    assert.equal(event.annotations?.['authorization.k8s.io/decision'], 'forbid');
    assert.equal(event.objectRef?.['name'], 'a');
  });

  it('writes down nobody, and neither reads nor probes', async () => {
    await server.call('GET', configMaps);
    await server.call('GET', '/readyz', { identity: 'anonymous' });
    await server.call('GET', configMaps, { identity: 'anonymous' });
    const event = await next();
    assert.deepEqual([event.responseStatus?.code, event.user], [401, {}]);
    assert.equal(events.length, 0);
  });
});
