import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { portMapAnnotation, type Pod } from '../../../src/api/pods.ts';
import type { Ingress, IngressRule } from '../../../src/api/networking/index.ts';
import type { Revision } from '../../../src/api/serving/index.ts';
import { makeBackend, makeRoutes } from '../../../src/serving/routing/make-routes.ts';

function ingress(...rules: IngressRule[]): Ingress {
  return {
    apiVersion: 'networking.internal.knative.dev/v1alpha1',
    kind: 'Ingress',
    metadata: { name: 'hello', namespace: 'default' },
    spec: { rules },
  };
}

const split = (serviceName: string, percent?: number, appendHeaders?: Record<string, string>) => ({
  serviceNamespace: 'default',
  serviceName,
  servicePort: 80,
  ...(percent === undefined ? {} : { percent }),
  ...(appendHeaders ? { appendHeaders } : {}),
});

describe('makeRoutes', () => {
  test('hosts of both visibilities, shares, and no header that only a sidecar would read', () => {
    const paths = [
      {
        splits: [
          split('a', 30, { 'Knative-Serving-Revision': 'a', 'X-Own': '1' }),
          split('b', 70),
          split('c', 0),
        ],
      },
    ];
    const routes = makeRoutes(
      ingress(
        { hosts: ['hello.default'], visibility: 'ClusterLocal', http: { paths } },
        { hosts: ['Hello.default.example.com'], visibility: 'ExternalIP', http: { paths } },
      ),
    );
    assert.deepEqual([...routes.keys()], ['hello.default', 'hello.default.example.com']);
    assert.deepEqual(routes.get('hello.default'), {
      visibility: 'local',
      paths: [
        {
          prefix: '/',
          splits: [
            { backend: 'default/a', percent: 30, setHeaders: { 'X-Own': '1' } },
            { backend: 'default/b', percent: 70 },
          ],
        },
      ],
    });
    assert.equal(routes.get('hello.default.example.com')?.visibility, 'public');
  });

  test('rules with headers come first, then the longer prefix; a single split is all of it', () => {
    const routes = makeRoutes(
      ingress({
        hosts: ['h'],
        http: {
          paths: [
            { splits: [split('main')] },
            { path: '/deep', splits: [split('deep')], rewriteHost: 'other' },
            {
              headers: { 'Knative-Serving-Tag': { exact: 'blue' } },
              splits: [split('blue')],
              appendHeaders: { A: 'b' },
            },
          ],
        },
      }),
    );
    assert.deepEqual(routes.get('h')?.paths, [
      {
        prefix: '/',
        headers: { 'knative-serving-tag': 'blue' },
        setHeaders: { A: 'b' },
        splits: [{ backend: 'default/blue', percent: 100 }],
      },
      { prefix: '/deep', rewriteHost: 'other', splits: [{ backend: 'default/deep', percent: 100 }] },
      { prefix: '/', splits: [{ backend: 'default/main', percent: 100 }] },
    ]);
  });
});

function pod(
  uid: string,
  change: { ready?: boolean; deleted?: boolean; ip?: string; map?: string; phase?: string } = {},
): Pod {
  const { ready = true, deleted = false, ip = '10.0.0.1', map, phase = 'Running' } = change;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: uid,
      uid,
      ...(deleted ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
      ...(map ? { annotations: { [portMapAnnotation]: map } } : {}),
    },
    status: { phase, podIP: ip, conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  };
}

function revision(container: object = {}, spec: object = {}): Revision {
  return {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Revision',
    metadata: { name: 'r', namespace: 'default' },
    spec: { containers: [{ image: 'a', ...container }], ...spec },
  };
}

describe('makeBackend', () => {
  test('only ready pods that stay, each at its own port', () => {
    const pods = [
      pod('d', { deleted: true }),
      pod('c', { ready: false }),
      pod('b', { map: '{"8080":32001}', ip: '127.0.0.1' }),
      pod('a'),
      pod('e', { ip: '' }),
      pod('f', { phase: 'Failed' }),
      pod('g'),
    ];
    assert.deepEqual(makeBackend(revision(), pods, new Set(['g'])).endpoints, [
      { id: 'a', host: '10.0.0.1', port: 8080 },
      { id: 'b', host: '127.0.0.1', port: 32001 },
    ]);
  });

  test('limits and timeouts in milliseconds, protocol by port name', () => {
    const {
      key,
      endpoints: _endpoints,
      ...rest
    } = makeBackend(
      revision(
        { ports: [{ name: 'h2c', containerPort: 9000 }] },
        {
          containerConcurrency: 5,
          timeoutSeconds: 60,
          responseStartTimeoutSeconds: 10,
          idleTimeoutSeconds: 20,
        },
      ),
      [],
      new Set(),
    );
    assert.equal(key, 'default/r');
    assert.deepEqual(rest, {
      containerConcurrency: 5,
      wakes: true,
      timeoutMs: 60_000,
      responseStartTimeoutMs: 10_000,
      idleTimeoutMs: 20_000,
      protocol: 'h2c',
    });
  });
});
