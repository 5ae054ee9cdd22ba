/**
 * Faults in the wording of Knative's webhooks (knative.dev/pkg/apis `FieldError`): `<message>: <paths>`, then details on
 * the next line. A fault is carried as an {@link Issue} whose detail is the message with its details.
 */
import type { Issue } from '../resource.ts';

/** `a.b` + `[0]` → `a.b[0]`, `a` + `b` → `a.b`, '' + `b` → `b`. */
export function join(parent: string, child: string | number): string {
  if (typeof child === 'number') return `${parent}[${child}]`;
  if (!parent || child.startsWith('[')) return parent + child;
  return `${parent}.${child}`;
}

function issue(type: Issue['type'], detail: string, ...paths: string[]): Issue {
  return { type, path: paths.toSorted().join(', '), detail };
}

/** Any message of its own. `details` goes on the next line. */
export function fault(message: string, path: string, details?: string): Issue {
  return issue('Invalid', details ? `${message}\n${details}` : message, path);
}

export function missingField(...paths: string[]): Issue {
  return issue('Required', 'missing field(s)', ...paths);
}

export function disallowedField(...paths: string[]): Issue {
  return issue('Forbidden', 'must not set the field(s)', ...paths);
}

export function missingOneOf(...paths: string[]): Issue {
  return issue('Required', 'expected exactly one, got neither', ...paths);
}

export function multipleOneOf(...paths: string[]): Issue {
  return issue('Forbidden', 'expected exactly one, got both', ...paths);
}

export function invalidValue(value: unknown, path: string, details?: string): Issue {
  return fault(`invalid value: ${String(value)}`, path, details);
}

export function invalidKey(key: string, path: string, details?: string): Issue {
  return fault(`invalid key name ${JSON.stringify(key)}`, path, details);
}

export function outOfBounds(value: unknown, low: unknown, high: unknown, path: string): Issue {
  return fault(`expected ${String(low)} <= ${String(value)} <= ${String(high)}`, path);
}

/** Equal messages merge into one entry with all their paths; entries and paths are sorted. */
export function wordFaults(issues: readonly Issue[]): string {
  const merged = new Map<string, Set<string>>();
  for (const { detail, path } of issues) {
    const paths = merged.get(detail) ?? new Set<string>();
    for (const one of path.split(', ')) paths.add(one);
    merged.set(detail, paths);
  }
  return [...merged]
    .map(([detail, paths]) => {
      const [message = '', ...details] = detail.split('\n');
      const head = `${message}: ${[...paths].sort().join(', ')}`;
      return details.length > 0 ? `${head}\n${details.join('\n')}` : head;
    })
    .sort()
    .join('\n');
}

/** The `denial` of a resource definition: the refusal of a validating webhook of that name. */
export function webhookDenial(webhook: string): (issues: readonly Issue[]) => string {
  return (issues) =>
    `admission webhook "${webhook}" denied the request: validation failed: ${wordFaults(issues)}`;
}
