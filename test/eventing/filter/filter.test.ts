import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeFilter, type TriggerFilters } from '../../../src/eventing/filter/filter.ts';

const attributes = {
  specversion: '1.0',
  id: '1',
  source: '/shop/eu',
  type: 'order.created',
  tenant: 'acme',
  empty: '',
  count: 7,
};

const table: [string, TriggerFilters, boolean][] = [
  ['no filter', {}, true],
  ['empty filter', { filter: {} }, true],
  ['empty attributes', { filter: { attributes: {} } }, true],
  ['equal', { filter: { attributes: { type: 'order.created' } } }, true],
  ['not equal', { filter: { attributes: { type: 'order' } } }, false],
  ['all must be equal', { filter: { attributes: { type: 'order.created', tenant: 'other' } } }, false],
  ['several', { filter: { attributes: { type: 'order.created', tenant: 'acme' } } }, true],
  ['case counts', { filter: { attributes: { type: 'Order.Created' } } }, false],
  ['any value', { filter: { attributes: { tenant: '' } } }, true],
  ['any value, attribute missing', { filter: { attributes: { missing: '' } } }, false],
  ['any value, attribute empty', { filter: { attributes: { empty: '' } } }, false],
  ['any value, subject missing', { filter: { attributes: { subject: '' } } }, false],
  ['attribute missing', { filter: { attributes: { missing: 'x' } } }, false],
  ['a number, as text', { filter: { attributes: { count: '7' } } }, true],
  ['a name of the object prototype', { filter: { attributes: { constructor: '' } } }, false],
  ['exact', { filters: [{ exact: { tenant: 'acme' } }] }, true],
  ['exact, several', { filters: [{ exact: { tenant: 'acme', type: 'x' } }] }, false],
  ['exact, empty subject counts as present', { filters: [{ exact: { subject: '' } }] }, true],
  ['exact, missing extension', { filters: [{ exact: { missing: '' } }] }, false],
  ['prefix', { filters: [{ prefix: { type: 'order.' } }] }, true],
  ['prefix, several', { filters: [{ prefix: { type: 'order.', source: '/x' } }] }, false],
  ['suffix', { filters: [{ suffix: { source: '/eu' } }] }, true],
  ['suffix, no', { filters: [{ suffix: { source: '/us' } }] }, false],
  ['all', { filters: [{ all: [{ exact: { tenant: 'acme' } }, { prefix: { type: 'order' } }] }] }, true],
  ['all, one no', { filters: [{ all: [{ exact: { tenant: 'acme' } }, { prefix: { type: 'x' } }] }] }, false],
  ['any', { filters: [{ any: [{ exact: { tenant: 'x' } }, { prefix: { type: 'order' } }] }] }, true],
  ['any, none', { filters: [{ any: [{ exact: { tenant: 'x' } }, { prefix: { type: 'x' } }] }] }, false],
  ['not', { filters: [{ not: { exact: { tenant: 'x' } } }] }, true],
  ['not, missing attribute', { filters: [{ not: { exact: { missing: 'x' } } }] }, true],
  ['not not', { filters: [{ not: { not: { exact: { tenant: 'x' } } } }] }, false],
  ['a list is an and', { filters: [{ exact: { tenant: 'acme' } }, { exact: { type: 'x' } }] }, false],
  [
    'filters hide filter',
    { filter: { attributes: { type: 'x' } }, filters: [{ exact: { tenant: 'acme' } }] },
    true,
  ],
  ['an empty list hides nothing', { filter: { attributes: { type: 'x' } }, filters: [] }, false],
];

for (const [what, filters, wanted] of table) {
  test(`${what}: ${wanted ? 'wanted' : 'not wanted'}`, () => {
    assert.equal(makeFilter(filters)(attributes), wanted);
  });
}
