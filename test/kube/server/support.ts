/** The real API server on a memory store, and plain HTTPS requests to it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { request, type RequestOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, type Clock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/log.ts';
import type { MetricsSource } from '../../../src/api/kubernetes/metrics.ts';
import type { ResourceDef } from '../../../src/api/resource.ts';
import { certificatesPlugin } from '../../../src/kube/server/admission/certificates.ts';
import { makeAccess, type Access } from '../../../src/kube/server/access.ts';
import type { Audit } from '../../../src/kube/server/audit/index.ts';
import { startApiServer, type ApiServer } from '../../../src/kube/server/api-server.ts';
import { ensureTokenKey } from '../../../src/kube/server/authentication/token-key.ts';
import { TokenRequests, tokenSubresource } from '../../../src/kube/server/authentication/token-request.ts';
import { escalationPlugin } from '../../../src/kube/server/authorization/escalation.ts';
import { reconcileDefaultRoles } from '../../../src/kube/server/authorization/reconcile-defaults.ts';
import { FlowControl } from '../../../src/kube/server/flow-control/index.ts';
import { writeKubeconfig } from '../../../src/kube/server/kubeconfig.ts';
import type { LogSource } from '../../../src/kube/server/logs.ts';
import { ensurePki, type Pki } from '../../../src/kube/server/pki.ts';
import { objectProxyHandlers } from '../../../src/kube/server/object-proxy/index.ts';
import { podStreamHandlers } from '../../../src/kube/server/pod-streams/index.ts';
import type { PodStreamSource } from '../../../src/kube/server/pod-streams/source.ts';
import { podActionHandlers } from '../../../src/kube/server/pod-actions/index.ts';
import { memoryBackend } from '../../../src/kube/store/backend.ts';
import { Store } from '../../../src/kube/store/store.ts';
import { startTestApi, type TestApi } from '../../support/api.ts';

export interface Reply {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: Buffer;
  /** The body as JSON, of the type that the test expects. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- a cast at each call would say the same
  json<T = Record<string, unknown>>(): T;
}

export interface CallOptions {
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer | object;
  /** Default: the administrator's certificate. */
  readonly identity?: { cert: string; key: string } | 'anonymous';
  /** A bearer token, instead of a certificate. */
  readonly token?: string;
}

export interface TestServer {
  readonly api: TestApi;
  readonly server: ApiServer;
  readonly pki: Pki;
  readonly access: Access;
  readonly dir: string;
  readonly kubeconfig: string;
  call(method: string, path: string, options?: CallOptions): Promise<Reply>;
  /** TLS options of the administrator, for hand-made requests. */
  tls(): RequestOptions;
  close(): Promise<void>;
}

export async function startTestServer(
  options: {
    clock?: Clock;
    logs?: LogSource;
    metrics?: MetricsSource;
    resources?: readonly ResourceDef[];
    audit?: Audit;
    /** Default roles and bindings exist. */
    roles?: boolean;
    /** What exec, attach and port-forward meet. */
    streams?: PodStreamSource;
  } = {},
): Promise<TestServer> {
  const dir = mkdtempSync(join(tmpdir(), 'knapsack-api-'));
  const clock = options.clock ?? systemClock;
  const key = ensureTokenKey(join(dir, 'pki'));
  const store = await Store.open(memoryBackend());
  const access = makeAccess({ store, clock, key });
  const api = await startTestApi({
    ...options,
    store,
    plugins: [escalationPlugin(access.authorizer), certificatesPlugin(access.authorizer)],
  });
  if (options.roles) await reconcileDefaultRoles(api.client);
  const pki = ensurePki(join(dir, 'pki'));
  const server = await startApiServer({
    service: api.service,
    pki,
    access,
    flowControl: new FlowControl(store),
    subresources: [
      tokenSubresource(new TokenRequests(api.service, access.tokens), clock),
      ...podActionHandlers(api.service, clock),
      ...(options.streams ? podStreamHandlers(api.service, options.streams) : []),
      ...(options.streams ? objectProxyHandlers(api.service, options.streams) : []),
    ],
    host: '127.0.0.1',
    port: 0,
    log: silentLogger,
    ...(options.logs ? { logs: options.logs } : {}),
    ...(options.metrics ? { metrics: options.metrics } : {}),
    ...(options.audit ? { audit: options.audit } : {}),
  });
  const kubeconfig = join(dir, 'kubeconfig');
  writeKubeconfig(kubeconfig, { server: server.url, ca: pki.ca.cert, ...pki.admin });
  const tls = (identity: CallOptions['identity'] = pki.admin): RequestOptions => ({
    host: '127.0.0.1',
    port: server.port,
    ca: pki.ca.cert,
    agent: false,
    ...(identity === 'anonymous' ? {} : identity),
  });
  return {
    api,
    server,
    pki,
    access,
    dir,
    kubeconfig,
    tls,
    call: (method, path, call = {}) =>
      send({ ...tls(call.token === undefined ? call.identity : 'anonymous'), method, path }, call),
    async close() {
      await server.close();
      await api.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** The answer to a request that failed (meta/v1 Status). */
export interface Status {
  kind: string;
  apiVersion: string;
  status: string;
  reason: string;
  message: string;
  code: number;
  details?: { causes?: { field?: string; reason?: string }[]; name?: string; kind?: string };
}

/** A Status with that code, reason and message; returns it for a closer look. */
export function assertStatus(reply: Reply, code: number, reason: string, message: RegExp | string): Status {
  const status = reply.json<Status>();
  assert.equal(reply.status, code, reply.body.toString());
  assert.deepEqual(
    [status.kind, status.apiVersion, status.status, status.code, status.reason],
    ['Status', 'v1', 'Failure', code, reason],
  );
  if (typeof message === 'string') assert.equal(status.message, message);
  else assert.match(status.message, message);
  return status;
}

/** Path of the default namespace's ConfigMaps. */
export const configMaps = '/api/v1/namespaces/default/configmaps';
export const configMap = (name: string, data: Record<string, string> = {}): object => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data,
});

function send(target: RequestOptions, call: CallOptions): Promise<Reply> {
  const { body = '' } = call;
  const bytes =
    typeof body === 'string' || Buffer.isBuffer(body) ? Buffer.from(body) : Buffer.from(JSON.stringify(body));
  const headers = {
    ...(bytes.length > 0 ? { 'content-length': bytes.length, 'content-type': 'application/json' } : {}),
    ...(call.token === undefined ? {} : { authorization: `Bearer ${call.token}` }),
    ...call.headers,
  };
  return new Promise((resolve, reject) => {
    const outgoing = request({ ...target, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const all = Buffer.concat(chunks);
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: all,
          // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as declared above
          json: <T>() => JSON.parse(all.toString()) as T,
        });
      });
    });
    outgoing.setTimeout(30_000, () =>
      outgoing.destroy(new Error(`no answer to ${target.method} ${target.path}`)),
    );
    outgoing.on('error', reject);
    outgoing.end(bytes);
  });
}
