import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { rewriteLink, rewritePage } from '../../../../src/kube/server/object-proxy/rewrite.ts';
import { isProxyable, podTarget, readProxyName } from '../../../../src/kube/server/object-proxy/target.ts';

describe('targets of a proxy', () => {
  it('are named by scheme, name and port', () => {
    assert.deepEqual(readProxyName('a', 'pod'), { scheme: 'http', name: 'a', port: '' });
    assert.deepEqual(readProxyName('a:80', 'pod'), { scheme: 'http', name: 'a', port: '80' });
    assert.deepEqual(readProxyName('https:a:x', 'pod'), { scheme: 'https', name: 'a', port: 'x' });
    for (const name of ['', ':80', 'a:b:c', 'http:a:b:c']) {
      assert.throws(() => readProxyName(name, 'service'), /invalid service request/, name);
    }
  });

  it('are pods that have an address', () => {
    const pod = (podIP: string) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p', namespace: 'n' },
      spec: { containers: [{ name: 'a' }] },
      status: { podIP },
    });
    assert.equal(podTarget(pod('10.0.0.1'), readProxyName('p', 'pod')).port, 80);
    assert.equal(podTarget(pod('10.0.0.1'), readProxyName('https:p:', 'pod')).port, 443);
    for (const address of ['', 'example.com']) {
      assert.throws(() => podTarget(pod(address), readProxyName('p', 'pod')), /address not allowed/);
    }
  });

  it('are not this machine by its own addresses', () => {
    for (const ip of ['10.1.2.3', '8.8.8.8', 'fd00::1', '2001:db8::1']) assert.ok(isProxyable(ip), ip);
    const own = [
      '127.0.0.1',
      '0.0.0.0',
      '169.254.169.254',
      '224.0.0.1',
      '::1',
      '::',
      'fe80::1',
      'ff02::1',
      'x',
    ];
    for (const ip of [...own, '::ffff:127.0.0.1']) assert.ok(!isProxyable(ip), ip);
  });
});

describe('links of a proxied page', () => {
  const seen = { prefix: '/p/proxy', hosts: ['10.0.0.1:80', 'api:6443'] };
  it('get the path of the proxy when they lead to its root', () => {
    const cases: [string, string][] = [
      ['/a/b/?x=1#y', '/p/proxy/a/b/?x=1#y'],
      ['http://10.0.0.1:80/a', '/p/proxy/a'],
      ['//api:6443/a', '/p/proxy/a'],
      ['https://example.com/a', 'https://example.com/a'],
      ['a/b', 'a/b'],
      ['#top', '#top'],
      ['/p/proxy/a', '/p/proxy/a'],
      ['mailto:x@example.com', 'mailto:x@example.com'],
    ];
    for (const [from, to] of cases) assert.equal(rewriteLink(from, seen), to);
  });
  it('are all those of an element, and nothing else of the page', () => {
    assert.equal(
      rewritePage('<object data="/a" codebase=\'/b\' title="/c">/d</object> a < b href="/x"', seen),
      '<object data="/p/proxy/a" codebase=\'/p/proxy/b\' title="/c">/d</object> a < b href="/x"',
    );
  });
  it('take time by the length of the page', () => {
    const began = performance.now();
    rewritePage('<a '.repeat(300_000) + ' href='.repeat(100_000), seen);
    rewritePage(`<a ${' '.repeat(300_000)}`, seen);
    rewritePage(`<a${' href'.repeat(100_000)}`, seen);
    assert.ok(performance.now() - began < 5000);
  });
});
