import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { readDiscovery } from '../../scripts/lib/discovery.ts';
import { resourceTables, withTables } from '../../scripts/lib/resource-tables.ts';
import { TestPlatform } from '../support/platform.ts';

describe('docs/kubernetes.md', () => {
  const platform = new TestPlatform('process');
  before(() => platform.up());
  after(() => platform.dispose());

  it('lists what a running server says that it serves', async () => {
    const page = readFileSync(new URL('../../docs/kubernetes.md', import.meta.url), 'utf8');
    const tables = resourceTables(...(await readDiscovery(platform.info.kubeconfig)));
    assert.equal(page, withTables(page, tables), 'run `node scripts/docs-kubernetes.ts`');
  });
});
