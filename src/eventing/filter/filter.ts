/** Which events a trigger wants: the dialects of the CloudEvents Subscriptions API that Knative's Trigger has. Pure. */
import type { Attributes } from '../cloudevents/event.ts';

/** One entry of `spec.filters`. Exactly one member is set. */
export interface FilterExpression {
  readonly exact?: { readonly [attribute: string]: string };
  readonly prefix?: { readonly [attribute: string]: string };
  readonly suffix?: { readonly [attribute: string]: string };
  readonly all?: readonly FilterExpression[];
  readonly any?: readonly FilterExpression[];
  readonly not?: FilterExpression;
}

export interface TriggerFilters {
  readonly filter?: { readonly attributes?: { readonly [attribute: string]: string } };
  readonly filters?: readonly FilterExpression[];
}

export type Filter = (attributes: Attributes) => boolean;

/** Attributes that count as present in every event, with an empty value where the event has none. */
const alwaysPresent = new Set(['subject', 'time', 'dataschema', 'datacontenttype']);

/** `filters` hides `filter`; all of them must match. Neither: every event. */
export function makeFilter({ filter, filters }: TriggerFilters): Filter {
  if (filters && filters.length > 0) return every(filters.map(makeExpression));
  const wanted = Object.entries(filter?.attributes ?? {});
  return (attributes) =>
    wanted.every(([name, value]) => {
      const text = valueOf(attributes, name);
      if (text === undefined) return false;
      // "" asks for presence with any value (Trigger API, TriggerAnyFilter).
      return value === '' ? text !== '' : text === value;
    });
}

function makeExpression(expression: FilterExpression): Filter {
  const { exact, prefix, suffix, all, any, not } = expression;
  if (exact) return matches(exact, (text, wanted) => text === wanted);
  if (prefix) return matches(prefix, (text, wanted) => text.startsWith(wanted));
  if (suffix) return matches(suffix, (text, wanted) => text.endsWith(wanted));
  if (all) return every(all.map(makeExpression));
  if (any) {
    const filters = any.map(makeExpression);
    return (attributes) => filters.some((filter) => filter(attributes));
  }
  if (not) {
    const filter = makeExpression(not);
    return (attributes) => !filter(attributes);
  }
  // An empty entry says nothing about the event.
  return () => true;
}

function every(filters: readonly Filter[]): Filter {
  return (attributes) => filters.every((filter) => filter(attributes));
}

function matches(
  wanted: { readonly [attribute: string]: string },
  test: (text: string, wanted: string) => boolean,
): Filter {
  const entries = Object.entries(wanted);
  return (attributes) =>
    entries.every(([name, value]) => {
      const text = valueOf(attributes, name);
      return text !== undefined && test(text, value);
    });
}

function valueOf(attributes: Attributes, name: string): string | undefined {
  const value = Object.hasOwn(attributes, name) ? attributes[name] : undefined;
  if (value !== undefined) return String(value);
  return alwaysPresent.has(name) ? '' : undefined;
}
