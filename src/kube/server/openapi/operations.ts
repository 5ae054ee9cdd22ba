/** The operations of each resource, independent of the OpenAPI version that will describe them. */
import { apiVersionOf, type ResourceDef } from '../../../api/resource.ts';
import type { ApiCatalog } from '../catalog.ts';

export interface Parameter {
  readonly name: string;
  readonly in: 'query' | 'path';
  readonly type: 'string' | 'integer' | 'boolean';
  readonly description: string;
}

/** What a request body or an answer holds: the object or list of the resource, a Kubernetes type, or plain text. */
export type Payload = 'object' | 'list' | 'text' | { readonly type: string };

export interface Operation {
  readonly path: string;
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** `x-kubernetes-action`. */
  readonly action: string;
  readonly id: string;
  readonly description: string;
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly parameters: readonly Parameter[];
  readonly body?: Payload;
  readonly answer: Payload;
}

const query = (name: string, type: Parameter['type'], description: string): Parameter => ({
  name,
  in: 'query',
  type,
  description,
});

const pretty = query('pretty', 'string', 'Accepted and ignored: output is not indented.');
const write = [
  query('dryRun', 'string', 'All: check the request and show its outcome without keeping it.'),
  query('fieldManager', 'string', 'Name of the program that makes the change.'),
  query('fieldValidation', 'string', 'What to do about unknown fields: Strict, Warn or Ignore.'),
];
const force = query('force', 'boolean', 'Take over fields that another manager owns (apply patches alone).');
const selectors = [
  query('labelSelector', 'string', 'Restricts the objects by their labels.'),
  query('fieldSelector', 'string', 'Restricts the objects by their fields.'),
];
const list = [
  ...selectors,
  query('limit', 'integer', 'Largest number of objects in one answer.'),
  query('continue', 'string', 'Token of the previous answer, for the next page.'),
  query('resourceVersion', 'string', 'The version that the answer must not be older than.'),
  query('resourceVersionMatch', 'string', 'Exact or NotOlderThan.'),
  query('watch', 'boolean', 'Stream changes instead of one list.'),
  query('allowWatchBookmarks', 'boolean', 'Send BOOKMARK events now and then.'),
  query('sendInitialEvents', 'boolean', 'Begin a watch with the objects that exist.'),
  query('timeoutSeconds', 'integer', 'Ends a watch after this time.'),
];
const remove = [
  query('dryRun', 'string', 'All: check the request without deleting.'),
  query('gracePeriodSeconds', 'integer', 'Seconds before the object is removed.'),
  query('propagationPolicy', 'string', 'What happens to dependents: Orphan, Background or Foreground.'),
];
const log = [
  query('container', 'string', 'The container; may be left out when the pod has one.'),
  query('follow', 'boolean', 'Stream new lines as they come.'),
  query('previous', 'boolean', 'The container before its last restart.'),
  query('sinceSeconds', 'integer', 'Only lines newer than this many seconds.'),
  query('tailLines', 'integer', 'Only the last lines.'),
  query('limitBytes', 'integer', 'At most this many bytes.'),
  query('timestamps', 'boolean', 'Begin each line with its time.'),
];

const scale: Payload = { type: 'autoscaling.v1.Scale' };
const status: Payload = { type: 'meta.v1.Status' };
const deleteOptions: Payload = { type: 'meta.v1.DeleteOptions' };
const patch: Payload = { type: 'meta.v1.Patch' };

/** All operations of a resource. */
export function operationsOf(catalog: ApiCatalog, def: ResourceDef): Operation[] {
  const root = def.group === '' ? `/api/${def.version}` : `/apis/${apiVersionOf(def)}`;
  const scope = def.namespaced ? '/namespaces/{namespace}' : '';
  const collection = `${root}${scope}/${def.plural}`;
  const item = `${collection}/{name}`;
  const verbs = new Set(catalog.verbs(def));
  const out: Operation[] = [];
  const add = (
    verb: string,
    operation: Pick<Operation, 'path' | 'method' | 'parameters' | 'answer'> &
      Partial<Pick<Operation, 'body' | 'action' | 'kind'>>,
    suffix = '',
  ): void => {
    out.push({
      action: verb,
      id: operationId(verb, def, suffix),
      description: `${verb} ${def.kind}${suffix && ` (${suffix})`}`,
      kind: { group: def.group, version: def.version, kind: def.kind },
      ...operation,
      parameters: [...operation.parameters, pretty],
    });
  };

  const parameters = write;
  if (verbs.has('list') && def.namespaced) {
    const path = `${root}/${def.plural}`;
    add('list', { path, method: 'get', parameters: list, answer: 'list' }, 'ForAllNamespaces');
  }
  if (verbs.has('list')) add('list', { path: collection, method: 'get', parameters: list, answer: 'list' });
  if (verbs.has('get')) add('get', { path: item, method: 'get', parameters: [], answer: 'object' });
  if (verbs.has('create')) {
    const body = 'object';
    add('create', { path: collection, method: 'post', action: 'post', parameters, body, answer: 'object' });
  }
  if (verbs.has('update')) {
    add(
      'delete',
      {
        path: collection,
        method: 'delete',
        action: 'deletecollection',
        parameters: [...selectors, ...remove],
        body: deleteOptions,
        answer: status,
      },
      'Collection',
    );
    add('replace', {
      path: item,
      method: 'put',
      action: 'put',
      parameters,
      body: 'object',
      answer: 'object',
    });
    add('patch', {
      path: item,
      method: 'patch',
      parameters: [...write, force],
      body: patch,
      answer: 'object',
    });
    add('delete', { path: item, method: 'delete', parameters: remove, body: deleteOptions, answer: status });
    for (const { name, verbs: subVerbs, kind } of catalog.subresources(def)) {
      const path = `${item}/${name}`;
      const payload = name === 'scale' ? scale : 'object';
      const suffix = name.replace(/^./, (letter) => letter.toUpperCase());
      if (name === 'log') {
        add('get', { path, method: 'get', parameters: log, answer: 'text', kind }, suffix);
        continue;
      }
      if (subVerbs.includes('get')) {
        add('get', { path, method: 'get', parameters: [], answer: payload, kind }, suffix);
      }
      const body = payload;
      add('replace', { path, method: 'put', action: 'put', parameters, body, answer: payload, kind }, suffix);
      if (subVerbs.includes('patch')) {
        const options = [...write, force];
        add(
          'patch',
          { path, method: 'patch', parameters: options, body: patch, answer: payload, kind },
          suffix,
        );
      }
    }
  }
  return out;
}

/** `createAppsV1NamespacedDeployment`. */
function operationId(verb: string, def: ResourceDef, suffix: string): string {
  const group = def.group === '' ? 'core' : def.group;
  const words = `${group}.${def.version}`.split(/[^A-Za-z0-9]+/);
  const camel = words.map((word) => word.replace(/^./, (letter) => letter.toUpperCase())).join('');
  const scope = def.namespaced && suffix !== 'ForAllNamespaces' ? 'Namespaced' : '';
  return `${verb}${camel}${scope}${def.kind}${suffix}`;
}

/** The placeholders of a path. */
export function pathParameters(path: string): Parameter[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => ({
    name,
    in: 'path',
    type: 'string',
    description: name === 'namespace' ? 'The namespace of the object.' : 'The name of the object.',
  }));
}
