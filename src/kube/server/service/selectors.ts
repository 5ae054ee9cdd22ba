/** Label and field selectors (apimachinery pkg/labels and pkg/fields). */
import type { KubeObject } from '../../../api/object.ts';
import { qualifiedName, storedAs, type ResourceDef } from '../../../api/resource.ts';
import { badRequest } from './errors.ts';

export type Matcher = (object: KubeObject) => boolean;
type Labels = { readonly [key: string]: string };
type Requirement = (labels: Labels) => boolean;

const none: Labels = {};

function valueOf(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

/**
 * A label selector: `a=b`, `a==b`, `a!=b`, `a`, `!a`, `a in (x,y)`, `a notin (x,y)`, `a>1`, `a<1`, joined by commas.
 * Undefined when the text is empty: everything matches. Throws 400 with Kubernetes' words.
 */
export function parseLabelSelector(text: string | undefined): Matcher | undefined {
  if (!text?.trim()) return undefined;
  const requirements = new LabelParser(text).parse();
  return (object) => {
    const labels = object.metadata.labels ?? none;
    return requirements.every((requirement) => requirement(labels));
  };
}

class LabelParser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): Requirement[] {
    const requirements: Requirement[] = [];
    for (;;) {
      requirements.push(this.#requirement());
      this.#space();
      if (this.#at >= this.#text.length) return requirements;
      if (!this.#take(',')) this.#fail(`found '${this.#rest()}', expected: ',' or 'end of string'`);
    }
  }

  #requirement(): Requirement {
    const absent = this.#take('!');
    const key = this.#word();
    if (!key) this.#fail(`found '${this.#rest()}', expected: !, identifier, or 'end of string'`);
    checkKey(key);
    if (absent) return (labels) => valueOf(labels, key) === undefined;
    this.#space();
    if (this.#at >= this.#text.length || this.#text[this.#at] === ',') {
      return (labels) => valueOf(labels, key) !== undefined;
    }
    if (this.#take('!=')) {
      const value = this.#value(key);
      return (labels) => valueOf(labels, key) !== value;
    }
    if (this.#take('==') || this.#take('=')) {
      const value = this.#value(key);
      return (labels) => valueOf(labels, key) === value;
    }
    if (this.#take('>')) return this.#compare(key, (found, bound) => found > bound);
    if (this.#take('<')) return this.#compare(key, (found, bound) => found < bound);
    const operator = this.#word();
    if (operator !== 'in' && operator !== 'notin') {
      this.#fail(`found '${operator || this.#rest()}', expected: in, notin, =, ==, !=, gt, lt`);
    }
    const values = this.#values(key);
    return operator === 'in'
      ? (labels) => {
          const found = valueOf(labels, key);
          return found !== undefined && values.has(found);
        }
      : (labels) => {
          const found = valueOf(labels, key);
          return found === undefined || !values.has(found);
        };
  }

  #compare(key: string, test: (found: bigint, bound: bigint) => boolean): Requirement {
    const text = this.#word();
    const bound = integer(text);
    if (bound === undefined) {
      throw badRequest(
        `values[0][${key}]: Invalid value: ${JSON.stringify(text)}: for 'Gt', 'Lt' operators, the value must be an integer`,
      );
    }
    return (labels) => {
      const found = integer(valueOf(labels, key) ?? '');
      return found !== undefined && test(found, bound);
    };
  }

  #values(key: string): Set<string> {
    if (!this.#take('(')) this.#fail(`found '${this.#rest()}', expected: '('`);
    const values = new Set<string>();
    for (;;) {
      values.add(this.#value(key));
      if (this.#take(')')) return values;
      if (!this.#take(',')) this.#fail(`found '${this.#rest()}', expected: ',' or ')'`);
    }
  }

  #value(key: string): string {
    const value = this.#word();
    checkValue(key, value);
    return value;
  }

  #space(): void {
    while (/\s/.test(this.#text[this.#at] ?? '')) this.#at++;
  }

  #take(token: string): boolean {
    this.#space();
    if (!this.#text.startsWith(token, this.#at)) return false;
    this.#at += token.length;
    return true;
  }

  /** Everything up to a space or an operator character; may be empty. */
  #word(): string {
    this.#space();
    const start = this.#at;
    while (this.#at < this.#text.length && !/[\s!=<>(),]/.test(this.#text[this.#at] ?? '')) this.#at++;
    return this.#text.slice(start, this.#at);
  }

  #rest(): string {
    return this.#text.slice(this.#at, this.#at + 20);
  }

  #fail(why: string): never {
    throw badRequest(`unable to parse requirement: ${why}`);
  }
}

function integer(text: string): bigint | undefined {
  return /^[+-]?\d{1,19}$/.test(text) ? BigInt(text.replace('+', '')) : undefined;
}

const namePart = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;

function checkKey(key: string): void {
  const slash = key.indexOf('/');
  const name = key.slice(slash + 1);
  const prefix = slash < 0 ? undefined : key.slice(0, slash);
  const good =
    namePart.test(name) &&
    name.length <= 63 &&
    (prefix === undefined || /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(prefix));
  if (!good) {
    throw badRequest(
      `unable to parse requirement: <nil>: Invalid value: ${JSON.stringify(key)}: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character`,
    );
  }
}

function checkValue(key: string, value: string): void {
  if (value === '' || (namePart.test(value) && value.length <= 63)) return;
  throw badRequest(
    `unable to parse requirement: values[0][${key}]: Invalid value: ${JSON.stringify(value)}: a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character`,
  );
}

/** Fields that built-in kinds can be selected by (kubernetes pkg/registry, per kind), beside name and namespace. */
const selectableFields: { readonly [resource: string]: readonly string[] } = {
  pods: [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'spec.hostNetwork',
    'status.phase',
    'status.podIP',
    'status.nominatedNodeName',
  ],
  nodes: ['spec.unschedulable'],
  namespaces: ['status.phase'],
  secrets: ['type'],
  services: ['spec.clusterIP', 'spec.type'],
  replicationcontrollers: ['status.replicas'],
  'replicasets.apps': ['status.replicas'],
  'jobs.batch': ['status.successful'],
  'certificatesigningrequests.certificates.k8s.io': ['spec.signerName'],
  events: [
    'involvedObject.kind',
    'involvedObject.namespace',
    'involvedObject.name',
    'involvedObject.uid',
    'involvedObject.apiVersion',
    'involvedObject.resourceVersion',
    'involvedObject.fieldPath',
    'reason',
    'reportingComponent',
    'source',
    'type',
  ],
};

export interface FieldSelector {
  readonly matches: Matcher;
  /** Whether it asks for more than name and namespace. */
  readonly looksInside: boolean;
  /** Set when the selector asks for exactly one `metadata.name`: a lookup instead of a scan. */
  readonly name?: string;
  /** Likewise for `metadata.namespace`. */
  readonly namespace?: string;
}

/** A field selector: `path=value`, `==`, `!=`, joined by commas; `\` escapes. Undefined when empty; throws 400. */
export function parseFieldSelector(text: string | undefined, def: ResourceDef): FieldSelector | undefined {
  if (!text?.trim()) return undefined;
  const tests: Matcher[] = [];
  let name: string | undefined;
  let namespace: string | undefined;
  let looksInside = false;
  // Objects of built-in kinds are looked at as they are stored.
  const resource = qualifiedName(storedAs(def));
  for (const { path: given, operator, value } of parseTerms(text)) {
    const path = def.group === 'events.k8s.io' ? coreEventField(given) : given;
    const known =
      path === 'metadata.name' ||
      (path === 'metadata.namespace' && (def.namespaced || def.builtin)) ||
      def.selectableFields?.includes(path) === true ||
      (def.builtin && selectableFields[resource]?.includes(path) === true);
    if (!known) throw badRequest(`field label not supported: ${path}`);
    looksInside ||= !path.startsWith('metadata.');
    if (operator !== '!=' && path === 'metadata.name') name = value;
    if (operator !== '!=' && path === 'metadata.namespace') namespace = value;
    const read = fieldReader(resource, path);
    tests.push(operator === '!=' ? (object) => read(object) !== value : (object) => read(object) === value);
  }
  return {
    matches: (object) => tests.every((test) => test(object)),
    looksInside,
    ...(name === undefined ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
  };
}

/**
 * The one `metadata.name` that a field selector asks for, of whatever kind; empty when it asks for none or is malformed.
 * {@link parseFieldSelector} of the same text lets no object of another name through.
 */
export function selectedName(text: string): string {
  try {
    const isName = ({ path, operator }: Term): boolean => path === 'metadata.name' && operator !== '!=';
    return parseTerms(text).find(isName)?.value ?? '';
  } catch {
    return '';
  }
}

interface Term {
  readonly path: string;
  readonly operator: string;
  readonly value: string;
}

function parseTerms(text: string): Term[] {
  return splitTerms(text).map((term) => {
    const match = /^([^=!]+?)\s*(!=|==|=)\s*([\s\S]*)$/.exec(term.trim());
    if (!match) throw badRequest(`invalid selector: '${text}'; can't understand '${term}'`);
    const [, path = '', operator = '', raw = ''] = match;
    return { path, operator, value: unescape(raw) };
  });
}

/** A field of an event of events.k8s.io as core/v1, which is stored, has it. */
function coreEventField(path: string): string {
  return path
    .replace(/^regarding\./, 'involvedObject.')
    .replace(/^reportingController$/, 'reportingComponent');
}

/** At the commas that no backslash takes for a value. */
function splitTerms(text: string): string[] {
  const terms = text.match(/(?:\\[\s\S]|[^\\,]|\\$)+/g) ?? [];
  return terms.filter((term) => term.trim() !== '');
}

/** Throws 400 for a backslash before anything but `\`, `,` and `=`, and for a bare `=` (pkg/fields UnescapeValue). */
function unescape(raw: string): string {
  return raw.replace(/\\([\s\S]?)|=/g, (found, escaped: string | undefined) => {
    if (escaped === undefined) throw badRequest('invalid field selector: unescaped character in value: =');
    if (escaped === '' || !'\\,='.includes(escaped)) {
      throw badRequest(`invalid field selector: invalid escape sequence: ${found}`);
    }
    return escaped;
  });
}

/** A missing field reads as the zero value that Go would have there. */
function fieldReader(resource: string, path: string): (object: KubeObject) => string {
  if (resource === 'events' && (path === 'source' || path === 'reportingComponent')) {
    // Both labels look at the reporting controller first (kubernetes pkg/registry/core/event).
    const fields = path === 'source' ? ['source.component', 'reportingComponent'] : ['reportingComponent'];
    return (object) => fields.map((field) => dig(object, field)).find((found) => found) ?? '';
  }
  const zero = zeroValues[path] ?? '';
  return (object) => dig(object, path) || zero;
}

const zeroValues: { readonly [path: string]: string } = {
  'spec.unschedulable': 'false',
  'spec.hostNetwork': 'false',
  'status.replicas': '0',
  'status.successful': '0',
};

function dig(object: KubeObject, path: string): string {
  let value: unknown = object;
  for (const part of path.split('.')) {
    value =
      typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[part] : undefined;
  }
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? String(value)
    : '';
}
