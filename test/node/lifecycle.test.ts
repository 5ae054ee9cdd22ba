import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { pods } from '../../src/api/kubernetes/pods.ts';
import { podAddress } from '../../src/api/pods.ts';
import { ociSkipReason } from '../support/drivers.ts';
import { condition, startTestNode, tryHttp, type DriverName, type TestNode } from './support.ts';

for (const driver of ['process', 'spawn', 'oci'] satisfies DriverName[]) {
  const skip = driver === 'oci' ? ociSkipReason() : undefined;
  describe(`pod lifecycle, ${driver} driver`, { skip: skip ?? false }, () => {
    let node: TestNode;
    before(async () => {
      node = await startTestNode(driver);
    });
    after(() => node.close());

    it('starts, becomes Ready, answers, logs, and stops when deleted', async () => {
      const ports = [{ containerPort: 8080 }];
      const readinessProbe = { tcpSocket: { port: 8080 } };
      const env = [{ name: 'TARGET', value: 'pod' }];
      await node.run('hello', { containers: [{ name: 'app', image: 'hello', ports, readinessProbe, env }] });
      const pod = await node.untilReady('hello');
      assert.equal(pod.status?.phase, 'Running');
      const [status] = pod.status?.containerStatuses ?? [];
      assert.equal(status?.ready, true);
      assert.match(status?.imageID ?? '', /@sha256:/);
      assert.match(status?.containerID ?? '', new RegExp(`^${driver === 'oci' ? 'oci' : 'process'}://`));
      const address = podAddress(pod, 8080);
      assert.ok(address);
      assert.equal(await tryHttp(address.host, address.port), 'hello pod');
      assert.equal(await node.logs('hello'), 'listening\n');
      await node.api.client.delete(pods, { namespace: 'default', name: 'hello' });
      await node.gone('hello');
      assert.equal(await tryHttp(address.host, address.port), undefined);
    });

    it('runs a command to its end and keeps its log', async () => {
      await node.run('once', {
        restartPolicy: 'Never',
        containers: [{ name: 'app', image: 'script', args: ['console.log("done"); process.exit(3)'] }],
      });
      const pod = await node.until('once', 'Failed', (p) => p.status?.phase === 'Failed');
      assert.equal(pod.status?.containerStatuses?.[0]?.state?.terminated?.exitCode, 3);
      assert.equal(pod.status?.containerStatuses?.[0]?.state?.terminated?.reason, 'Error');
      assert.equal(condition(pod, 'Ready'), 'False');
      assert.equal(await node.logs('once'), 'done\n');
    });
  });
}
