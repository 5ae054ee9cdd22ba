import assert from 'node:assert/strict';
import { it } from 'node:test';
import { described, describedFields } from '../../../src/api/kubernetes/descriptions.ts';
import { kubernetesFacts, kubernetesSchema } from '../../../src/api/kubernetes/schemas.ts';
import { resources } from '../../../src/api/registry.ts';
import type { Schema } from '../../../src/api/schema.ts';

it('descriptions speak of types and fields that exist', () => {
  // One entry may describe several types that differ in a field: each field must exist in one of them.
  const byFields = new Map<readonly string[], string[]>();
  for (const { type, fields } of describedFields()) {
    const key = [...byFields.keys()].find((known) => known.join() === fields.join()) ?? fields;
    byFields.set(key, [...(byFields.get(key) ?? []), type]);
  }
  for (const [fields, types] of byFields) {
    for (const type of types) assert.ok(kubernetesFacts[type], `there is no type ${type}`);
    for (const field of fields) {
      assert.ok(
        types.some((type) => kubernetesFacts[type]?.[field] !== undefined),
        `${types.join(', ')} have no field ${field}`,
      );
    }
  }
});

it('every field of every kind that is served has a description', () => {
  const silent: string[] = [];
  const seen = new Set<string>();
  const walk = (type: string): void => {
    if (seen.has(type)) return;
    seen.add(type);
    const schema = described(type, kubernetesSchema(type));
    if (!schema.description) silent.push(type);
    for (const [name, property] of Object.entries(schema.properties ?? {})) {
      if (!property.description) silent.push(`${type}.${name}`);
      follow(property);
    }
  };
  const follow = (schema: Schema): void => {
    if (schema.$ref) walk(schema.$ref);
    if (schema.items) follow(schema.items);
    if (schema.additionalProperties) follow(schema.additionalProperties);
  };
  for (const def of resources) follow(def.schema);
  // Sources of volumes that no node here can mount are named, not explained.
  const unserved =
    /^core\.v1\.(AWSElastic|Azure|CSI|Ceph|Cinder|FC|Flex|Flocker|GCE|Glusterfs|ISCSI|Photon|Portworx|Quobyte|RBD|ScaleIO|StorageOS|Vsphere)/;
  assert.deepEqual(
    silent.filter((path) => !unserved.test(path)),
    [],
  );
});
