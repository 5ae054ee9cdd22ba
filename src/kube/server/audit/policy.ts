/** What is worth a line of the audit log. Pure. */
import { isPathAttributes, type Attributes } from '../authorization/attributes.ts';

/**
 * `none`: nothing. `writes`: what changes something, what runs something in a pod, what hands out or shows credentials,
 * and what is refused. `all`: every request but probes.
 */
export type AuditChoice = 'none' | 'writes' | 'all';

const readVerbs = new Set(['get', 'list', 'watch']);
/** What clients do all the time to stay what they are, and what only asks a question. */
const routine = new Set([
  'coordination.k8s.io/leases',
  '/events',
  'events.k8s.io/events',
  'authorization.k8s.io/selfsubjectaccessreviews',
  'authorization.k8s.io/selfsubjectrulesreviews',
  'authorization.k8s.io/subjectaccessreviews',
  'authorization.k8s.io/localsubjectaccessreviews',
  'authentication.k8s.io/selfsubjectreviews',
  'authentication.k8s.io/tokenreviews',
]);
/** Reading these is doing something. */
const streams = new Set(['exec', 'attach', 'portforward', 'proxy']);

/** Whether the request is written down. `attributes` are unknown where nobody could be told by their credentials. */
export function isAudited(choice: AuditChoice, attributes: Attributes | undefined, code: number): boolean {
  if (choice === 'none') return false;
  if (code === 401 || code === 403) return true;
  if (choice === 'all') return attributes !== undefined;
  if (!attributes || isPathAttributes(attributes)) return false;
  const { verb, group, resource, subresource } = attributes;
  if (!readVerbs.has(verb)) return !routine.has(`${group}/${resource}`);
  return (group === '' && resource === 'secrets') || streams.has(subresource);
}

/** Whether the request may last, so that its beginning is written down as well. */
export function isLasting(attributes: Attributes | undefined): boolean {
  return attributes !== undefined && !isPathAttributes(attributes) && streams.has(attributes.subresource);
}
