import assert from 'node:assert/strict';
import { it } from 'node:test';
import { resources } from '../../../src/api/registry.ts';
import { podMetrics } from '../../../src/api/kubernetes/metrics.ts';
import { ApiCatalog } from '../../../src/kube/server/catalog.ts';
import { makeResourceList } from '../../../src/kube/server/discovery.ts';

it('resources tell a hash of the version that they are stored in, as Kubernetes derives it', () => {
  const catalog = new ApiCatalog(resources, new Map([[podMetrics, ['get', 'list']]]));
  const hashes = new Map<string, string | undefined>();
  for (const groupVersion of catalog.groups.flatMap(({ versions }) => versions)) {
    const list = makeResourceList(catalog, groupVersion) as {
      resources: { name: string; storageVersionHash?: string }[];
    };
    for (const { name, storageVersionHash } of list.resources) {
      hashes.set(`${groupVersion.apiVersion}/${name}`, storageVersionHash);
    }
  }
  assert.equal(hashes.get('v1/pods'), 'xPOwRZ+Yhw8=');
  assert.equal(hashes.get('v1/pods/status'), undefined);
  assert.equal(hashes.get('apps/v1/deployments'), '8aSe+NMegvE=');
  assert.equal(hashes.get('events.k8s.io/v1/events'), hashes.get('v1/events'));
  assert.ok(hashes.has('metrics.k8s.io/v1beta1/pods'));
  assert.equal(hashes.get('metrics.k8s.io/v1beta1/pods'), undefined);
});
