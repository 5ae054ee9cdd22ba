/** Thousands of random writes by several managers, judged by Kubernetes' own structured-merge-diff. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { isMembers } from '../../../../../src/api/structural-members.ts';
import { apply } from '../../../../../src/kube/server/service/ownership/apply.ts';
import { compare } from '../../../../../src/kube/server/service/ownership/compare.ts';
import { pathText, type FieldSet } from '../../../../../src/kube/server/service/ownership/field-set.ts';
import { fieldTypeOf } from '../../../../../src/kube/server/service/ownership/field-type.ts';
import { itemElement } from '../../../../../src/kube/server/service/ownership/list-items.ts';
import type { Manager, ManagerKey } from '../../../../../src/kube/server/service/ownership/managers.ts';
import { afterUpdate } from '../../../../../src/kube/server/service/ownership/update.ts';
import { askOracle, oracleMissing, type OracleEntry, type OracleRequest } from './oracle/oracle.ts';
import { rootOracleSchema, rootSchema } from './oracle/schema.ts';

const steps = 6000;
/** Steps on one object before a new one begins. */
const life = 12;

const root = fieldTypeOf(rootSchema);
type Members = Record<string, unknown>;

/** Random numbers that a seed repeats (mulberry32). */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

class Maker {
  readonly #random: (below: number) => number;
  /** One in how many containers is empty. */
  readonly #empty = 12;

  constructor(random: (below: number) => number) {
    this.#random = random;
  }

