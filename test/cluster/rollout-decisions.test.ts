import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import type { Deployment, ReplicaSet } from '../../src/api/kubernetes/workloads.ts';
import {
  desiredAnnotation,
  findNewSet,
  maxAnnotation,
  planRollout,
  replicasOf,
  rolloutBounds,
} from '../../src/cluster/rollout-decisions.ts';
import { makeReplicaSet } from '../../src/cluster/resources/replica-set.ts';
import { makeDeployment } from './support.ts';

interface Given {
  readonly replicas: number;
  readonly available?: number;
  /** What the Deployment wanted when the set was last scaled. */
  readonly desired?: number;
  readonly max?: number;
}

/** The sets of a Deployment, the newest first: each has another image. */
function setsOf(deployment: Deployment, given: readonly Given[]): ReplicaSet[] {
  return given.map(({ replicas, available = replicas, desired, max }, i) => {
    const image = i === 0 ? 'example.com/app:1' : `example.com/app:old-${i}`;
    const { template: _template, ...spec } = deployment.spec ?? {};
    const made = makeReplicaSet(
      makeDeployment('web', { ...spec, image }),
      replicas,
      BigInt(given.length - i),
    );
    return {
      ...made,
      metadata: {
        ...made.metadata,
        creationTimestamp: new Date(Date.UTC(2026, 0, 100 - i)).toISOString(),
        annotations: {
          ...made.metadata.annotations,
          ...(desired === undefined ? {} : { [desiredAnnotation]: String(desired) }),
          ...(max === undefined ? {} : { [maxAnnotation]: String(max) }),
        },
      },
      status: { replicas, availableReplicas: available },
    };
  });
}

/** Replicas by set, the newest first, after the plan is carried out. */
function planned(deployment: Deployment, given: readonly Given[]): number[] {
  const sets = setsOf(deployment, given);
  const [current, ...old] = sets;
  assert.equal(findNewSet(deployment, sets), current, 'the first is the new one');
  const plan = planRollout(deployment, current, old);
  return sets.map((set) => plan.get(set.metadata.name) ?? replicasOf(set));
}

const strategy = (maxSurge: number | string, maxUnavailable: number | string) => ({
  type: 'RollingUpdate',
  rollingUpdate: { maxSurge, maxUnavailable },
});

describe('a step of a rollout', () => {
  it('does not count pods as available that an old set is about to lose', () => {
    // The set was told to shrink from 4 to 3, and its status does not know it yet.
    const deployment = makeDeployment('web', { replicas: 4, strategy: strategy('25%', '25%') });
    assert.deepEqual(
      planned(deployment, [
        { replicas: 2, available: 1 },
        { replicas: 3, available: 4 },
      ]),
      [2, 2],
    );
  });
});

describe('scaling in the midst of a rollout', () => {
  it('shares new pods in proportion', () => {
    // 5 of the new, 8 of the old: the example of the Kubernetes documentation.
    const deployment = makeDeployment('web', { replicas: 15, strategy: strategy(3, 2) });
    const sizes = planned(deployment, [
      { replicas: 5, available: 0, desired: 10, max: 13 },
      { replicas: 8, desired: 10, max: 13 },
    ]);
    assert.deepEqual(sizes, [7, 11]);
  });

  it('takes pods away in proportion', () => {
    const deployment = makeDeployment('web', { replicas: 5, strategy: strategy(3, 2) });
    const sizes = planned(deployment, [
      { replicas: 5, desired: 10, max: 13 },
      { replicas: 8, desired: 10, max: 13 },
    ]);
    assert.deepEqual(sizes, [3, 5]);
  });

  it('gives all to the only set with pods', () => {
    const deployment = makeDeployment('web', { replicas: 7, strategy: strategy(1, 0) });
    assert.deepEqual(
      planned(deployment, [
        { replicas: 3, desired: 3 },
        { replicas: 0, desired: 2 },
      ]),
      [7, 0],
    );
  });

  it('goes to zero with every set', () => {
    const deployment = makeDeployment('web', { replicas: 0, strategy: strategy(1, 0) });
    const given = { desired: 10, max: 11 };
    assert.deepEqual(
      planned(deployment, [
        { replicas: 4, ...given },
        { replicas: 7, ...given },
      ]),
      [0, 0],
    );
  });

  it('notes what is wanted even where the size stays', () => {
    const deployment = makeDeployment('web', { replicas: 4, strategy: strategy(1, 0) });
    const sets = setsOf(deployment, [
      { replicas: 1, desired: 5, max: 6 },
      { replicas: 4, desired: 5, max: 6 },
    ]);
    const [current, ...old] = sets;
    const plan = planRollout(deployment, current, old);
    assert.equal(plan.size, 2, 'a set that is not told would look as if it were still to be scaled');
  });

  it('changes the sum to what a rollout may have, and no set below zero', () => {
    const given = fc.array(fc.record({ replicas: fc.nat(30) }), { minLength: 2, maxLength: 5 });
    const spec = fc.record({
      replicas: fc.nat(40),
      before: fc.integer({ min: 1, max: 40 }),
      surge: fc.nat(10),
    });
    fc.assert(
      fc.property(given, spec, (states, { replicas, before, surge }) => {
        fc.pre(replicas !== before && states.filter((state) => state.replicas > 0).length > 1);
        const deployment = makeDeployment('web', { replicas, strategy: strategy(surge, 1) });
        const sizes = planned(
          deployment,
          states.map((state) => ({ ...state, available: 0, desired: before, max: before + surge })),
        );
        assert.ok(sizes.every((size) => size >= 0));
        const most = replicas === 0 ? 0 : replicas + rolloutBounds(deployment).maxSurge;
        assert.equal(
          sizes.reduce((sum, size) => sum + size, 0),
          most,
        );
        states.forEach((state, i) => {
          if (state.replicas === 0) assert.equal(sizes[i], 0, 'a set without pods gets none');
        });
      }),
    );
  });
});

describe('a rollout', () => {
  it('keeps within its bounds at every step, and comes to its end', () => {
    const spec = fc.record({
      replicas: fc.integer({ min: 1, max: 12 }),
      surge: fc.nat(4),
      unavailable: fc.nat(4),
      old: fc.array(fc.nat(8), { minLength: 1, maxLength: 3 }),
    });
    fc.assert(
      fc.property(spec, ({ replicas, surge, unavailable, old }) => {
        const deployment = makeDeployment('web', { replicas, strategy: strategy(surge, unavailable) });
        const { maxSurge, maxUnavailable } = rolloutBounds(deployment);
        const note = { desired: replicas, max: replicas + maxSurge };
        let sizes = [0, ...old];
        const start = sizes.reduce((sum, size) => sum + size, 0);
        for (let step = 0; step < 100; step++) {
          const next = planned(
            deployment,
            sizes.map((size) => ({ replicas: size, ...note })),
          );
          const total = next.reduce((sum, size) => sum + size, 0);
          assert.ok(total <= Math.max(start, replicas + maxSurge), 'no more than may surge');
          // Pods that come are not available at once.
          const available = next.reduce((sum, size, i) => sum + Math.min(size, sizes[i] ?? 0), 0);
          assert.ok(
            available >= Math.min(replicas - maxUnavailable, start) || available >= start,
            'no fewer available than allowed',
          );
          if (next.join() === sizes.join()) break;
          sizes = next;
        }
        assert.deepEqual(sizes, [replicas, ...old.map(() => 0)]);
      }),
    );
  });
});
