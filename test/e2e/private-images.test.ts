/** Images of a registry that wants a password: pull secrets of pods and of service accounts. */
import assert from 'node:assert/strict';
import { createServer, request, type Server } from 'node:http';
import { mkdirSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { kubectlSkipReason } from '../support/drivers.ts';
import { knapsack, TestPlatform } from '../support/platform.ts';
import { waitFor } from '../support/wait.ts';

const password = 'Basic bWU6c2VjcmV0';

/** The embedded registry behind a door. */
function guard(registry: string): Promise<Server> {
  const server = createServer((incoming, outgoing) => {
    if (incoming.headers.authorization !== password) {
      outgoing.writeHead(401, { 'www-authenticate': 'Basic realm="private"' }).end();
      return;
    }
    const { authorization: _, host: __, ...headers } = incoming.headers;
    const url = new URL(incoming.url ?? '/', registry);
    const onward = request(url, { method: incoming.method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on('error', () => outgoing.destroy());
    incoming.pipe(onward);
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

describe('private images', { skip: kubectlSkipReason(), timeout: 180_000 }, () => {
  const platform = new TestPlatform('process');
  let server: Server;
  let registry = '';
  after(async () => {
    await platform.dispose();
    server.closeAllConnections();
    server.close();
  });

  before(async () => {
    const directory = join(platform.data, 'app');
    mkdirSync(directory);
    writeFileSync(join(directory, 'index.mjs'), `console.log('here I am'); setInterval(() => {}, 1000);`);
    const manifest = { name: 'app', version: '1.0.0', type: 'module', main: 'index.mjs' };
    writeFileSync(join(directory, 'package.json'), JSON.stringify(manifest));
    const info = await platform.up();
    server = await guard(info.registry);
    registry = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    for (const name of ['one', 'two', 'three']) {
      const tag = `registry.knapsack.local/${name}`;
      const built = await knapsack(['image', 'build', directory, '-t', tag, '--data', platform.data]);
      assert.equal(built.code, 0, built.stderr);
    }
    await platform.kubectl([
      'create',
      'secret',
      'docker-registry',
      'pull',
      `--docker-server=${registry}`,
      '--docker-username=me',
      '--docker-password=secret',
    ]);
  });

  const pod = (name: string, image: string, more: string): Promise<string> =>
    platform.apply(`
apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec:
  ${more}
  containers: [{name: app, image: "${registry}/${image}"}]
`);
  const stateOf = (name: string): Promise<string> =>
    platform.kubectl([
      'get',
      'pod',
      name,
      '-o',
      'jsonpath={.status.phase} {.status.containerStatuses[0].state.waiting.reason}',
    ]);

  it('are not had without a secret', async () => {
    await pod('without', 'one', '');
    await waitFor('the pull to fail', async () =>
      /ErrImagePull|ImagePullBackOff/.test(await stateOf('without')),
    );
  });

  it("come with the pod's secret", async () => {
    await pod('with', 'one', 'imagePullSecrets: [{name: pull}]');
    await waitFor('the pod to run', async () => (await stateOf('with')).startsWith('Running'));
  });

  it("come with the account's secret, and a secret that is missing is told", async () => {
    await platform.kubectl(['create', 'serviceaccount', 'puller']);
    const patch = '{"imagePullSecrets":[{"name":"lost"},{"name":"pull"}]}';
    await platform.kubectl(['patch', 'serviceaccount', 'puller', '-p', patch]);
    await pod('by-account', 'two', 'serviceAccountName: puller');
    await waitFor('the pod to run', async () => (await stateOf('by-account')).startsWith('Running'));
    const events = ['get', 'events', '--field-selector', 'reason=FailedToRetrieveImagePullSecret'];
    await waitFor('the event', async () =>
      /Unable to retrieve some image pull secrets \(lost\)/.test(await platform.kubectl(events)),
    );
  });

  it('are resolved to digests for a Knative service', async () => {
    await platform.apply(`
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: private}
spec:
  template:
    spec:
      serviceAccountName: puller
      containers: [{image: "${registry}/three"}]
`);
    const digest = ['get', 'revision', '-o', 'jsonpath={.items[*].status.containerStatuses[*].imageDigest}'];
    await waitFor('the digest', async () =>
      new RegExp(`${registry}/three@sha256:`).test(await platform.kubectl(digest)),
    );
  });
});