  word(): string {
    return 'abcd'.charAt(this.#random(4));
  }

  #subset<T>(make: (key: string) => T): Record<string, T> {
    if (this.#random(this.#empty) === 0) return {};
    const keys = ['a', 'b', 'c', 'd'].filter(() => this.#random(2) === 0);
    return Object.fromEntries((keys.length > 0 ? keys : ['a']).map((key) => [key, make(key)]));
  }

  labels = (): Members => this.#subset(() => this.word());

  words = (): string[] => this.shuffled(Object.keys(this.#subset(() => 0)));

  shuffled<T>(list: T[]): T[] {
    return list
      .map((item) => [this.#random(1000), item] as const)
      .sort(([a], [b]) => a - b)
      .map(([, item]) => item);
  }

  some(members: Readonly<Record<string, () => unknown>>, oneIn = 2): Members {
    const made: Members = {};
    for (const [name, make] of Object.entries(members)) if (this.#random(oneIn) === 0) made[name] = make();
    return made;
  }

  number = (): number => this.#random(4);

  pair = (): Members =>
    this.some({
      a: () => this.word(),
      b: this.number,
      inner: () => this.some({ x: () => this.word(), y: () => this.word() }),
    });

  items = (): Members[] =>
    this.words().map((name) => ({
      name,
      ...this.some({ value: this.number, tags: this.words, pair: this.pair, labels: this.labels }),
    }));

  ports = (): Members[] => {
    const found = new Map<string, Members>();
    for (const _ of this.words()) {
      const port = {
        port: 80 + this.#random(3),
        ...this.some({ protocol: () => (this.#random(2) ? 'TCP' : 'UDP'), name: () => this.word() }),
      };
      found.set(JSON.stringify([port.port, (port as Members)['protocol'] ?? 'TCP']), port);
    }
    return [...found.values()];
  };

  free = (depth = 2): unknown => {
    switch (this.#random(depth > 0 ? 5 : 2)) {
      case 0:
        return this.word();
      case 1:
        return this.number();
      case 2:
        return this.words();
      default:
        return this.#subset(() => this.free(depth - 1));
    }
  };

  object(oneIn: number): Members {
    return this.some(
      {
        text: () => this.word(),
        number: this.number,
        labels: this.labels,
        whole: this.labels,
        pair: this.pair,
        wholePair: this.pair,
        words: this.words,
        numbers: () => this.words().map((word) => word.charCodeAt(0)),
        list: this.words,
        pairs: () => this.#subset(() => this.pair()),
        items: this.items,
        ports: this.ports,
        free: () => this.free(),
      },
      oneIn,
    );
  }

  /** Another object, which shares some of its parts with the given one. */
  changed(object: Members): Members {
    const other = this.object(2);
    const next: Members = {};
    for (const key of new Set([...Object.keys(object), ...Object.keys(other)])) {
      const value = this.#random(3) > 0 ? (object[key] ?? other[key]) : other[key];
      if (value !== undefined) next[key] = value;
    }
    return next;
  }
}

const time = '2024-01-01T00:00:00Z';

function keyOf(manager: string): ManagerKey {
  return { manager, operation: manager.startsWith('apply') ? 'Apply' : 'Update', apiVersion: 'v1' };
}

interface Outcome {
  readonly object?: unknown;
  readonly managers?: Readonly<Record<string, OracleEntry>>;
  readonly conflicts?: readonly string[];
}

function entriesOf(managers: readonly Manager[]): Record<string, OracleEntry> {
  return Object.fromEntries(
    managers.map(({ manager, operation, fieldsV1 }) => [
      manager,
      { applied: operation === 'Apply', set: fieldsV1 },
    ]),
  );
}

/**
 * Associative lists by their keys, since their order changed between versions of the judge, and without the nulls that
 * stand for emptied containers.
 */
function normal(value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = (value as unknown[]).filter((item) => item !== null).map(normal);
    return items.every((item) => isMembers(item) && ('name' in item || 'port' in item))
      ? items.sort((a, b) => (itemText(a) < itemText(b) ? -1 : 1))
      : items;
  }
  if (!isMembers(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== null)
      .map(([key, member]) => [key, sortedSet(key, normal(member))]),
  );
}

/** What tells an item of such a list apart, as text to sort by. */
function itemText(item: unknown): string {
  const list = root.map?.fields.get(isMembers(item) && 'port' in item ? 'ports' : 'items')?.type.list;
  return list ? itemElement(list, item) : '';
}

function sortedSet(key: string, value: unknown): unknown {
  return ['words', 'numbers', 'tags'].includes(key) && Array.isArray(value)
    ? (value as unknown[]).toSorted((a, b) => (String(a) < String(b) ? -1 : 1))
    : value;
}

function ours(request: OracleRequest, managers: readonly Manager[]): Outcome & { next: readonly Manager[] } {
  const key = keyOf(request.manager);
  if (!request.apply) {
    const next = afterUpdate(managers, compare(root, request.live, request.object), key, time);
    return { object: request.object, managers: entriesOf(next), next };
  }
  const ignored: FieldSet = {};
  const { live, object: config, force } = request;
  const result = apply({ type: root, live, config, managers, key, ignored, force, time });
  if (result.conflicts) {
    const texts = result.conflicts.map(
      ({ owner, path }) => `conflict with "${owner.manager}": ${pathText(path)}`,
    );
    return { conflicts: texts.sort(), next: managers };
  }
  return { object: result.object, managers: entriesOf(result.managers), next: result.managers };
}

test('random writes end as they do in Go', { skip: oracleMissing() ?? false }, (t) => {
  const seed = Number(process.env['SEED'] ?? randomInt(2 ** 31));
  t.diagnostic(`seed ${seed}`);
  const random = randomOf(seed);
  const maker = new Maker(random);
  const requests: OracleRequest[] = [];
  const outcomes: Outcome[] = [];
  let live: unknown = {};
  let managers: readonly Manager[] = [];
  for (let step = 0; step < steps; step++) {
    if (step % life === 0) [live, managers] = [{}, []];
    const applies = random(3) > 0;
    const manager = `${applies ? 'apply' : 'update'}-${random(3)}`;
    const object = applies ? maker.object(3) : maker.changed(live as Members);
    const request = {
      live,
      object,
      managers: entriesOf(managers),
      manager,
      apply: applies,
      force: random(3) > 0,
    };
    const { next, ...outcome } = ours(request, managers);
    requests.push(request);
    outcomes.push(outcome);
    managers = next;
    if (!outcome.conflicts) live = outcome.object ?? {};
  }
  const answers = askOracle(rootOracleSchema, requests);
  assert.equal(answers.length, steps);
  let conflicts = 0;
  for (const [i, answer] of answers.entries()) {
    const found = outcomes[i] ?? {};
    const context = `seed ${seed}, step ${i}: ${JSON.stringify(requests[i])}`;
    assert.equal(answer.error, undefined, context);
    assert.deepEqual(found.conflicts, answer.conflicts?.toSorted(), context);
    if (answer.conflicts) conflicts++;
    assert.deepEqual(normal(found.object ?? {}), normal(answer.object ?? {}), context);
    // Text, so that the order of elements counts.
    assert.equal(JSON.stringify(byName(found.managers)), JSON.stringify(byName(answer.managers)), context);
  }
  assert.ok(conflicts > steps / 50, 'conflicts were met');
});

function byName(managers: Readonly<Record<string, OracleEntry>> | undefined | null): unknown {
  return Object.entries(managers ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { applied, set }]) => [name, applied, set]);
}
