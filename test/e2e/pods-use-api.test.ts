/** A pod that talks to the Kubernetes API with the token that it finds, on both drivers. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { kubectlSkipReason, ociSkipReason } from '../support/drivers.ts';
import { knapsack, TestPlatform } from '../support/platform.ts';
import { waitFor } from '../support/wait.ts';

/** Asks for the pods of its namespace, says what came, and ends. */
const app = `
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { dirname } from 'node:path';
const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port, KUBECONFIG } = process.env;
const dir = KUBECONFIG ? dirname(KUBECONFIG) : '/var/run/secrets/kubernetes.io/serviceaccount';
const read = (name) => readFileSync(dir + '/' + name, 'utf8');
const path = '/api/v1/namespaces/' + read('namespace') + '/pods';
const headers = { authorization: 'Bearer ' + read('token') };
request({ host, port, path, headers, ca: read('ca.crt') }, (response) => {
  let body = '';
  response.on('data', (chunk) => (body += chunk));
  response.on('end', () => {
    const { items = [], message } = JSON.parse(body);
    const names = items.map((item) => item.metadata.name).join(',');
    console.log(response.statusCode + ' ' + (message ?? names));
  });
}).on('error', (error) => console.log(String(error))).end();
`;

const pod = (name: string, more = ''): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: team}
spec:
  restartPolicy: Never
  ${more}
  containers: [{name: app, image: dev.local/lister, imagePullPolicy: Never}]
`;

for (const driver of ['process', 'oci'] as const) {
  const skip = kubectlSkipReason() ?? (driver === 'oci' ? ociSkipReason() : undefined);
  describe(`pods use the API on the ${driver} driver`, { skip, timeout: 180_000 }, () => {
    const platform = new TestPlatform(driver);
    after(() => platform.dispose());

    before(async () => {
      const directory = join(platform.data, 'lister');
      mkdirSync(directory);
      writeFileSync(join(directory, 'index.mjs'), app);
      const manifest = { name: 'lister', version: '1.0.0', type: 'module', main: 'index.mjs' };
      writeFileSync(join(directory, 'package.json'), JSON.stringify(manifest));
      await platform.up();
      const built = await knapsack([
        'image',
        'build',
        directory,
        '-t',
        'dev.local/lister',
        '--data',
        platform.data,
      ]);
      assert.equal(built.code, 0, built.stderr);
    });

    const output = (name: string): Promise<string> =>
      waitFor(`${name} to end`, async () => {
        const phase = await platform.kubectl([
          'get',
          'pod',
          name,
          '-n',
          'team',
          '-o',
          'jsonpath={.status.phase}',
        ]);
        assert.notEqual(phase, 'Failed');
        return phase === 'Succeeded' && (await platform.kubectl(['logs', name, '-n', 'team'])).trim();
      });

    it('asks in a namespace that is a moment old, and is refused in full', async () => {
      await platform.apply(`apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n---\n${pod('first')}`);
      assert.equal(
        await output('first'),
        '403 pods is forbidden: User "system:serviceaccount:team:default" cannot list resource "pods" in API group "" in the namespace "team"',
      );
    });

    it('is found in the audit log, by the name of the pod', async () => {
      const line = await waitFor('the refusal', () =>
        readFileSync(join(platform.data, 'audit.log'), 'utf8')
          .split('\n')
          .find((text) => text.includes('"code":403')),
      );
      const event = JSON.parse(line) as {
        user: { username: string; extra: Record<string, string[]> };
        objectRef: Record<string, string>;
      };
      assert.equal(event.user.username, 'system:serviceaccount:team:default');
      assert.deepEqual(event.user.extra['authentication.kubernetes.io/pod-name'], ['first']);
      assert.deepEqual(event.objectRef, { resource: 'pods', namespace: 'team', apiVersion: 'v1' });
    });

    it('is answered once a role allows it', async () => {
      await platform.kubectl([
        'create',
        'rolebinding',
        'see',
        '-n',
        'team',
        '--clusterrole=view',
        '--serviceaccount=team:default',
      ]);
      await platform.apply(pod('second'));
      assert.equal(await output('second'), '200 first,second');
    });

    it('gives no token where the pod or its account wants none', async () => {
      const volumesOf = (name: string): Promise<string> =>
        platform.kubectl(['get', 'pod', name, '-n', 'team', '-o', 'jsonpath={.spec.volumes}']);
      await platform.apply(pod('third', 'automountServiceAccountToken: false'));
      assert.equal(await volumesOf('third'), '');
      const account = 'apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: quiet, namespace: team}';
      await platform.apply(`${account}\nautomountServiceAccountToken: false`);
      await platform.apply(pod('fifth', 'serviceAccountName: quiet'));
      assert.equal(await volumesOf('fifth'), '');
    });

    it('refuses a pod of an account that is not there', async () => {
      const refused = await platform.tryKubectl(
        ['apply', '-f', '-'],
        pod('fourth', 'serviceAccountName: nobody'),
      );
      assert.match(
        refused.stderr,
        /pods "fourth" is forbidden: error looking up service account team\/nobody: serviceaccount "nobody" not found/,
      );
    });
  });
}
