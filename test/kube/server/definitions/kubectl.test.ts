/** What users do with custom resources, with every kubectl on the machine. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { systemClock } from '../../../../src/base/clock.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { startCluster, type Cluster } from '../../../../src/cluster/index.ts';
import { SharedInformers } from '../../../../src/kube/client/shared-informers.ts';
import { kubectls, splitArgs, Watcher } from '../../../support/kubectl.ts';
import { waitFor } from '../../../support/wait.ts';
import { startTestServer, type TestServer } from '../support.ts';

const run = promisify(execFile);
const crd = join(import.meta.dirname, 'fixtures', 'certificates.yaml');

const web = `
apiVersion: pki.example.dev/v1
kind: Certificate
metadata: { name: web }
spec:
  secretName: web-tls
  issuerRef: { name: ca }
  dnsNames: [a.example]
`;

for (const [minor, program] of kubectls()) {
  describe(`custom resources with kubectl 1.${minor}`, () => {
    let server: TestServer;
    let cluster: Cluster;
    let informers: SharedInformers;
    let home = '';

    before(async () => {
      server = await startTestServer();
      const { client, service } = server.api;
      informers = new SharedInformers({ client, clock: systemClock, log: silentLogger });
      const env = { client, informers, clock: systemClock, log: silentLogger };
      cluster = await startCluster(env, { resources: service.registry });
      home = join(server.dir, 'home');
      mkdirSync(home);
    });

    after(async () => {
      await cluster.stop();
      informers.close();
      await server.close();
    });

    /** Output, or what it complained about. */
    const kubectl = async (args: string): Promise<string> => {
      const env = { ...process.env, KUBECONFIG: server.kubeconfig, HOME: home };
      const { stdout, stderr } = await run(program, splitArgs(args), { env }).catch(
        (error: unknown) => error as { stdout: string; stderr: string },
      );
      return stdout + stderr;
    };
    const apply = (text: string, flags = ''): Promise<string> => {
      const file = join(server.dir, 'object.yaml');
      writeFileSync(file, text);
      return kubectl(`apply ${flags} -f ${file}`);
    };

    it('are defined, waited for, and listed among the resources', async () => {
      assert.match(await kubectl(`apply -f ${crd}`), /certificates.pki.example.dev created/);
      const wait = await kubectl(
        'wait --for=condition=established --timeout=10s crd/certificates.pki.example.dev',
      );
      assert.match(wait, /condition met/);
      assert.match(
        await kubectl('api-resources --api-group=pki.example.dev'),
        /certificates +cert,certs .*true +Certificate/,
      );
      assert.match(await kubectl('get crd certificates.pki.example.dev'), /certificates.pki.example.dev/);
      assert.match(await kubectl(`apply -f ${crd}`), /unchanged|configured/);
    });

    it('are created, printed by their columns, found by short name and category', async () => {
      assert.match(await apply(web), /certificate.pki.example.dev\/web created/);
      assert.match(await apply(web), /unchanged/);
      assert.match(await kubectl('get cert'), /NAME +READY +SECRET +AGE\nweb +web-tls/);
      assert.match(await kubectl('get certs -o wide'), /ISSUER +AGE\nweb +web-tls +ca/);
      assert.match(await kubectl('get security -o name'), /certificate.pki.example.dev\/web/);
      assert.match(
        await kubectl('get certificates.v1alpha2.pki.example.dev web -o name'),
        /certificate.pki.example.dev\/web/,
      );
    });

    it('are explained', async () => {
      const text = await kubectl('explain certs');
      assert.match(text, /kept in a Secret and renewed/);
      const field = await kubectl('explain certs.spec.secretName');
      assert.match(field, /Name of the Secret that holds the certificate/);
    });

    it('are changed, scaled, and refused with the reason', async () => {
      assert.match(await kubectl('scale certificates.pki.example.dev web --replicas=3'), /scaled/);
      assert.equal(await kubectl(`get cert web -o jsonpath={.spec.replicas}`), '3');
      assert.match(await kubectl('label cert web team=a'), /labeled/);
      const refused = await kubectl(`patch cert web --type=merge -p '{"spec":{"secretName":"other"}}'`);
      assert.match(refused, /spec.secretName: Invalid value: "string": secretName is immutable/);
      const unknown = await apply(web.replace('issuerRef: {', 'issuerRef: { bogus: x,'), '--validate=true');
      assert.match(unknown, /unknown field/);
    });

    it('follow a change of their definition', async () => {
      const columns = [{ name: 'Owner', type: 'string', jsonPath: '.metadata.labels.team' }];
      const patch = JSON.stringify([
        { op: 'replace', path: '/spec/versions/0/additionalPrinterColumns', value: columns },
      ]);
      assert.match(
        await kubectl(`patch crd certificates.pki.example.dev --type=json -p '${patch}'`),
        /patched/,
      );
      assert.match(await kubectl('get cert'), /NAME +OWNER\nweb +a/);
    });

    it('go with the namespace they are in, and with their owner', async () => {
      await kubectl('create namespace gone');
      assert.match(await apply(web, '-n gone'), /created/);
      assert.match(await kubectl('delete namespace gone --timeout=20s'), /deleted/);
      await apply(web.replace('name: web', 'name: owner'));
      const uid = await kubectl('get cert owner -o jsonpath={.metadata.uid}');
      const reference = `ownerReferences: [{ apiVersion: pki.example.dev/v1, kind: Certificate, name: owner, uid: ${uid} }]`;
      await apply(web.replace('{ name: web }', `\n  name: owned\n  ${reference}`));
      await kubectl('delete cert owner');
      await waitFor(
        'the owned certificate to go',
        async () => !(await kubectl('get cert -o name')).includes('owned'),
      );
    });

    it('go with their definition, and so do watches of them', async () => {
      const watcher = new Watcher(program, ['get', 'certificates.pki.example.dev', '-w'], server);
      try {
        await watcher.until('web');
        assert.match(await kubectl('delete crd certificates.pki.example.dev --timeout=20s'), /deleted/);
        const rest = await kubectl('get certificates.pki.example.dev');
        assert.match(rest, /the server (could not find the requested resource|doesn't have a resource type)/);
        assert.match(await kubectl(`apply -f ${crd}`), /created/);
        assert.match(await kubectl('get cert'), /No resources found/);
      } finally {
        await watcher.stop();
      }
    });

    it("keep the platform's own definitions as they are", async () => {
      const labelled = await kubectl('label crd services.serving.knative.dev mine=yes');
      assert.match(labelled, /labeled/);
      assert.match(await kubectl('delete crd services.serving.knative.dev'), /part of this platform/);
      assert.match(
        await kubectl('get crd -l duck.knative.dev/addressable=true -o name'),
        /services.serving.knative.dev/,
      );
    });
  });
}
