/** Resources and objects for tests of the API service. */
import assert from 'node:assert/strict';
import type { KubeObject, UntypedObject } from '../../../src/api/object.ts';
import { defineResource, type ResourceDef } from '../../../src/api/resource.ts';
import { ApiError } from '../../../src/kube/api-error.ts';
import type { ApiService } from '../../../src/kube/server/service/service.ts';
import type { ServedEvent } from '../../../src/kube/server/service/requests.ts';

/** A kind as a CRD would define it. */
export const widgets = defineResource({
  group: 'test.knapsack.dev',
  version: 'v1',
  kind: 'Widget',
  plural: 'widgets',
  namespaced: true,
  builtin: false,
  columns: [],
  subresources: {
    status: true,
    scale: {
      specReplicas: '.spec.replicas',
      statusReplicas: '.status.replicas',
      labelSelector: '.status.selector',
    },
  },
  schema: {
    type: 'object',
    properties: {
      spec: {
        type: 'object',
        properties: {
          size: { type: 'integer', minimum: 1 },
          color: { type: 'string', enum: ['red', 'blue'], default: 'red' },
          replicas: { type: 'integer' },
          anything: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        },
      },
      status: {
        type: 'object',
        properties: {
          ready: { type: 'boolean' },
          replicas: { type: 'integer' },
          selector: { type: 'string' },
        },
      },
    },
  },
});

/** A served resource by its qualified name. */
export function resource(service: ApiService, plural: string, group = ''): ResourceDef {
  const def = service.resources.find((each) => each.plural === plural && each.group === group);
  assert.ok(def, `${plural} are not served`);
  return def;
}

export function widget(name: string, spec: Record<string, unknown> = {}, rest: object = {}): UntypedObject {
  return {
    apiVersion: 'test.knapsack.dev/v1',
    kind: 'Widget',
    metadata: { name, namespace: 'default', ...rest },
    spec,
  };
}

export function configMap(name: string, data?: Record<string, string>, meta: object = {}): UntypedObject {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'default', ...meta },
    ...(data ? { data } : {}),
  };
}

export function pod(name: string, spec: Record<string, unknown> = {}, meta: object = {}): UntypedObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', ...meta },
    spec: { containers: [{ name: 'main', image: 'example.com/app' }], ...spec },
  };
}

export const user = 'tester';
export const at = (name: string): { namespace: string; name: string } => ({ namespace: 'default', name });

/** Asserts an API failure: its code, reason and (a part of) its message. */
export async function fails(
  call: Promise<unknown>,
  code: number,
  reason: string,
  message: string | RegExp,
): Promise<ApiError> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    assert.equal(error.code, code, error.message);
    assert.equal(error.reason, reason);
    if (typeof message === 'string') assert.equal(error.message, message);
    else assert.match(error.message, message);
    return error;
  }
  throw new assert.AssertionError({ message: 'the call succeeded' });
}

/** The next `count` events of a watch, as `TYPE name@version`. */
export async function take(stream: AsyncIterator<ServedEvent>, count: number): Promise<string[]> {
  const out: string[] = [];
  while (out.length < count) {
    const { done, value } = await stream.next();
    if (done) break;
    out.push(describe(value));
  }
  return out;
}

export function describe(event: { type: string; object: KubeObject }): string {
  const { name, resourceVersion } = event.object.metadata;
  return `${event.type} ${name ?? ''}@${resourceVersion}`;
}
