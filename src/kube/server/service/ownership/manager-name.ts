/** Whose fields a write makes: the names under which managers appear. */
import type { WriteRequest } from '../requests.ts';

/** In bytes, as in Kubernetes. */
export const maxManagerLength = 128;

/** What Go calls printable: letters, marks, numbers, punctuation, symbols, and the space. */
const printable = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;

/** Positions (in bytes) and characters of a name that may not be in it. */
export function unprintable(name: string): { readonly at: number; readonly character: string }[] {
  const found: { at: number; character: string }[] = [];
  let at = 0;
  for (const character of name) {
    if (!printable.test(character)) found.push({ at, character });
    at += Buffer.byteLength(character);
  }
  return found;
}

const fromAgents = new Map<string, string>();

/** Agents are few; a client that sends ever new ones must not fill the memory. */
const maxAgents = 1000;

/** The part of a User-Agent before `/`, without what is not printable, cut to the longest allowed name. */
function fromUserAgent(agent: string): string {
  let name = fromAgents.get(agent);
  if (name === undefined) {
    name = '';
    let length = 0;
    for (const character of agent.split('/', 1)[0] ?? '') {
      if (!printable.test(character)) continue;
      length += Buffer.byteLength(character);
      if (length > maxManagerLength) break;
      name += character;
    }
    if (fromAgents.size >= maxAgents) fromAgents.clear();
    fromAgents.set(agent, name);
  }
  return name;
}

/** The manager that a request names, or that its program or its user stands for. */
export function managerName({ fieldManager, userAgent, user }: WriteRequest): string {
  if (fieldManager) return fieldManager;
  if (userAgent !== undefined) return fromUserAgent(userAgent) || 'unknown';
  return user.slice(user.lastIndexOf(':') + 1) || 'unknown';
}
