import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { hostHostsFile, podHostsFile } from '../../src/node/drivers/oci/hosts-file.ts';

const hostAliases = [{ ip: '10.1.2.3', names: ['foo', 'bar.local'] }];

describe('/etc/hosts of pods', () => {
  it('begins as a kubelet begins it, and ends with the aliases of the pod', () => {
    const text = podHostsFile({ hostname: 'web', hostAliases }, '10.0.0.9');
    assert.match(text, /^# Kubernetes-managed hosts file\.\n127\.0\.0\.1\tlocalhost\n/);
    assert.match(
      text,
      /\n10\.0\.0\.9\tweb\n\n# Entries added by HostAliases\.\n10\.1\.2\.3\tfoo\tbar\.local\n$/,
    );
    const named = { hostname: 'web', fullHostname: 'web.sub.default.svc.cluster.local', hostAliases: [] };
    assert.match(
      podHostsFile(named, '10.0.0.9'),
      /\n10\.0\.0\.9\tweb\.sub\.default\.svc\.cluster\.local\tweb\n$/,
    );
    const plain = podHostsFile({ hostname: 'web', hostAliases: [] }, '10.0.0.9');
    assert.match(plain, /\n10\.0\.0\.9\tweb\n$/);
  });

  it("on the network of this machine holds the machine's own lines", () => {
    const dir = mkdtempSync(join(tmpdir(), 'knapsack-hosts-'));
    const path = join(dir, 'hosts');
    try {
      writeFileSync(path, '192.0.2.1\tbox\n');
      const text = hostHostsFile({ hostname: 'web', hostAliases }, path);
      assert.match(
        text,
        /^# Kubernetes-managed hosts file \(host network\)\.\n192\.0\.2\.1\tbox\n\n# Entries added/,
      );
      assert.doesNotMatch(text, /web/);
    } finally {
      rmSync(dir, { recursive: true });
    }
    assert.match(hostHostsFile({ hostname: 'web', hostAliases: [] }, path), /\n127\.0\.0\.1\tlocalhost\n$/);
  });
});
