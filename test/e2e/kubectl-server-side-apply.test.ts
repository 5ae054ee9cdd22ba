/** Server-side apply as users of kubectl know it, with every kubectl on the machine. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { ManagedFieldsEntry, UntypedObject } from '../../src/api/object.ts';
import { startTestServer, type TestServer } from '../kube/server/support.ts';
import { kubectlSkipReason } from '../support/drivers.ts';
import { kubectls, splitArgs } from '../support/kubectl.ts';
import { execute, type Output } from '../support/platform.ts';

const deployment = (replicas: number | undefined, image = 'app:1'): string => `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
  labels: {app: shop}
spec:
  ${replicas === undefined ? '' : `replicas: ${replicas}`}
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - name: shop
        image: ${image}
        ports: [{containerPort: 80}, {containerPort: 443}]
        env: [{name: A, value: a}]
`;

const knativeService = (target: string): string => `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: hello, labels: {team: blue}}
spec:
  template:
    spec:
      containers:
      - image: dev.local/hello
        env: [{name: TARGET, value: ${target}}]
`;

const configMap = (data: string): string => `
apiVersion: v1
kind: ConfigMap
metadata: {name: game}
data: {${data}}
`;

function suite(program: string, minor: number): void {
  describe(`kubectl ${program} (1.${minor})`, () => {
    let server: TestServer;
    before(async () => {
      server = await startTestServer();
    });
    after(() => server.close());

    const run = (args: string, input?: string): Promise<Output> =>
      execute(program, splitArgs(args), {
        env: { KUBECONFIG: server.kubeconfig, HOME: server.dir, KUBE_EDITOR: 'true' },
        ...(input === undefined ? {} : { input }),
      });
    const ok = async (args: string, input?: string): Promise<string> => {
      const { code, stdout, stderr } = await run(args, input);
      assert.equal(code, 0, `kubectl ${args}: ${stdout}${stderr}`);
      return stdout;
    };
    const get = async (what: string): Promise<UntypedObject> =>
      JSON.parse(
        await ok(`get ${what} -o json ${minor >= 21 ? '--show-managed-fields' : ''}`),
      ) as UntypedObject;
    const managers = async (what: string): Promise<ManagedFieldsEntry[]> =>
      (await get(what)).metadata.managedFields ?? [];
    const names = async (what: string): Promise<string[]> =>
      (await managers(what)).map(
        ({ manager, operation, subresource }) =>
          `${manager} ${operation}${subresource === undefined ? '' : ` ${subresource}`}`,
      );

    it('applies, applies again, and drops what is left out', async () => {
      assert.match(
        await ok('apply --server-side -f -', configMap('a: "1", b: "2"')),
        /configmap\/game serverside-applied/,
      );
      const { metadata: first } = await get('configmap game');
      await ok('apply --server-side -f -', configMap('a: "1", b: "2"'));
      const { metadata: second } = await get('configmap game');
      assert.equal(second.resourceVersion, first.resourceVersion, 'nothing was written');
      await ok('apply --server-side -f -', configMap('a: "3"'));
      assert.deepEqual((await get('configmap game'))['data'], { a: '3' });
      assert.deepEqual(await names('configmap game'), ['kubectl Apply']);
    });

    it('tells whose fields it would take, and takes them when forced', async () => {
      await ok('apply --server-side --field-manager=one -f -', deployment(2));
      const { code, stderr } = await run('apply --server-side --field-manager=two -f -', deployment(3));
      assert.notEqual(code, 0);
      assert.match(stderr, /Apply failed with 1 conflict: conflict with "one".*: \.spec\.replicas/);
      assert.match(stderr, /--force-conflicts/);
      await ok('apply --server-side --force-conflicts --field-manager=two -f -', deployment(3));
      const object = await get('deployment shop');
      assert.equal((object['spec'] as { replicas: number }).replicas, 3);
      const [one, two] = object.metadata.managedFields ?? [];
      assert.equal(one?.manager, 'one');
      assert.equal(JSON.stringify(one?.fieldsV1).includes('f:replicas'), false);
      assert.equal(JSON.stringify(two?.fieldsV1).includes('f:replicas'), true);
    });

    it('scaling takes the replicas over; an apply that leaves them out does not fight', async () => {
      await ok(
        'apply --server-side --field-manager=owner -f -',
        deployment(undefined).replace('shop', 'scaled'),
      );
      await ok('scale deployment scaled --replicas=5');
      // The manager is the program's name, which kubectl takes from its file.
      assert.match((await names('deployment scaled')).join(), /kubectl[^ ]* Update scale/);
      await ok(
        'apply --server-side --field-manager=owner -f -',
        deployment(undefined).replace('shop', 'scaled'),
      );
      assert.equal(((await get('deployment scaled'))['spec'] as { replicas: number }).replicas, 5);
      const { code, stderr } = await run(
        'apply --server-side --field-manager=owner -f -',
        deployment(1).replace('shop', 'scaled'),
      );
      assert.notEqual(code, 0);
      assert.match(
        stderr,
        /conflict with "kubectl[^"]*" with subresource "scale" using apps\/v1: \.spec\.replicas/,
      );
    });

    it('goes on from client-side apply without conflicts', async () => {
      await ok('apply -f -', deployment(2).replace('shop', 'moved'));
      assert.match((await names('deployment moved')).join(), /kubectl-client-side-apply Update/);
      await ok('apply --server-side -f -', deployment(4, 'app:2').replace('shop', 'moved'));
      const spec = (await get('deployment moved'))['spec'] as {
        replicas: number;
        template: { spec: { containers: { image: string; env?: unknown[] }[] } };
      };
      assert.equal(spec.replicas, 4);
      assert.equal(spec.template.spec.containers[0]?.image, 'app:2');
      assert.match(await ok('apply view-last-applied deployment/moved'), /image: app:2/);
      // What both appliers had set goes when it is left out.
      if (minor >= 26) {
        const without = deployment(4, 'app:2')
          .replace('shop', 'moved')
          .replace(/ +env:.*\n/, '');
        await ok('apply --server-side -f -', without);
        const after = (await get('deployment moved'))['spec'] as typeof spec;
        assert.equal(after.template.spec.containers[0]?.env, undefined);
      }
    });

    it('serves custom resources, and shows who owns what', async () => {
      await ok('apply --server-side -f -', knativeService('World'));
      const { code, stderr } = await run(
        'apply --server-side --field-manager=other -f -',
        knativeService('Moon'),
      );
      assert.notEqual(code, 0);
      assert.match(stderr, /\.spec\.template\.spec\.containers/);
      if (minor >= 21) {
        assert.match(
          await ok('get ksvc hello -o yaml --show-managed-fields'),
          /managedFields:\n[^]*manager: kubectl/,
        );
        assert.doesNotMatch(await ok('get ksvc hello -o yaml'), /managedFields/);
      }
    });

    it('shows differences without writing', async () => {
      await ok('apply --server-side -f -', configMap('x: "1"').replace('game', 'diffed'));
      const { code, stdout, stderr } = await run(
        'diff --server-side -f -',
        configMap('x: "2"').replace('game', 'diffed'),
      );
      assert.equal(code, 1, stderr);
      assert.match(stdout, /^-\s+x: "1"$/m);
      assert.match(stdout, /^\+\s+x: "2"$/m);
      assert.deepEqual((await get('configmap diffed'))['data'], { x: '1' });
      await ok('apply --server-side --dry-run=server -f -', configMap('x: "3"').replace('game', 'diffed'));
      assert.deepEqual((await get('configmap diffed'))['data'], { x: '1' });
    });

    it('refuses fields that the kind does not have', async () => {
      const file = join(server.dir, 'unknown.yaml');
      writeFileSync(file, configMap('a: "1"').replace('\ndata:', '\ndota:'));
      const { code, stderr } = await run(`apply --server-side --validate=false -f ${file}`);
      assert.notEqual(code, 0);
      assert.match(stderr, /failed to create typed patch object .*: \.dota: field not declared in schema/);
    });
  });
}

const skip = kubectlSkipReason();
if (skip) describe('kubectl and server-side apply', { skip }, () => undefined);
else for (const [minor, program] of kubectls()) suite(program, minor);
