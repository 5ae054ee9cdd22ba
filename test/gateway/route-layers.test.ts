import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { HostRule, RoutingUpdate } from '../../src/api/routing.ts';
import { RouteLayers } from '../../src/gateway/route-layers.ts';

const rule = (backend: string): HostRule => ({
  visibility: 'public',
  paths: [{ prefix: '/', splits: [{ backend, percent: 100 }] }],
});

function startLayers(count: number) {
  const snapshot = new Map<string, HostRule>();
  const gateway = {
    apply: ({ hosts = {} }: RoutingUpdate) => {
      for (const [name, value] of Object.entries(hosts)) {
        if (value) snapshot.set(name, value);
        else snapshot.delete(name);
      }
      return Promise.resolve();
    },
  };
  const layers = new RouteLayers(gateway);
  return { snapshot, layers: Array.from({ length: count }, () => layers.add()) };
}

test('a host belongs to the first layer that has it, and comes back to the next one', async () => {
  const { snapshot, layers } = startLayers(2);
  const [first, second] = layers;
  await second?.apply({ hosts: { a: rule('second') } });
  assert.deepEqual(snapshot.get('a'), rule('second'));
  await first?.apply({ hosts: { a: rule('first') } });
  await second?.apply({ hosts: { a: rule('changed') } });
  assert.deepEqual(snapshot.get('a'), rule('first'));
  await first?.apply({ hosts: { a: null } });
  assert.deepEqual(snapshot.get('a'), rule('changed'));
  await second?.apply({ hosts: { a: null } });
  assert.equal(snapshot.size, 0);
});

test('property: the snapshot is always that of the first layer with the host', async () => {
  const step = fc.record({
    layer: fc.integer({ min: 0, max: 2 }),
    host: fc.constantFrom('a', 'b', '*'),
    set: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const { snapshot, layers } = startLayers(3);
      const wanted = [0, 1, 2].map(() => new Map<string, HostRule>());
      for (const [i, { layer, host, set }] of steps.entries()) {
        const value = set ? rule(`${layer}-${i}`) : null;
        if (value) wanted[layer]?.set(host, value);
        else wanted[layer]?.delete(host);
        await layers[layer]?.apply({ hosts: { [host]: value } });
        for (const name of ['a', 'b', '*']) {
          const expected = wanted.map((own) => own.get(name)).find((found) => found !== undefined);
          assert.deepEqual(snapshot.get(name), expected);
        }
      }
    }),
  );
});
