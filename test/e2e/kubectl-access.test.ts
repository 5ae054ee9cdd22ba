/** What users of kubectl meet who may not do everything: tokens, roles, impersonation, certificates. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { certificateSigningController } from '../../src/cluster/certificate-signing.ts';
import { roleAggregationController } from '../../src/cluster/role-aggregation.ts';
import { tokenSecretController } from '../../src/cluster/token-secrets.ts';
import { SharedInformers } from '../../src/kube/client/shared-informers.ts';
import { startControllers, type Kernel } from '../../src/kube/controller/kernel.ts';
import { signRequest } from '../../src/kube/server/certificates/signers.ts';
import { hasProgram, kubectlSkipReason } from '../support/drivers.ts';
import { execute, type Output } from '../support/platform.ts';
import { kubectls, splitArgs } from '../support/kubectl.ts';
import { waitFor } from '../support/wait.ts';
import { startTestServer, type TestServer } from '../kube/server/support.ts';

const tokenSecret = `
apiVersion: v1
kind: Secret
metadata: {name: bot-token, annotations: {kubernetes.io/service-account.name: bot}}
type: kubernetes.io/service-account-token
`;

const greedyRole = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: greedy, namespace: default}
rules:
- {apiGroups: [""], resources: [secrets, pods], verbs: [get, delete]}
`;

const reconciled = (verbs: string): string => `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: grown, namespace: default}
rules:
- {apiGroups: [""], resources: [pods], verbs: [${verbs}]}
`;

const signing = (name: string, request: string): string => `
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: ${name}}
spec:
  request: ${Buffer.from(request).toString('base64')}
  signerName: kubernetes.io/kube-apiserver-client
  usages: [client auth]
  expirationSeconds: 3600
`;

const knativeService = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: hello, namespace: default}
spec: {template: {spec: {containers: [{image: dev.local/hello}]}}}
`;

function suite(program: string, minor: number): void {
  describe(`kubectl ${program} (1.${minor})`, () => {
    let server: TestServer;
    let informers: SharedInformers;
    let kernel: Kernel;
    let anonymous = '';

    before(async () => {
      server = await startTestServer({ roles: true });
      const { client } = server.api;
      informers = new SharedInformers({ client, clock: systemClock, log: silentLogger });
      const env = { client, informers, clock: systemClock, log: silentLogger };
      const issue = server.access.tokens.issueForSecret.bind(server.access.tokens);
      const secrets = tokenSecretController(env, { issue, rootCertificate: server.pki.ca.cert });
      kernel = await startControllers(
        [
          roleAggregationController(env),
          certificateSigningController(env, (spec, now) =>
            signRequest(spec, (request) => server.pki.issueFor(request), now),
          ),
          secrets,
        ],
        env,
      );
      const text = readFileSync(server.kubeconfig, 'utf8');
      anonymous = join(server.dir, 'anonymous');
      writeFileSync(
        anonymous,
        text.replace(/^ {4}client-.*$/gm, '').replace(/^ {2}user:\n/m, '  user: {}\n'),
      );
    });
    after(async () => {
      await kernel.stop();
      informers.close();
      await server.close();
    });

    const run = (args: string, options: { token?: string; input?: string } = {}): Promise<Output> => {
      const { token, input } = options;
      const credentials = token ? [`--token=${token}`] : [];
      return execute(program, [...credentials, ...splitArgs(args)], {
        env: { KUBECONFIG: token === undefined ? server.kubeconfig : anonymous, HOME: server.dir },
        timeoutMs: 60_000,
        ...(input === undefined ? {} : { input }),
      });
    };
    const ok = async (args: string, options?: Parameters<typeof run>[1]): Promise<string> => {
      const { code, stdout, stderr } = await run(args, options);
      assert.equal(code, 0, `kubectl ${args}: ${stderr}${stdout}`);
      return stdout;
    };
    const fails = async (
      args: string,
      message: RegExp,
      options?: Parameters<typeof run>[1],
    ): Promise<void> => {
      const { code, stderr } = await run(args, options);
      assert.notEqual(code, 0, `kubectl ${args} should have failed`);
      assert.match(stderr, message);
    };
    const tokenOf = async (account: string): Promise<string> => (await ok(`create token ${account}`)).trim();

    it('lets an account do what its role says, from the next request on, and nothing else', async () => {
      await ok('create serviceaccount reader');
      const token = await tokenOf('reader');
      const refused =
        /pods is forbidden: User "system:serviceaccount:default:reader" cannot list resource "pods" in API group "" in the namespace "default"/;
      await fails('get pods', refused, { token });
      await ok('create role reader --verb=get,list --resource=pods');
      await ok('create rolebinding reader --role=reader --serviceaccount=default:reader');
      await ok('get pods', { token });
      await fails('get pods -A', /cannot list resource "pods" in API group "" at the cluster scope/, {
        token,
      });
      await fails('delete pod x', /pods "x" is forbidden: .* cannot delete resource "pods"/, { token });
      await ok('delete rolebinding reader');
      await fails('get pods', refused, { token });
    });

    it('tells who one is', { skip: minor < 28 }, async () => {
      await ok('create serviceaccount me');
      const token = await tokenOf('me');
      const shown = await ok('auth whoami', { token });
      assert.match(shown, /Username +system:serviceaccount:default:me/);
      assert.match(
        shown,
        /Groups +\[system:serviceaccounts system:serviceaccounts:default system:authenticated\]/,
      );
      assert.match(await ok('auth whoami'), /Username +system:admin/);
      assert.match(
        await ok('auth whoami --as jane --as-group devs --as-uid 7'),
        /Username +jane\s[\s\S]*UID +7\s[\s\S]*\[devs system:authenticated\]/,
      );
    });

    it('answers can-i, for oneself and for others', async () => {
      assert.equal(await ok('auth can-i delete nodes'), 'yes\n');
      await ok('create clusterrolebinding viewer --clusterrole=view --user=vera');
      const lists = async (): Promise<boolean> => (await run('auth can-i list pods --as vera')).code === 0;
      await waitFor('the rules of view', lists);
      assert.equal((await run('auth can-i list secrets --as vera')).stdout.trim(), 'no');
      assert.equal((await run('auth can-i get pods --subresource=exec --as vera')).stdout.trim(), 'no');
      assert.equal(await ok('auth can-i get /version --as vera'), 'yes\n');
      const list = await ok('auth can-i --list --as vera -n default');
      assert.match(list, /^pods +\[\] +\[\] +\[get list watch\]$/m);
      assert.match(list, /\[\/version\] +\[\] +\[get\]$/m);
    });

    it('gives edit and view what Knative adds to them', async () => {
      await ok('create rolebinding editor --clusterrole=edit --user=ed');
      const edits = async (): Promise<boolean> =>
        (await run('auth can-i create services.serving.knative.dev --as ed')).code === 0;
      await waitFor('the rules of edit', edits);
      await ok('apply -f - --as ed', { input: knativeService });
      await fails(
        'create role r --verb=get --resource=pods --as ed',
        /roles\.rbac\.authorization\.k8s\.io is forbidden/,
      );
    });

    it('refuses to grant what one does not hold', async () => {
      await ok('create role granter --verb=create,update,patch,get --resource=roles,rolebindings');
      await ok('create rolebinding granter --role=granter --user=gina');
      await fails(
        'apply -f - --as gina',
        /roles\.rbac\.authorization\.k8s\.io "greedy" is forbidden: user "gina" \(groups=\["system:authenticated"\]\) is attempting to grant RBAC permissions not currently held:\n\{APIGroups:\[""\], Resources:\["pods"\], Verbs:\["get" "delete"\]\}\n\{APIGroups:\[""\], Resources:\["secrets"\], Verbs:\["get" "delete"\]\}/,
        { input: greedyRole },
      );
      await fails(
        'create rolebinding up --clusterrole=cluster-admin --user=gina --as gina',
        /is attempting to grant RBAC permissions not currently held:\n\{APIGroups:\["\*"\], Resources:\["\*"\], Verbs:\["\*"\]\}\n\{NonResourceURLs:\["\*"\], Verbs:\["\*"\]\}/,
      );
      await ok('create role self --verb=create,update,get --resource=roles --as gina');
      await ok('create role binder --verb=bind --resource=clusterroles --resource-name=view');
      await ok('create rolebinding binder --role=binder --user=gina');
      await ok('create rolebinding viewing --clusterrole=view --user=gina --as gina');
    });

    it('reconciles roles', async () => {
      await ok('auth reconcile -f -', { input: reconciled('get') });
      await ok('auth reconcile -f -', { input: reconciled('list') });
      assert.equal(await ok('get role grown -o jsonpath={.rules[*].verbs[*]}'), 'get list');
    });

    it('gets users a certificate', { skip: !hasProgram('openssl') }, async () => {
      const keyFile = join(server.dir, 'jane.key');
      const openssl = async (subject: string): Promise<string> => {
        const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
        const args = ['req', '-new', ...curve, '-keyout', keyFile, '-subj', subject];
        const { code, stdout, stderr } = await execute('openssl', args);
        assert.equal(code, 0, stderr);
        return stdout;
      };
      await fails('apply -f -', /signer with system:masters group is not allowed/, {
        input: signing('masters', await openssl('/O=system:masters/CN=jane')),
      });
      await fails(
        'apply -f -',
        /spec\.request: Invalid value: .*PEM block type must be CERTIFICATE REQUEST/,
        {
          input: signing('nonsense', 'nonsense'),
        },
      );
      const request = await openssl('/O=devs/O=ops/CN=jane');
      await ok('create clusterrole asker --verb=create,get,patch --resource=certificatesigningrequests');
      await ok(
        'create clusterrole decider --verb=get,update,patch --resource=certificatesigningrequests,certificatesigningrequests/approval',
      );
      await ok('create clusterrolebinding asker --clusterrole=asker --user=asker');
      await ok('create clusterrolebinding decider --clusterrole=decider --user=asker');
      await ok('apply -f - --as asker', { input: signing('jane', request) });
      assert.match(
        await ok('get csr jane'),
        /^jane +\S+ +kubernetes\.io\/kube-apiserver-client +asker +\S+ +Pending$/m,
      );
      await fails(
        'certificate approve jane --as asker',
        /user not permitted to approve requests with signerName "kubernetes\.io\/kube-apiserver-client"/,
      );
      await ok('certificate approve jane');
      const encoded = await waitFor('the certificate', () =>
        ok('get csr jane -o jsonpath={.status.certificate}'),
      );
      assert.match(await ok('get csr jane'), /Approved,Issued$/m);
      const certificateFile = join(server.dir, 'jane.crt');
      writeFileSync(certificateFile, Buffer.from(encoded, 'base64'));
      const asJane = `--client-certificate=${certificateFile} --client-key=${keyFile}`;
      await fails(`${asJane} get pods`, /User "jane" cannot list resource "pods"/, { token: '' });
      await ok('create rolebinding ops --clusterrole=view --group=ops');
      await ok(`${asJane} get pods`, { token: '' });
      await ok('apply -f -', { input: signing('refused', request) });
      await ok('certificate deny refused');
      assert.match(await ok('get csr refused'), /Denied$/m);
    });

    it('impersonates only with permission', async () => {
      await ok('create serviceaccount plain');
      const token = await tokenOf('plain');
      await fails(
        'get pods --as system:admin',
        /users "system:admin" is forbidden: User "system:serviceaccount:default:plain" cannot impersonate resource "users" in API group "" at the cluster scope/,
        { token },
      );
      await fails('get pods --as-group system:masters --as x', /cannot impersonate/, { token });
    });

    it('fills token secrets, and refuses their tokens once they are gone', async () => {
      await ok('create serviceaccount bot');
      await ok('create clusterrolebinding bot --clusterrole=cluster-admin --serviceaccount=default:bot');
      await ok('apply -f -', { input: tokenSecret });
      const encoded = await waitFor('the token', async () =>
        ok('get secret bot-token -o jsonpath={.data.token}'),
      );
      const token = Buffer.from(encoded, 'base64').toString();
      await ok('get namespaces', { token });
      assert.match(await ok('describe sa bot'), /^Name: +bot$/m);
      await ok('delete serviceaccount bot');
      await fails('get namespaces', /Unauthorized|must be logged in/, { token });
      await waitFor('the secret to go', async () => (await run('get secret bot-token')).code !== 0);
    });

    it('refuses tokens of a deleted account, and made-up ones', async () => {
      await ok('create serviceaccount gone');
      const token = await tokenOf('gone');
      await ok('auth can-i --list', { token });
      await ok('delete serviceaccount gone');
      await ok('create serviceaccount gone');
      await fails('get pods', /Unauthorized|must be logged in/, { token });
      await fails('get pods', /Unauthorized|must be logged in/, { token: 'abc.def.ghi' });
    });
  });
}

describe('access with kubectl', { skip: kubectlSkipReason() }, () => {
  // `create token` is there from 1.24 on; the oldest and the newest bound what lies between.
  const found = [...kubectls()].filter(([minor]) => minor >= 24).sort(([a], [b]) => a - b);
  for (const [minor, program] of new Map([found[0], found.at(-1)].filter((entry) => entry !== undefined)))
    suite(program, minor);
});
