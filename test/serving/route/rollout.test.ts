import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import type { Ingress } from '../../../src/api/networking/index.ts';
import { defaultServingConfig } from '../../../src/api/serving/config/index.ts';
import type { Route } from '../../../src/api/serving/index.ts';
import { makeIngress } from '../../../src/serving/route/resources/make.ts';
import { stepRollout } from '../../../src/serving/route/rollout.ts';
import { groupByTag, type Traffic } from '../../../src/serving/route/traffic.ts';

const start = 1_000_000;

function makeRoute(duration: string, serving: string): Route {
  return {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Route',
    metadata: {
      name: 'r',
      namespace: 'default',
      annotations: { 'serving.knative.dev/rollout-duration': duration },
    },
    status: { traffic: [{ revisionName: serving, latestRevision: true, percent: 100 }] },
  };
}

function latest(revisionName: string, percent = 100): Traffic {
  const target = {
    revisionName,
    percent,
    tag: '',
    latestRevision: true,
    protocol: 'http1' as const,
    configurationName: 'c',
  };
  return { targets: [target], byTag: groupByTag([target]) };
}

/** The ingress as the gateway leaves it: everything served. */
function served(route: Route, traffic: Traffic, state?: string): Ingress {
  const ingress = makeIngress(route, traffic, defaultServingConfig, new Set(), state);
  const status = { observedGeneration: 1, conditions: [{ type: 'Ready', status: 'True' as const }] };
  return { ...ingress, metadata: { ...ingress.metadata, generation: 1 }, status };
}

const shares = (traffic: Traffic): string[] =>
  (traffic.byTag.get('') ?? []).map(({ revisionName, percent }) => `${revisionName} ${percent}`);

describe('stepRollout', () => {
  test('without duration traffic moves at once', () => {
    const route = makeRoute('0s', 'a');
    const step = stepRollout(route, latest('b'), served(route, latest('a')), defaultServingConfig, start);
    assert.deepEqual([shares(step.traffic), step.inProgress], [['b 100'], false]);
  });

  test('a first revision has nobody to take traffic from', () => {
    const route = makeRoute('60s', 'a');
    const step = stepRollout(route, latest('a'), served(route, latest('a')), defaultServingConfig, start);
    assert.equal(step.inProgress, false);
  });

  test('starts with one percent, goes in equal steps, and ends', () => {
    const route = makeRoute('10s', 'a');
    const wanted = latest('b');
    let step = stepRollout(route, wanted, served(route, latest('a')), defaultServingConfig, start);
    assert.deepEqual(shares(step.traffic), ['a 99', 'b 1']);
    const seen: string[] = [];
    let now = start + 500;
    for (let i = 0; i < 30 && step.inProgress; i++) {
      step = stepRollout(route, wanted, served(route, step.traffic, step.state), defaultServingConfig, now);
      seen.push(shares(step.traffic).join(', '));
      now = step.nextAt ?? now;
    }
    assert.deepEqual(seen.slice(0, 3), ['a 99, b 1', 'a 88, b 12', 'a 77, b 23']);
    assert.equal(seen.at(-1), 'b 100');
    assert.ok(now - start <= 11_000, `${now - start} ms`);
  });

  test('does not begin anew while the route still tells of the last step', () => {
    const route = makeRoute('10s', 'a');
    route.status = {
      traffic: [
        { revisionName: 'a', latestRevision: true, percent: 14 },
        { revisionName: 'b', latestRevision: true, percent: 86 },
      ],
    };
    const done = served(route, latest('b'));
    const same = stepRollout(route, latest('b'), done, defaultServingConfig, start);
    assert.deepEqual([shares(same.traffic), same.inProgress], [['b 100'], false]);
    const newer = stepRollout(route, latest('c'), done, defaultServingConfig, start);
    assert.deepEqual(shares(newer.traffic), ['b 99', 'c 1']);
  });

  test('a newer revision takes over from the one that is being rolled out', () => {
    const route = makeRoute('60s', 'a');
    const first = stepRollout(route, latest('b'), served(route, latest('a')), defaultServingConfig, start);
    const ingress = served(route, first.traffic, first.state);
    const second = stepRollout(route, latest('c'), ingress, defaultServingConfig, start + 1000);
    const all = shares(second.traffic);
    assert.equal(all.at(-1), 'c 1');
    assert.ok(all.length >= 2);
  });

  test('shares always sum to the whole', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 100 }),
        fc.integer({ min: 1, max: 3600 }),
        fc.array(fc.nat(90_000), { maxLength: 40 }),
        (percent, seconds, pauses) => {
          const route = makeRoute(`${seconds}s`, 'a');
          let step = stepRollout(
            route,
            latest('b', percent),
            served(route, latest('a', percent)),
            defaultServingConfig,
            start,
          );
          let now = start;
          for (const pause of pauses) {
            now += pause;
            if (!step.inProgress) break;
            step = stepRollout(
              route,
              latest('b', percent),
              served(route, step.traffic, step.state),
              defaultServingConfig,
              now,
            );
            const sum = (step.traffic.byTag.get('') ?? []).reduce((all, target) => all + target.percent, 0);
            assert.equal(sum, percent);
          }
        },
      ),
    );
  });
});
