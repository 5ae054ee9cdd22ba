/** A node agent behind the real API server, and an image with the programs that people run in containers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { makeAccess } from '../../src/kube/server/access.ts';
import { startApiServer } from '../../src/kube/server/api-server.ts';
import { ensureTokenKey } from '../../src/kube/server/authentication/token-key.ts';
import { writeKubeconfig } from '../../src/kube/server/kubeconfig.ts';
import { ensurePki, type Pki } from '../../src/kube/server/pki.ts';
import { podStreamHandlers } from '../../src/kube/server/pod-streams/index.ts';
import { execute, type Output } from '../support/platform.ts';
import { startTestNode, type DriverName, type TestNode } from './support.ts';

export interface StreamsPlatform {
  readonly node: TestNode;
  readonly kubeconfig: string;
  readonly pki: Pki;
  readonly port: number;
  /** Runs a kubectl. */
  kubectl(program: string, args: readonly string[], input?: string | Buffer): Promise<Output>;
  close(): Promise<void>;
}

export async function startStreamsPlatform(driver: DriverName): Promise<StreamsPlatform> {
  const node = await startTestNode(driver);
  node.images.addShell('shell', driver === 'oci');
  const dir = mkdtempSync(join(tmpdir(), 'knapsack-streams-'));
  const access = makeAccess({
    store: node.api.store,
    clock: systemClock,
    key: ensureTokenKey(join(dir, 'pki')),
  });
  const pki = ensurePki(join(dir, 'pki'));
  const server = await startApiServer({
    service: node.api.service,
    pki,
    access,
    subresources: podStreamHandlers(node.api.service, node.agent.streams),
    host: '127.0.0.1',
    port: 0,
    logs: node.agent.logs,
    log: silentLogger,
  });
  const kubeconfig = join(dir, 'kubeconfig');
  writeKubeconfig(kubeconfig, { server: server.url, ca: pki.ca.cert, ...pki.admin });
  return {
    node,
    kubeconfig,
    pki,
    port: server.port,
    kubectl: (program, args, input) =>
      execute(program, args, {
        env: { KUBECONFIG: kubeconfig, HOME: dir },
        ...(input === undefined ? {} : { input }),
      }),
    async close() {
      await server.close();
      await node.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
