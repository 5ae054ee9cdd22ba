/** Faults that many kinds have, in the words of Kubernetes' field errors. */
import type { Issue } from '../resource.ts';

const notNegativeWords = 'must be greater than or equal to 0';

/** A number that must not be below zero; an absent one is fine. */
export function notNegative(value: number | undefined, path: string): Issue[] {
  if (value === undefined || value >= 0) return [];
  return [{ type: 'Invalid', path, value, detail: notNegativeWords }];
}

export function notSupported(value: unknown, path: string, supported: readonly string[]): Issue {
  const names = supported.map((name) => JSON.stringify(name)).join(', ');
  return { type: 'NotSupported', path, value, detail: `supported values: ${names}` };
}

/** A value of a closed list; an absent one is fine. */
export function oneOf(value: string | undefined, path: string, supported: readonly string[]): Issue[] {
  return value === undefined || supported.includes(value) ? [] : [notSupported(value, path, supported)];
}

export function immutable(value: unknown, path: string): Issue {
  return { type: 'Invalid', path, value, detail: 'field is immutable' };
}

const percentForm = /^\d+%$/;
const percentWords =
  "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

/** A count that is not negative, or a percentage. */
export function countOrPercent(value: number | string | undefined, path: string): Issue[] {
  if (value === undefined) return [];
  if (typeof value === 'number') return notNegative(value, path);
  return percentForm.test(value) ? [] : [{ type: 'Invalid', path, value, detail: percentWords }];
}

/** A percentage of more than the whole. */
export function atMostAll(value: number | string | undefined, path: string): Issue[] {
  if (typeof value !== 'string' || !percentForm.test(value) || Number.parseInt(value, 10) <= 100) return [];
  return [{ type: 'Invalid', path, value, detail: 'must not be greater than 100%' }];
}

/** The number of a count or the percentage: zero of either is zero. */
export function numberOf(value: number | string | undefined): number {
  return typeof value === 'number' ? value : Number.parseInt(value ?? '0', 10) || 0;
}
