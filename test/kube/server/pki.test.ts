import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import * as fc from 'fast-check';
import { parse } from 'yaml';
import { makeKubeconfig, writeKubeconfig } from '../../../src/kube/server/kubeconfig.ts';
import { ensurePki } from '../../../src/kube/server/pki.ts';

const day = 24 * 3600 * 1000;

describe('certificates', () => {
  const root = mkdtempSync(join(tmpdir(), 'knapsack-pki-'));
  let dir = '';
  let count = 0;
  beforeEach(() => {
    dir = join(root, String(count++));
  });
  after(() => rmSync(root, { recursive: true, force: true }));

  it('are issued by an own CA for the names of the API server', () => {
    const pki = ensurePki(dir, {
      hosts: ['10.1.2.3', 'fe80::1:2', '::ffff:1.2.3.4', 'my.example.com', 'bad_name'],
    });
    const ca = new X509Certificate(pki.ca.cert);
    const server = new X509Certificate(pki.server.cert);
    assert.ok(ca.ca && ca.verify(ca.publicKey));
    assert.ok(server.verify(ca.publicKey) && server.checkIssued(ca) && !server.ca);
    for (const host of [
      'localhost',
      'kubernetes',
      'kubernetes.default.svc.cluster.local',
      'my.example.com',
    ]) {
      assert.ok(server.checkHost(host), host);
    }
    for (const address of ['127.0.0.1', '::1', '10.1.2.3', 'fe80::1:2', '::ffff:1.2.3.4']) {
      assert.ok(server.checkIP(address), address);
    }
    assert.equal(server.checkHost('other.example.com'), undefined);
    assert.deepEqual(server.keyUsage, ['1.3.6.1.5.5.7.3.1']);
  });

  it('name the administrator and other users', () => {
    const pki = ensurePki(dir);
    assert.equal(new X509Certificate(pki.admin.cert).subject, 'O=system:masters\nCN=system:admin');
    const jane = new X509Certificate(pki.issueClient({ commonName: 'jane', organization: 'devs' }).cert);
    assert.equal(jane.subject, 'O=devs\nCN=jane');
    assert.deepEqual(jane.keyUsage, ['1.3.6.1.5.5.7.3.2']);
    assert.ok(jane.verify(new X509Certificate(pki.ca.cert).publicKey));
  });

  it('are kept, with keys for their owner alone', () => {
    const first = ensurePki(dir);
    const again = ensurePki(dir);
    assert.deepEqual([again.ca, again.server, again.admin], [first.ca, first.server, first.admin]);
    for (const name of ['ca.key', 'server.key', 'admin.key']) {
      assert.equal(statSync(join(dir, name)).mode & 0o777, 0o600, name);
    }
  });

  it('are renewed near their end under the same CA', () => {
    const now = Date.now();
    const first = ensurePki(dir, { now });
    const later = ensurePki(dir, { now: now + 340 * day });
    assert.equal(later.ca.cert, first.ca.cert);
    assert.notEqual(later.server.cert, first.server.cert);
    assert.notEqual(later.admin.cert, first.admin.cert);
    const muchLater = ensurePki(dir, { now: now + 3640 * day });
    assert.notEqual(muchLater.ca.cert, first.ca.cert);
  });

  it('are issued again for a new name, a damaged file, a foreign key, another CA', () => {
    const first = ensurePki(dir);
    const named = ensurePki(dir, { hosts: ['new.example.com'] });
    assert.notEqual(named.server.cert, first.server.cert);
    assert.equal(named.admin.cert, first.admin.cert);
    writeFileSync(join(dir, 'server.crt'), 'nonsense');
    assert.ok(new X509Certificate(ensurePki(dir).server.cert).checkHost('localhost'));
    writeFileSync(join(dir, 'admin.key'), first.server.key);
    assert.notEqual(ensurePki(dir).admin.key, first.server.key);
    const other = ensurePki(join(root, 'other'));
    writeFileSync(join(dir, 'ca.crt'), other.ca.cert);
    writeFileSync(join(dir, 'ca.key'), other.ca.key);
    const moved = ensurePki(dir);
    assert.ok(new X509Certificate(moved.server.cert).verify(new X509Certificate(other.ca.cert).publicKey));
  });

  it('carry any IPv6 address', () => {
    const pki = ensurePki(join(root, 'addresses'));
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        const server = new X509Certificate(
          ensurePki(join(root, 'addresses'), { hosts: [address] }).server.cert,
        );
        assert.ok(server.checkIP(address), address);
        assert.ok(server.verify(new X509Certificate(pki.ca.cert).publicKey));
      }),
      { numRuns: 25 },
    );
  });

  it('go into a kubeconfig that only its owner reads', () => {
    const content = { server: 'https://127.0.0.1:6443', ca: 'CA\n', cert: 'CERT\n', key: 'KEY\n' };
    const path = join(dir, 'deep', 'kubeconfig');
    writeKubeconfig(path, content);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(readFileSync(path, 'utf8'), makeKubeconfig(content));
    const config = parse(makeKubeconfig(content)) as {
      'current-context': string;
      clusters: { name: string; cluster: Record<string, string> }[];
    };
    assert.equal(config['current-context'], 'knapsack');
    assert.equal(
      config.clusters[0]?.cluster['certificate-authority-data'],
      Buffer.from('CA\n').toString('base64'),
    );
  });
});
