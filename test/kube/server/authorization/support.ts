/** Words for tests of access over HTTPS. */
import assert from 'node:assert/strict';
import { startTestServer, type Reply, type TestServer } from '../support.ts';

export const rbac = '/apis/rbac.authorization.k8s.io/v1';
export const accounts = '/api/v1/namespaces/default/serviceaccounts';

/** A Role that lets read ConfigMaps. */
export const reader = {
  metadata: { name: 'reader' },
  rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'list'] }],
};

export const binding = (name: string, role: string, subjects: object[], kind = 'ClusterRole'): object => ({
  metadata: { name },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind, name: role },
  subjects,
});

export const user = (name: string): object => ({
  kind: 'User',
  apiGroup: 'rbac.authorization.k8s.io',
  name,
});

/** Headers of the administrator acting as somebody. */
export const as = (name: string) => ({ headers: { 'impersonate-user': name } });

export class AccessServer {
  readonly server: TestServer;

  private constructor(server: TestServer) {
    this.server = server;
  }

  /** With the default roles. */
  static async start(): Promise<AccessServer> {
    return new AccessServer(await startTestServer({ roles: true }));
  }

  post(path: string, body: object, headers: Record<string, string> = {}): Promise<Reply> {
    return this.server.call('POST', path, { body, headers });
  }

  async create(path: string, body: object): Promise<void> {
    const reply = await this.post(path, body);
    assert.equal(reply.status, 201, reply.body.toString());
  }

  /** A new account's token. */
  async account(name: string): Promise<string> {
    await this.create(accounts, { metadata: { name } });
    const reply = await this.post(`${accounts}/${name}/token`, { spec: {} });
    assert.equal(reply.status, 201, reply.body.toString());
    return reply.json<{ status: { token: string } }>().status.token;
  }
}
