import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isNews as isNewsOfDeployment } from '../../src/cluster/deployment-status.ts';
import { isNews as isNewsOfSet } from '../../src/cluster/replica-set-decisions.ts';
import { StatusRest } from '../../src/cluster/status-rest.ts';
import { ManualClock } from '../../src/base/clock.ts';

describe('news of a status', () => {
  it('rests once, and is due when the rest is over, whatever has changed meanwhile', () => {
    const clock = new ManualClock(1000);
    const rest = new StatusRest(clock);
    const full = rest.left('a', { replicas: 0 }, { replicas: 1 }, false);
    assert.ok(full > 0);
    clock.advance(full - 1);
    assert.equal(rest.left('a', { replicas: 0 }, { replicas: 2 }, false), 1);
    clock.advance(1);
    assert.equal(rest.left('a', { replicas: 0 }, { replicas: 2 }, false), 0);
    assert.equal(rest.left('a', { replicas: 2 }, { replicas: 3 }, false), full, 'the next rests anew');
  });

  it('does not rest when somebody acts on it, and begins anew when there was none in between', () => {
    const clock = new ManualClock(1000);
    const rest = new StatusRest(clock);
    const full = rest.left('a', {}, { replicas: 1 }, false);
    assert.equal(rest.left('a', {}, { replicas: 1 }, true), 0);
    clock.advance(full - 1);
    assert.equal(rest.left('a', {}, { replicas: 1 }, false), full);
    assert.equal(rest.left('a', { replicas: 1 }, { replicas: 1 }, false), 0);
    clock.advance(full - 1);
    assert.equal(rest.left('a', { replicas: 1 }, { replicas: 2 }, false), full);
  });

  it('rests no longer because the clock was set back', () => {
    const clock = new ManualClock(10_000);
    const rest = new StatusRest(clock);
    const full = rest.left('a', {}, { replicas: 1 }, false);
    clock.advance(-5000);
    assert.equal(rest.left('a', {}, { replicas: 1 }, false), full);
  });

  it('is urgent when pods become ready or cease to be, or conditions change', () => {
    const failure = { type: 'ReplicaFailure', status: 'True' };
    assert.equal(isNewsOfSet({ replicas: 0 }, { replicas: 1, observedGeneration: 2 }), false);
    assert.equal(isNewsOfSet(undefined, { replicas: 1 }), false);
    assert.equal(isNewsOfSet({ replicas: 1 }, { replicas: 1, readyReplicas: 1 }), true);
    assert.equal(isNewsOfSet({ replicas: 1, availableReplicas: 1 }, { replicas: 1 }), true);
    assert.equal(isNewsOfSet({ replicas: 1 }, { replicas: 1, conditions: [failure] }), true);
    assert.equal(isNewsOfSet({ replicas: 1, terminatingReplicas: 1 }, { replicas: 1 }), true);

    const available = (status: string) => ({ type: 'Available', status });
    const progressing = { type: 'Progressing', status: 'False' };
    assert.equal(isNewsOfDeployment({}, { replicas: 1, unavailableReplicas: 1 }), false);
    assert.equal(
      isNewsOfDeployment({ conditions: [available('True')] }, { conditions: [available('False')] }),
      false,
    );
    assert.equal(isNewsOfDeployment({}, { conditions: [progressing] }), true);
    assert.equal(isNewsOfDeployment(undefined, { readyReplicas: 1 }), true);
  });
});
