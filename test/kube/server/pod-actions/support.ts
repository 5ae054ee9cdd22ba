/** A server with controllers and a node that pretends, for actions on pods. */
import { systemClock } from '../../../../src/base/clock.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { resources } from '../../../../src/api/registry.ts';
import { startCluster } from '../../../../src/cluster/index.ts';
import { SharedInformers } from '../../../../src/kube/client/shared-informers.ts';
import { startFakeNode, type FakeNodeOptions } from '../../../support/fake-node.ts';
import { startTestServer, type TestServer } from '../support.ts';

/** The node is `node-1`. */
export async function startServerWithCluster(node: FakeNodeOptions | false = {}): Promise<TestServer> {
  const server = await startTestServer();
  const { client } = server.api;
  const informers = new SharedInformers({ client, clock: systemClock, log: silentLogger });
  const env = { client, informers, clock: systemClock, log: silentLogger };
  const cluster = await startCluster(env, { resources });
  const fake = node === false ? undefined : await startFakeNode(client, informers, node);
  return {
    ...server,
    async close() {
      await cluster.stop();
      await fake?.stop();
      informers.close();
      await server.close();
    },
  };
}
