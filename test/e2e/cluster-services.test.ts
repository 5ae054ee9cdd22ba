/** What Kubernetes has around pods, end to end with kubectl: volumes, Ingress, metrics and the autoscaler on them. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { kubectlSkipReason, ociSkipReason } from '../support/drivers.ts';
import { knapsack, TestPlatform } from '../support/platform.ts';
import { waitFor } from '../support/wait.ts';

const image = 'dev.local/counter:1';

/** Counts its requests in /data, and burns CPU for a while when it is asked for /burn. */
const app = `
const { createServer } = require('node:http');
const { existsSync, readFileSync, writeFileSync } = require('node:fs');
// Told by name: pods of the process driver see the machine's files, and only what is handed to them is put right.
const file = process.env.DATA_DIR + '/count';
createServer((request, response) => {
  if (request.url === '/burn') {
    const end = Date.now() + 400;
    while (Date.now() < end);
    return response.end('burnt');
  }
  const count = existsSync(file) ? Number(readFileSync(file, 'utf8')) + 1 : 1;
  writeFileSync(file, String(count));
  response.end(String(count));
}).listen(process.env.PORT ?? 8080);
process.on('SIGTERM', () => process.exit(0));
`;

const manifest = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: counts }
spec:
  accessModes: [ReadWriteOnce]
  resources: { requests: { storage: 1Gi } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: counter }
spec:
  selector: { matchLabels: { app: counter } }
  strategy: { type: Recreate }
  template:
    metadata: { labels: { app: counter } }
    spec:
      terminationGracePeriodSeconds: 5
      containers:
        - name: app
          image: ${image}
          imagePullPolicy: IfNotPresent
          env: [{ name: DATA_DIR, value: /data }]
          resources: { requests: { cpu: 100m } }
          ports: [{ name: http, containerPort: 8080 }]
          readinessProbe: { tcpSocket: { port: http }, periodSeconds: 1 }
          volumeMounts: [{ name: data, mountPath: /data }]
      volumes: [{ name: data, persistentVolumeClaim: { claimName: counts } }]
---
apiVersion: v1
kind: Service
metadata: { name: counter }
spec:
  selector: { app: counter }
  ports: [{ name: web, port: 80, targetPort: http }]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: counter }
spec:
  rules:
    - host: counter.test
      http:
        paths: [{ path: /, pathType: Prefix, backend: { service: { name: counter, port: { name: web } } } }]
`;

for (const driver of ['process', 'oci'] as const) {
  const skip = kubectlSkipReason() ?? (driver === 'oci' ? ociSkipReason() : undefined) ?? false;
  describe(`volumes, Ingress and metrics on the ${driver} driver`, { skip, timeout: 300_000 }, () => {
    const platform = new TestPlatform(driver);
    let source: string;

    before(async () => {
      source = mkdtempSync(join(tmpdir(), 'knapsack-counter-'));
      writeFileSync(
        join(source, 'package.json'),
        JSON.stringify({ name: 'counter', version: '1.0.0', main: 'index.cjs' }),
      );
      writeFileSync(join(source, 'index.cjs'), app);
      await platform.up();
      const built = await knapsack(['image', 'build', source, '-t', image, '--data', platform.data]);
      assert.equal(built.code, 0, built.stderr);
      await platform.apply(manifest);
    });
    after(async () => {
      await platform.dispose();
      rmSync(source, { recursive: true, force: true });
    });

    const count = (): Promise<number> =>
      waitFor('an answer', async () => {
        const { status, body } = await platform.curl('counter.test');
        return status === 200 && Number(body);
      });

    it('an Ingress leads to pods whose data outlives them, and the platform', async () => {
      assert.equal(await count(), 1);
      assert.equal(await count(), 2);
      const row = await platform.kubectl(['get', 'pvc', 'counts', '--no-headers']);
      assert.match(row, /^counts\s+Bound\s+pvc-\S+\s+1Gi\s+RWO\s+standard/);
      assert.match(
        await platform.kubectl(['get', 'ingress', 'counter']),
        /knapsack\s+counter\.test\s+127\.0\.0\.1\s+80/,
      );
      await platform.kubectl(['delete', 'pod', '-l', 'app=counter']);
      assert.equal(await count(), 3);
      await platform.down();
      await platform.up();
      assert.equal(await count(), 4);
    });

    it('kubectl top shows who works, and the autoscaler acts on it', async () => {
      await platform.kubectl([
        'autoscale',
        'deployment',
        'counter',
        '--min=1',
        '--max=2',
        '--cpu-percent=50',
      ]);
      const { signal, abort } = endable();
      const load = burn(signal);
      try {
        await waitFor('a busy pod', async () => {
          const top = await platform.tryKubectl(['top', 'pods', '-l', 'app=counter', '--no-headers']);
          return Number(/\s(\d+)m\s/.exec(top.stdout)?.[1] ?? 0) > 100;
        });
        await waitFor(
          'two pods',
          async () =>
            (await platform.kubectl(['get', 'deployment', 'counter', '-o', 'jsonpath={.spec.replicas}'])) ===
            '2',
          90_000,
        );
      } finally {
        abort();
        await load;
      }
      await waitFor('the event of it', async () =>
        /SuccessfulRescale\s.*New size: 2; reason: cpu resource utilization/.test(
          await platform.kubectl(['describe', 'hpa', 'counter']),
        ),
      );
      assert.match(await platform.kubectl(['top', 'nodes', '--no-headers']), /^\S+\s+\d+m\s+\d+%/);
      const lease = await platform.kubectl(['get', 'leases', '-n', 'kube-node-lease', '--no-headers']);
      assert.equal(lease.trim().split('\n').length, 1);
    });

    it('a deleted claim takes its data along, once nobody uses it', async () => {
      const volumes = join(platform.data, 'volumes');
      await platform.kubectl(['delete', 'pvc', 'counts', '--wait=false']);
      assert.match(await platform.kubectl(['get', 'pvc', 'counts', '--no-headers']), /Terminating/);
      assert.equal(readdirSync(volumes).length, 1);
      await platform.kubectl(['delete', 'hpa,deployment', 'counter']);
      await waitFor('no volume', () => !existsSync(volumes) || readdirSync(volumes).length === 0);
      assert.equal((await platform.tryKubectl(['get', 'pv', '--no-headers'])).stdout, '');
    });

    function endable(): { signal: AbortSignal; abort: () => void } {
      const controller = new AbortController();
      return { signal: controller.signal, abort: () => controller.abort() };
    }

    async function burn(signal: AbortSignal): Promise<void> {
      while (!signal.aborted) await platform.curl('counter.test', { path: '/burn' }).catch(() => undefined);
    }
  });
}
