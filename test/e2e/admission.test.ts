/** A webhook that runs in a pod behind a Service, pod security, quota and drain, end to end with kubectl. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ensurePki } from '../../src/kube/server/pki.ts';
import { kubectlSkipReason, ociSkipReason } from '../support/drivers.ts';
import { TestPlatform } from '../support/platform.ts';
import { waitFor } from '../support/wait.ts';

const image = 'registry.knapsack.local/base/node:24';

/** Labels what is created with the team that it belongs to, and refuses the blue one. */
const script = `
const { createServer } = require('node:https');
const { CERT, KEY, PORT } = process.env;
const base64 = (text) => Buffer.from(text).toString('base64');
createServer({ cert: Buffer.from(CERT, 'base64'), key: Buffer.from(KEY, 'base64') }, (request, response) => {
  let body = '';
  request.on('data', (chunk) => (body += chunk));
  request.on('end', () => {
    const review = JSON.parse(body);
    const { uid, object } = review.request;
    const answer = request.url.startsWith('/mutate')
      ? { allowed: true, patchType: 'JSONPatch', patch: base64(JSON.stringify([{ op: 'add', path: '/metadata/labels', value: { ...object.metadata.labels, team: object.data?.team ?? 'none' } }])) }
      : { allowed: object.metadata.labels.team !== 'blue', status: { message: 'no blue' }, warnings: ['looked at ' + object.metadata.name] };
    delete review.request;
    response.end(JSON.stringify({ ...review, response: { uid, ...answer } }));
  });
}).listen(PORT ?? 8443);
process.on('SIGTERM', () => process.exit(0));
`;

const hook = (cert: string, key: string): string => `
apiVersion: v1
kind: Service
metadata: {name: hook}
spec:
  selector: {app: hook}
  ports: [{name: https, port: 443, targetPort: https}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: hook}
spec:
  selector: {matchLabels: {app: hook}}
  template:
    metadata: {labels: {app: hook}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: app
        image: ${image}
        command: [node, -e, ${JSON.stringify(script)}]
        env: [{name: CERT, value: ${cert}}, {name: KEY, value: ${key}}]
        ports: [{name: https, containerPort: 8443}]
        readinessProbe: {tcpSocket: {port: https}, periodSeconds: 1}
`;

const configuration = (kind: string, path: string, caBundle: string): string => `
apiVersion: admissionregistration.k8s.io/v1
kind: ${kind}WebhookConfiguration
metadata: {name: hook}
webhooks:
- name: ${path}.hook.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  objectSelector: {matchLabels: {reviewed: "yes"}}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}]
  clientConfig:
    caBundle: ${caBundle}
    service: {namespace: default, name: hook, path: /${path}}
`;

const configMap = (name: string, team: string): string => `
apiVersion: v1
kind: ConfigMap
metadata: {name: ${name}, labels: {reviewed: "yes"}}
data: {team: ${team}}
`;

