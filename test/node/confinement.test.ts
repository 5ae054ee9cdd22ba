/** What keeps a container from the devices of the machine. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ContainerSpec } from '../../src/node/drivers/driver.ts';
import { makeBundle } from '../../src/node/drivers/oci/bundle.ts';
import { ociSkipReason } from '../support/drivers.ts';
import { startTestNode } from './support.ts';

const plain: ContainerSpec = {
  id: 'u_app_0',
  name: 'app',
  rootfs: '/image',
  command: ['app'],
  env: new Map(),
  cwd: '/',
  user: undefined,
  mounts: [],
  readOnlyRoot: false,
  privileged: false,
  allowPrivilegeEscalation: false,
  capabilities: { add: [], drop: [] },
  seccompUnconfined: false,
  limits: { memoryBytes: undefined, cpuMillis: undefined, cpuRequestMillis: 0 },
  logPath: '/log',
  stdin: undefined,
  sharesProcessesOf: undefined,
  sharesWithHost: { processes: false, ipc: false },
  sysctls: {},
  tty: false,
  terminationMessage: { source: '/message', destination: '/dev/termination-log' },
};

function capabilities(spec: Partial<ContainerSpec>): readonly string[] {
  const bundle = makeBundle({
    spec: { ...plain, ...spec },
    hostname: 'h',
    rootfs: '/rootfs',
    netns: undefined,
    cgroupMounts: [],
    cgroupsPath: undefined,
    files: [],
    arch: 'x64',
  }) as { process: { capabilities: { bounding: string[] } } };
  return bundle.process.capabilities.bounding;
}

describe('capabilities', () => {
  it('make devices for privileged containers alone: nothing filters what others would make', () => {
    const add = (...names: string[]) => ({ capabilities: { add: names, drop: [] } });
    for (const spec of [{}, add('MKNOD'), add('CAP_MKNOD'), add('ALL'), add('all', 'mknod')]) {
      assert.ok(!capabilities(spec).includes('CAP_MKNOD'), JSON.stringify(spec));
    }
    assert.ok(capabilities(add('ALL')).includes('CAP_SYS_ADMIN'));
    assert.ok(capabilities({ privileged: true }).includes('CAP_MKNOD'));
  });
});

describe('the devices of the machine', { skip: ociSkipReason() ?? false }, () => {
  it('cannot be made in a container, whatever its pod asks for', async (t) => {
    const node = await startTestNode('oci');
    t.after(() => node.close());
    node.images.addShell('shell', true);
    await node.run('maker', {
      restartPolicy: 'Never',
      containers: [
        {
          name: 'app',
          image: 'shell',
          command: ['sh', '-c', 'mknod /disk b 8 0 || echo refused'],
          securityContext: { capabilities: { add: ['ALL'] } },
        },
      ],
    });
    await node.until('maker', 'its end', (pod) => pod.status?.phase === 'Succeeded');
    assert.match(await node.logs('maker'), /Operation not permitted\nrefused\n$/);
  });
});
