import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { horizontalPodAutoscalers } from '../../../src/api/kubernetes/autoscaling.ts';
import { kubectlSkipReason } from '../../support/drivers.ts';
import { kubectls } from '../../support/kubectl.ts';
import { execute } from '../../support/platform.ts';
import { makeDeployment } from '../../cluster/support.ts';
import { deployments } from '../../../src/api/kubernetes/workloads.ts';
import { startTestServer, type TestServer } from './support.ts';

describe('HorizontalPodAutoscalers with kubectl', { skip: kubectlSkipReason() ?? false }, () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await server.api.client.create(deployments, makeDeployment('web', { replicas: 1 }));
  });
  after(() => server.close());

  for (const [minor, program] of kubectls()) {
    it(`kubectl 1.${minor}: autoscale, get, describe, delete`, async () => {
      const kubectl = async (...args: string[]): Promise<string> => {
        const env = { KUBECONFIG: server.kubeconfig, HOME: server.dir };
        const { code, stdout, stderr } = await execute(program, args, { env });
        assert.equal(code, 0, stderr);
        return stdout;
      };
      await kubectl('autoscale', 'deployment', 'web', '--min=2', '--max=5', '--cpu-percent=60');
      const key = { namespace: 'default', name: 'web' };
      const stored = await server.api.client.get(horizontalPodAutoscalers, key);
      assert.deepEqual(stored.spec?.metrics, [
        {
          type: 'Resource',
          resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 60 } },
        },
      ]);
      const status = {
        currentReplicas: 2,
        desiredReplicas: 2,
        currentMetrics: [
          {
            type: 'Resource',
            resource: { name: 'cpu', current: { averageUtilization: 30, averageValue: '30m' } },
          },
        ],
        conditions: [{ type: 'AbleToScale', status: 'True', reason: 'ReadyForNewScale', message: 'm' }],
      };
      const patch = { type: 'merge', body: { status } } as const;
      await server.api.client.patch(horizontalPodAutoscalers, key, patch, { subresource: 'status' });
      const row = (await kubectl('get', 'hpa', '--no-headers')).trim().replace(/ {2,}/g, '|');
      assert.match(row, /^web\|Deployment\/web\|cpu: 30%\/60%\|2\|5\|2\|\d+s$/);
      const described = await kubectl('describe', 'hpa', 'web');
      assert.match(described, /Reference:\s+Deployment\/web/);
      assert.match(described, /resource cpu on pods\s+\(as a percentage of request\):\s+30% \(30m\) \/ 60%/);
      assert.match(described, /AbleToScale\s+True\s+ReadyForNewScale/);
      const v1 = await kubectl(
        'get',
        'horizontalpodautoscalers.v1.autoscaling',
        'web',
        '-o',
        'jsonpath={.spec.targetCPUUtilizationPercentage}',
      );
      assert.equal(v1, '60');
      await kubectl('delete', 'hpa', 'web');
    });
  }
});
