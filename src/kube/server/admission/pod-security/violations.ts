/** How breaches of the Pod Security Standards are put. */
import type { Container, Pod } from '../../../../api/pods.ts';

export interface Violation {
  readonly reason: string;
  readonly detail: string;
}

type Spec = NonNullable<Pod['spec']>;

/** Every container of a pod: init, ordinary, ephemeral. */
export function containersOf(spec: Spec): Pick<Container, 'name' | 'securityContext' | 'ports'>[] {
  return [...(spec.initContainers ?? []), ...(spec.containers ?? []), ...(spec.ephemeralContainers ?? [])];
}

/** `container "a"`, `containers "a", "b"`. */
export function many(what: string, names: readonly string[]): string {
  return `${what}${names.length === 1 ? '' : 's'} ${quotedList(names)}`;
}

export function quotedList(words: readonly string[]): string {
  return words.map((word) => JSON.stringify(word)).join(', ');
}

/** `reason (detail), reason (detail)`. */
export function describeViolations(violations: readonly Violation[]): string {
  return violations.map(({ reason, detail }) => `${reason} (${detail})`).join(', ');
}
