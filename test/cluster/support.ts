/** A cluster on the real embedded API: controllers, a fake node, and words for what tests wait for. */
import { systemClock, type Clock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import type { Pod } from '../../src/api/pods.ts';
import type { ResourceDef } from '../../src/api/resource.ts';
import type { MetricsSource } from '../../src/api/kubernetes/metrics.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import type { Deployment } from '../../src/api/kubernetes/workloads.ts';
import { startCluster } from '../../src/cluster/index.ts';
import type { IngressOptions } from '../../src/cluster/ingress/index.ts';
import { SharedInformers } from '../../src/kube/client/shared-informers.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { startFakeNode, type FakeNode, type FakeNodeOptions } from '../support/fake-node.ts';

export interface TestCluster extends TestApi {
  readonly informers: SharedInformers;
  readonly node: FakeNode | undefined;
  /** Pods of a namespace (default: `default`) that are not going. */
  pods(namespace?: string): Promise<Pod[]>;
}

/** `node: false` leaves pods Pending. */
export async function startTestCluster(
  options: {
    node?: FakeNodeOptions | false;
    rootCertificate?: string;
    metrics?: MetricsSource;
    volumesDir?: string;
    ingress?: IngressOptions;
    resources?: readonly ResourceDef[];
    clock?: Clock;
  } = {},
): Promise<TestCluster> {
  const { clock = systemClock } = options;
  const api = await startTestApi({ clock, ...(options.resources ? { resources: options.resources } : {}) });
  const log = silentLogger;
  const informers = new SharedInformers({ client: api.client, clock, log });
  const env = { client: api.client, informers, clock, log };
  const { rootCertificate, metrics, volumesDir, ingress } = options;
  const cluster = await startCluster(env, {
    resources: api.service.registry,
    ...(rootCertificate ? { rootCertificate } : {}),
    ...(metrics ? { metrics } : {}),
    ...(volumesDir ? { volumesDir } : {}),
    ...(ingress ? { ingress } : {}),
  });
  const node = options.node === false ? undefined : await startFakeNode(api.client, informers, options.node);
  return {
    ...api,
    informers,
    node,
    async pods(namespace = 'default') {
      const { items } = await api.client.list(pods, { namespace });
      return items.filter((pod) => !pod.metadata.deletionTimestamp);
    },
    async close() {
      await cluster.stop();
      await node?.stop();
      informers.close();
      await api.close();
    },
  };
}

/** A Deployment of one container, `app`. */
export function makeDeployment(
  name: string,
  spec: Partial<NonNullable<Deployment['spec']>> & { image?: string } = {},
): Deployment {
  const { image = 'example.com/app:1', ...rest } = spec;
  const labels = { app: name };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: 'default' },
    spec: {
      selector: { matchLabels: labels },
      template: {
        // The name of a template's metadata is not used; the type has to have one.
        metadata: { name: '', labels },
        spec: { containers: [{ name: 'app', image, ports: [{ name: 'http', containerPort: 8080 }] }] },
      },
      ...rest,
    },
  };
}
