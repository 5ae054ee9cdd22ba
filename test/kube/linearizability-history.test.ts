/** The judge must be able to say no: each kind of violation, found in a history that is good but for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { violations, type Acknowledged, type History, type Seen } from './linearizability-history.ts';

const seen = (version: number, key: string, value: string | null): Seen => ({ version, key, value });
const ack = (version: number, key: string, value: string | null, at = version): Acknowledged => ({
  ...seen(version, key, value),
  began: at - 0.5,
  ended: at,
});

const good: History = {
  acknowledged: [
    ack(2, 'counter', '1'),
    ack(3, 'object', 'a'),
    ack(4, 'counter', '2'),
    ack(5, 'object', null),
  ],
  reads: [
    { key: 'counter', version: 2, began: 2.1, ended: 2.2 },
    { key: 'counter', version: 4, began: 4.1, ended: 4.2 },
  ],
  segments: [
    {
      watcher: 'w',
      listed: { version: 2, objects: [seen(2, 'counter', '1')] },
      events: [seen(3, 'object', 'a'), seen(4, 'counter', '2'), seen(5, 'object', null)],
    },
  ],
  final: { version: 5, objects: [seen(4, 'counter', '2')] },
};
const [segment] = good.segments;
assert.ok(segment);
const withEvents = (events: readonly Seen[]): History => ({ ...good, segments: [{ ...segment, events }] });

test('a good history passes', () => assert.deepEqual(violations(good), []));

const bad: [string, History, RegExp][] = [
  [
    'an event is lost',
    withEvents(segment.events.filter(({ version }) => version !== 4)),
    /missed counter at 4/,
  ],
  [
    'an event is repeated',
    withEvents([...segment.events.slice(0, 2), ...segment.events.slice(1)]),
    /saw counter at 4 after 4/,
  ],
  ['events are reordered', withEvents(segment.events.toReversed()), /saw object at 3 after/],
  [
    'watchers disagree',
    withEvents(segment.events.map((e) => (e.version === 4 ? seen(4, 'counter', '9') : e))),
    /another counter=2/,
  ],
  [
    'an update is lost',
    {
      ...good,
      acknowledged: [...good.acknowledged, ack(6, 'counter', '2')],
      final: { version: 6, objects: [seen(6, 'counter', '2')] },
    },
    /counter went from 2 to 2 at 6/,
  ],
  [
    'a version goes back',
    { ...good, acknowledged: [...good.acknowledged, ack(1, 'object', 'b', 9)] },
    /written at 1 after 5/,
  ],
  [
    'a version is given twice',
    { ...good, acknowledged: [...good.acknowledged, ack(5, 'object', null, 5.1)] },
    /acknowledged twice/,
  ],
  [
    'a read is stale',
    { ...good, reads: [{ key: 'counter', version: 2, began: 4.1, ended: 4.2 }] },
    /read at 2 after 4/,
  ],
  [
    'a read finds nothing',
    { ...good, reads: [{ key: 'counter', version: undefined, began: 4.1, ended: 4.2 }] },
    /was not there/,
  ],
  [
    'an acknowledged write is lost',
    { ...good, segments: [], final: { version: 5, objects: [seen(2, 'counter', '1')] } },
    /counter is lost: 2/,
  ],
  ['an object vanishes', { ...good, segments: [], final: { version: 5, objects: [] } }, /counter is gone/],
  [
    'list and watch disagree',
    { ...good, final: { version: 5, objects: [seen(4, 'counter', '2'), seen(3, 'object', 'a')] } },
    /has object at undefined, the list at 3/,
  ],
  [
    'a list is stale',
    {
      ...good,
      segments: [
        {
          ...segment,
          listed: { version: 4, objects: [seen(2, 'counter', '1')] },
          events: [seen(5, 'object', null)],
        },
      ],
    },
    /stale by 4/,
  ],
];
for (const [what, history, expected] of bad) {
  test(`found: ${what}`, () => assert.match(violations(history).join('\n'), expected));
}
