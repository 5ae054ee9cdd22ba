import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PodTemplateSpec } from '../../src/api/kubernetes/pod-defaults.ts';
import type { ControllerRevision } from '../../src/api/kubernetes/workloads.ts';
import { revisionData, templateOf } from '../../src/cluster/resources/controller-revision.ts';
import { findEqual } from '../../src/cluster/revision-decisions.ts';

describe('revisions of a template', () => {
  const template: PodTemplateSpec = {
    metadata: { name: '', labels: { b: '2', a: '1' } },
    spec: { containers: [{ name: 'app', image: 'example.com/app:1', env: [{ value: 'v', name: 'n' }] }] },
  };
  const revision = (number: number, data: { [key: string]: unknown }): ControllerRevision => ({
    apiVersion: 'apps/v1',
    kind: 'ControllerRevision',
    metadata: { name: `r${number}` },
    revision: number,
    data,
  });

  it('are the bytes that clients in Go make of it', () => {
    const { name: _, ...metadata } = template.metadata ?? { name: '' };
    const text = JSON.stringify(revisionData({ ...template, metadata: metadata as { name: string } }));
    assert.equal(
      text,
      '{"spec":{"template":{"$patch":"replace",' +
        '"metadata":{"creationTimestamp":null,"labels":{"a":"1","b":"2"}},' +
        '"spec":{"containers":[{"env":[{"name":"n","value":"v"}],"image":"example.com/app:1","name":"app"}]}}}}',
    );
  });

  it('are found again, also those that were kept in another form', () => {
    const kept = revision(1, revisionData(template));
    const old = revision(2, { spec: { template: { ...template, $patch: 'replace' } } });
    const other = revision(3, revisionData({ ...template, spec: { containers: [] } }));
    assert.equal(findEqual([kept, other], template), kept);
    assert.equal(findEqual([old, other], template), old);
    assert.equal(findEqual([other], template), undefined);
    assert.deepEqual(templateOf(kept), template);
  });
});
