import assert from 'node:assert/strict';
import { test } from 'node:test';
import { timestamp } from '../../src/api/object.ts';
import { readGcConfig } from '../../src/api/serving/config/deployment.ts';
import type { Configuration, Revision } from '../../src/api/serving/index.ts';
import { staleRevisions } from '../../src/serving/garbage-collector/stale.ts';

const hour = 3_600_000;
const now = 1000 * hour;

const configuration: Configuration = {
  apiVersion: 'serving.knative.dev/v1',
  kind: 'Configuration',
  metadata: { name: 'c' },
  status: { latestCreatedRevisionName: 'r-latest', latestReadyRevisionName: 'r-latest' },
};

function revision(
  name: string,
  ageHours: number,
  state = 'reserve',
  annotations: Record<string, string> = {},
): Revision {
  return {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Revision',
    metadata: {
      name,
      creationTimestamp: timestamp(now - ageHours * hour),
      labels: { 'serving.knative.dev/routingState': state },
      annotations: {
        'serving.knative.dev/routingStateModified': timestamp(now - ageHours * hour),
        ...annotations,
      },
    },
  };
}

const stale = (revisions: Revision[], data: Record<string, string>): string[] =>
  staleRevisions(configuration, revisions, readGcConfig(data), now).map(({ metadata }) => metadata.name);

test('old revisions in reserve go, oldest first, down to the least number', () => {
  const all = [revision('a', 100), revision('b', 90), revision('c', 80), revision('d', 1)];
  assert.deepEqual(stale(all, { 'min-non-active-revisions': '2' }), ['a', 'b']);
  assert.deepEqual(stale(all, { 'min-non-active-revisions': '0' }), ['a', 'b', 'c']);
  assert.deepEqual(stale(all, {}), []);
});

test('routed, kept and latest revisions stay', () => {
  const all = [
    revision('active', 100, 'active'),
    revision('pending', 100, 'pending'),
    revision('kept', 100, 'reserve', { 'serving.knative.dev/no-gc': 'true' }),
    revision('r-latest', 100),
  ];
  assert.deepEqual(stale(all, { 'min-non-active-revisions': '0' }), []);
});

test('beyond the most, age does not count', () => {
  const data = { 'min-non-active-revisions': '0', 'max-non-active-revisions': '1' };
  assert.deepEqual(stale([revision('a', 2), revision('b', 1)], data), ['a']);
  const disabled = { 'retain-since-create-time': 'disabled', 'retain-since-last-active-time': 'disabled' };
  assert.deepEqual(stale([revision('a', 900), revision('b', 800)], { ...data, ...disabled }), ['a']);
});