for (const driver of ['process', 'oci'] as const) {
  const skip = kubectlSkipReason() ?? (driver === 'oci' ? ociSkipReason() : undefined);
  describe(`admission on the ${driver} driver`, { skip, timeout: 240_000 }, () => {
    const platform = new TestPlatform(driver);
    before(() => platform.up());
    after(() => platform.dispose());
    const kubectl = (command: string): Promise<string> => platform.kubectl(command.split(' '));

    it('asks a webhook in a pod, with its words for kubectl', async () => {
      const dir = mkdtempSync(join(tmpdir(), 'knapsack-hook-'));
      const pki = ensurePki(dir, { hosts: ['hook.default.svc'] });
      rmSync(dir, { recursive: true, force: true });
      const base64 = (text: string): string => Buffer.from(text).toString('base64');
      await platform.apply(hook(base64(pki.server.cert), base64(pki.server.key)));
      await kubectl('rollout status deployment/hook --timeout=60s');
      await waitFor(
        'an endpoint',
        async () =>
          (await kubectl('get endpoints hook -o name -o jsonpath={.subsets[*].addresses[*].ip}')) !== '',
      );
      const bundle = base64(pki.ca.cert);
      await platform.apply(configuration('Mutating', 'mutate', bundle));
      await platform.apply(configuration('Validating', 'validate', bundle));
      assert.match(await kubectl('get validatingwebhookconfigurations'), /NAME +WEBHOOKS +AGE\nhook +1 /);
      const green = await platform.tryKubectl(['apply', '-f', '-'], configMap('green', 'green'));
      assert.equal(green.code, 0, green.stderr);
      assert.match(green.stderr, /Warning: looked at green/);
      assert.equal(await kubectl('get configmap green -o jsonpath={.metadata.labels.team}'), 'green');
      for (const flag of ['--server-side', '--dry-run=server', '--validate=true']) {
        const blue = await platform.tryKubectl(['apply', flag, '-f', '-'], configMap('blue', 'blue'));
        assert.notEqual(blue.code, 0);
        assert.match(
          blue.stderr,
          /admission webhook "validate\.hook\.example\.com" denied the request: no blue/,
        );
      }
      await kubectl('delete deployment hook --wait');
      await waitFor(
        'no endpoint',
        async () => (await kubectl('get endpoints hook -o jsonpath={.subsets[*].addresses[*].ip}')) === '',
      );
      const orphaned = await platform.tryKubectl(['apply', '-f', '-'], configMap('late', 'red'));
      assert.match(
        orphaned.stderr,
        /Internal error occurred: failed calling webhook "mutate\.hook\.example\.com": failed to call webhook: no endpoints available for service "hook"/,
      );
      await kubectl('delete validatingwebhookconfiguration,mutatingwebhookconfiguration hook');
      await platform.apply(configMap('late', 'red'));
    });

    it('holds namespaces to quotas and to the standards of pod security', async () => {
      await kubectl('create namespace held');
      await kubectl(
        'label namespace held pod-security.kubernetes.io/enforce=baseline pod-security.kubernetes.io/warn=restricted',
      );
      await kubectl('create quota q -n held --hard=pods=1');
      const run = (name: string, more: string[] = []) =>
        platform.tryKubectl([
          'run',
          name,
          '-n',
          'held',
          `--image=${image}`,
          ...more,
          '--',
          'node',
          '-e',
          'setInterval(() => {}, 1000)',
        ]);
      const privileged = await run('root', ['--privileged']);
      assert.match(privileged.stderr, /violates PodSecurity "baseline:latest": privileged/);
      const first = await run('first');
      assert.equal(first.code, 0, first.stderr);
      assert.match(first.stderr, /Warning: would violate PodSecurity "restricted:latest"/);
      assert.match(
        (await run('second')).stderr,
        /exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1/,
      );
      await waitFor('the quota to tell', async () => /pods: 1\/1/.test(await kubectl('get quota -n held')));
      const undeletable = await platform.tryKubectl(['delete', 'namespace', 'kube-system']);
      assert.match(undeletable.stderr, /this namespace may not be deleted/);
      await kubectl('delete namespace held --wait=false');
    });

    it('drains its node', async () => {
      const node = await kubectl('get nodes -o jsonpath={.items[0].metadata.name}');
      await kubectl(
        `create deployment web --image=${image} --replicas=2 -- node -e setInterval(()=>{},1000)`,
      );
      await kubectl('rollout status deployment/web --timeout=60s');
      await kubectl('create pdb web --selector=app=web --max-unavailable=1');
      await waitFor('the budget', async () => /web +N\/A +1 +1 /.test(await kubectl('get pdb web')));
      const cut = kubectl(`drain ${node} --ignore-daemonsets --pod-selector=app=web --force --timeout=90s`);
      // With the only node cordoned the second pod is never replaced, so its budget holds until that is lifted.
      await waitFor('one to go', async () => /web +N\/A +1 +0 /.test(await kubectl('get pdb web')));
      await kubectl(`uncordon ${node}`);
      assert.match(await cut, /evicted/);
      assert.match(await kubectl('get nodes'), / Ready /);
    });
  });
}
