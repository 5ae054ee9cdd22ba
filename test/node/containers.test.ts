import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { after, before, describe, it } from 'node:test';
import { events } from '../../src/api/kubernetes/events.ts';
import { pods } from '../../src/api/kubernetes/pods.ts';
import { ociSkipReason } from '../support/drivers.ts';
import { waitFor } from '../support/wait.ts';
import { condition, startTestNode, type DriverName, type TestNode } from './support.ts';

const print = (expression: string): string => `console.log(JSON.stringify(${expression}))`;
const forever = 'setInterval(() => {}, 1000)';

for (const driver of ['process', 'spawn', 'oci'] satisfies DriverName[]) {
  const skip = driver === 'oci' ? ociSkipReason() : undefined;
  describe(`containers, ${driver} driver`, { skip: skip ?? false, concurrency: 3 }, () => {
    let node: TestNode;
    before(async () => {
      node = await startTestNode(driver);
    });
    after(() => node.close());

    it('runs init containers in order over a shared emptyDir, then the main one', async () => {
      const volumeMounts = [{ name: 'work', mountPath: '/workspace' }];
      const append = (text: string) => [`require('fs').appendFileSync('/workspace/file', '${text} ')`];
      const step = (name: string) => ({ name, image: 'script', args: append(name), volumeMounts });
      await node.run('steps', {
        restartPolicy: 'Never',
        volumes: [{ name: 'work', emptyDir: {} }],
        initContainers: [step('one'), step('two')],
        containers: [
          {
            name: 'three',
            image: 'script',
            workingDir: '/workspace',
            args: ["console.log(require('fs').readFileSync('file', 'utf8'))"],
            volumeMounts,
          },
        ],
      });
      const pod = await node.until('steps', 'Succeeded', (p) => p.status?.phase === 'Succeeded');
      assert.equal(await node.logs('steps'), 'one two \n');
      assert.equal(condition(pod, 'Initialized'), 'True');
      const ends = pod.status?.initContainerStatuses?.map((s) => s.state?.terminated?.reason);
      assert.deepEqual(ends, ['Completed', 'Completed']);
    });

    it('does not start the main container when an init container fails for good', async () => {
      await node.run('broken-step', {
        restartPolicy: 'Never',
        initContainers: [{ name: 'one', image: 'script', args: ['process.exit(4)'] }],
        containers: [{ name: 'main', image: 'script', args: [print('1')] }],
      });
      const pod = await node.until('broken-step', 'Failed', (p) => p.status?.phase === 'Failed');
      assert.equal(pod.status?.initContainerStatuses?.[0]?.state?.terminated?.exitCode, 4);
      assert.equal(pod.status?.containerStatuses?.[0]?.state?.waiting?.reason, 'PodInitializing');
    });

    it('restarts a crashing container once at once, then backs off, and keeps the previous log', async () => {
      const args = ['console.log("crash"); process.exit(7)'];
      await node.run('crash', { containers: [{ name: 'app', image: 'script', args }] });
      const pod = await node.until('crash', 'CrashLoopBackOff', (p) => {
        return p.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'CrashLoopBackOff';
      });
      const status = pod.status?.containerStatuses?.[0];
      assert.match(
        status?.state?.waiting?.message ?? '',
        /^back-off 10s restarting failed container=app pod=crash_default\(/,
      );
      assert.equal(status?.restartCount, 1);
      assert.equal(status?.lastState?.terminated?.exitCode, 7);
      assert.equal(pod.status?.phase, 'Running');
      assert.equal(await node.logs('crash', { previous: true }), 'crash\n');
    });

    it('says what is wrong with a missing image', async () => {
      await node.run('no-image', { containers: [{ name: 'app', image: 'nothing:1' }] });
      await node.until('no-image', 'ErrImagePull', (p) => {
        return p.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'ErrImagePull';
      });
      const pod = await node.until('no-image', 'ImagePullBackOff', (p) => {
        return p.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'ImagePullBackOff';
      });
      assert.equal(pod.status?.phase, 'Pending');
      await assert.rejects(node.logs('no-image'), /is waiting to start: ImagePullBackOff/);
      await waitFor('the event', async () => {
        const { items } = await node.api.client.list(events, { namespace: 'default' });
        return items.some((e) => e.involvedObject.name === 'no-image' && e.message?.includes('nothing:1'));
      });
    });

    it('says what is wrong with a command that is not there', async () => {
      await node.run('no-command', {
        restartPolicy: 'Never',
        containers: [{ name: 'app', image: 'script', command: ['no-such-program'] }],
      });
      const pod = await node.until('no-command', 'Failed', (p) => p.status?.phase === 'Failed');
      const terminated = pod.status?.containerStatuses?.[0]?.state?.terminated;
      assert.equal(terminated?.exitCode, 128);
      assert.equal(terminated?.reason, 'StartError');
      assert.match(terminated?.message ?? '', /no-such-program/);
    });

    it('is Running and not Ready while the port is not opened', async () => {
      await node.run('deaf', {
        containers: [
          {
            name: 'app',
            image: 'script',
            args: [`console.log('up'); ${forever}`],
            readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
          },
        ],
      });
      await waitFor('the event', async () => {
        const { items } = await node.api.client.list(events, { namespace: 'default' });
        return items.some((e) => e.involvedObject.name === 'deaf' && e.reason === 'Unhealthy');
      });
      const pod = await node.get('deaf');
      assert.equal(pod.status?.phase, 'Running');
      assert.equal(condition(pod, 'Ready'), 'False');
      assert.equal(condition(pod, 'ContainersReady'), 'False');
    });

    it('restarts a container whose liveness probe fails', async () => {
      await node.run('sick', {
        containers: [
          {
            name: 'app',
            image: 'script',
            args: [forever],
            livenessProbe: {
              exec: { command: ['node', '-e', 'process.exit(1)'] },
              periodSeconds: 1,
              failureThreshold: 1,
            },
          },
        ],
        terminationGracePeriodSeconds: 1,
      });
      await node.until('sick', 'a restart', (p) => (p.status?.containerStatuses?.[0]?.restartCount ?? 0) > 0);
    });

    it('follows a log with timestamps until the container ends', async () => {
      const args = [
        'let i = 0; const t = setInterval(() => { console.log("line " + ++i); if (i === 3) clearInterval(t); }, 50)',
      ];
      await node.run('talker', {
        restartPolicy: 'Never',
        containers: [{ name: 'app', image: 'script', args }],
      });
      await node.until('talker', 'a start', (p) => {
        const state = p.status?.containerStatuses?.[0]?.state;
        return state?.running !== undefined || state?.terminated !== undefined;
      });
      const text = await node.logs('talker', { follow: true, timestamps: true });
      const lines = text.trimEnd().split('\n');
      assert.deepEqual(
        lines.map((line) => line.replace(/^\d{4}-\d\d-\d\dT[\d:]+\.\d{9}Z /, '')),
        ['line 1', 'line 2', 'line 3'],
      );
      assert.equal(await node.logs('talker', { tailLines: 1 }), 'line 3\n');
    });

    it('keeps the termination message', async () => {
      const args = [
        'require("fs").writeFileSync(process.argv[1], "because"); process.exit(1)',
        '/dev/termination-log',
      ];
      // Whoever it is under.
      const securityContext = process.geteuid?.() === 0 ? { runAsUser: 2020 } : {};
      await node.run('message', {
        restartPolicy: 'Never',
        containers: [{ name: 'app', image: 'script', args, securityContext }],
      });
      const pod = await node.until('message', 'Failed', (p) => p.status?.phase === 'Failed');
      assert.equal(pod.status?.containerStatuses?.[0]?.state?.terminated?.message, 'because');
    });

    it('tells what does not fit, and starts it when there is room', async () => {
      const requests = { cpu: `${Math.ceil(availableParallelism() * 600)}m` };
      const spec = {
        containers: [{ name: 'app', image: 'script', args: [forever], resources: { requests } }],
      };
      await node.run('first', spec);
      await node.untilReady('first');
      await node.run('second', spec);
      const pod = await node.until('second', 'PodScheduled', (p) => condition(p, 'PodScheduled') === 'False');
      const scheduled = pod.status?.conditions?.find((c) => c.type === 'PodScheduled');
      assert.equal(scheduled?.reason, 'Unschedulable');
      assert.equal(scheduled?.message, '0/1 nodes are available: 1 Insufficient cpu.');
      assert.equal(pod.status?.phase, 'Pending');
      await node.api.client.delete(pods, { namespace: 'default', name: 'first' }, { gracePeriodSeconds: 1 });
      await node.untilReady('second');
    });

    it('ends a container that ignores the signal when its time is up', async () => {
      await node.run('deafened', {
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name: 'app',
            image: 'script',
            args: [`process.on('SIGTERM', () => {}); console.log('up'); ${forever}`],
          },
        ],
      });
      await waitFor('the container to be up', () =>
        node.logs('deafened').then(
          (text) => text === 'up\n',
          () => false,
        ),
      );
      const begun = Date.now();
      await node.api.client.delete(pods, { namespace: 'default', name: 'deafened' });
      await node.gone('deafened');
      assert.ok(Date.now() - begun >= 900, 'it was given its time');
    });

    it(
      'kills a container that takes more memory than it may',
      { skip: driver !== 'oci' && process.getuid?.() !== 0 },
      async () => {
        await node.run('fat', {
          restartPolicy: 'Never',
          containers: [
            {
              name: 'app',
              image: 'script',
              args: ['const all = []; for (;;) all.push(Buffer.alloc(8 << 20, 1))'],
              resources: { limits: { memory: '128Mi' } },
            },
          ],
        });
        const pod = await node.until('fat', 'Failed', (p) => p.status?.phase === 'Failed');
        const terminated = pod.status?.containerStatuses?.[0]?.state?.terminated;
        assert.equal(terminated?.reason, 'OOMKilled');
        assert.equal(terminated?.exitCode, 137);
      },
    );

    if (driver === 'oci') {
      it('isolates: own processes and network, user, dropped capabilities, no way to mount', async () => {
        const script = `
          const fs = require('fs');
          const status = fs.readFileSync('/proc/self/status', 'utf8');
          const field = (name) => new RegExp('^' + name + ':\\\\s*(\\\\S+)', 'm').exec(status)[1];
          const writable = (path) => { try { fs.writeFileSync(path, 'x'); return true; } catch { return false; } };
          console.log(JSON.stringify([process.pid, process.getuid(), field('CapEff'), field('NoNewPrivs'), field('Seccomp'),
            writable('/file'), writable('/tmp/file'), writable('/sys/fs/cgroup/x'), writable('/proc/sys/kernel/hostname'),
            Object.keys(require('os').networkInterfaces()).sort(), fs.readFileSync('/etc/hostname', 'utf8').trim()]));`;
        await node.run('isolated', {
          restartPolicy: 'Never',
          containers: [
            {
              name: 'app',
              image: 'script',
              args: [script],
              securityContext: {
                runAsUser: 2020,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ['ALL'] },
              },
            },
          ],
        });
        await node.until('isolated', 'its end', (p) => p.status?.phase === 'Succeeded');
        assert.deepEqual(JSON.parse(await node.logs('isolated')), [
          1, 2020, '0000000000000000', '1', '2', false, true, false, false, ['eth0', 'lo'], 'isolated',
        ]); // prettier-ignore
      });

      it('shows the memory limit to Node.js', async () => {
        await node.run('limited', {
          restartPolicy: 'Never',
          containers: [
            {
              name: 'app',
              image: 'script',
              args: [print('process.constrainedMemory()')],
              resources: { limits: { memory: '256Mi' } },
            },
          ],
        });
        await node.until('limited', 'its end', (p) => p.status?.phase === 'Succeeded');
        assert.equal(await node.logs('limited'), `${256 * 2 ** 20}\n`);
      });

      it('leaves the image as it was', async () => {
        const { rootfs } = await node.images.ensure('script');
        const args = ["require('fs').writeFileSync('/etc/passwd', 'changed'); console.log('ok')"];
        await node.run('vandal', {
          restartPolicy: 'Never',
          containers: [{ name: 'app', image: 'script', args }],
        });
        await node.until('vandal', 'its end', (p) => p.status?.phase === 'Succeeded');
        assert.match(readFileSync(`${rootfs}/etc/passwd`, 'utf8'), /^root:/);
      });
    }
  });
}
