/** Workloads with real pods and the real kubectl: rollouts and their history, Jobs and their counts across a crash. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { kubectlSkipReason, ociSkipReason } from '../support/drivers.ts';
import { TestPlatform } from '../support/platform.ts';
import { waitFor } from '../support/wait.ts';

const image = 'registry.knapsack.local/base/node:24';
const idle = `{name: app, image: ${image}, command: [node, -e, 'setInterval(() => {}, 1000)'], env: [{name: V, value: "1"}]}`;

const workload = (kind: string, name: string, more = ''): string => `
apiVersion: apps/v1
kind: ${kind}
metadata: {name: ${name}}
spec:
  ${more}
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [${idle}]
`;

const job = (name: string, script: string, more = ''): string => `
apiVersion: batch/v1
kind: Job
metadata: {name: ${name}}
spec:
  ${more}
  template:
    spec:
      restartPolicy: Never
      containers: [{name: app, image: ${image}, command: [node, -e, ${JSON.stringify(script)}]}]
`;

interface JobStatus {
  succeeded?: number;
  failed?: number;
  completedIndexes?: string;
  uncountedTerminatedPods?: object;
}

for (const driver of ['process', 'oci'] as const) {
  const skip = kubectlSkipReason() ?? (driver === 'oci' ? ociSkipReason() : undefined);
  describe(`workloads on the ${driver} driver`, { skip, timeout: 300_000 }, () => {
    const platform = new TestPlatform(driver);
    before(() => platform.up());
    after(() => platform.dispose());

    const kubectl = (command: string): Promise<string> => platform.kubectl(command.split(' '));
    const status = async (name: string): Promise<JobStatus> =>
      JSON.parse(await kubectl(`get job ${name} -o jsonpath={.status}`)) as JobStatus;

    for (const [kind, name, more, end] of [
      ['Deployment', 'web', 'replicas: 2', /deployment "web" successfully rolled out/],
      ['StatefulSet', 'db', 'replicas: 2', /roll ?out complete|rolling update complete/],
      ['DaemonSet', 'agent', '', /daemon set "agent" successfully rolled out/],
    ] as const) {
      it(`rolls a ${kind} forward and back`, async () => {
        const target = `${kind.toLowerCase()}/${name}`;
        const values = async (): Promise<string> => {
          const path = '{.items[*].spec.containers[0].env[0].value}';
          return kubectl(`get pods -l app=${name} --field-selector=status.phase=Running -o jsonpath=${path}`);
        };
        const settle = async (value: string): Promise<void> => {
          assert.match(await kubectl(`rollout status ${target} --timeout=60s`), end);
          await waitFor(`only ${value}`, async () => new Set((await values()).split(' ')).size === 1);
          assert.equal((await values()).split(' ')[0], value);
        };
        await platform.apply(workload(kind, name, more));
        await settle('1');
        await kubectl(`set env ${target} V=2`);
        await settle('2');
        const history = await kubectl(`rollout history ${target}`);
        assert.deepEqual(
          history
            .split('\n')
            .filter((line) => /^\d/.test(line))
            .map((line) => line.split(/\s/)[0]),
          ['1', '2'],
        );
        assert.match(await kubectl(`rollout history ${target} --revision=1`), /V:\s+1/);
        await kubectl(`rollout undo ${target} --to-revision=1`);
        await settle('1');
        assert.match(await kubectl(`rollout undo ${target}`), /rolled back/);
        await settle('2');
        await kubectl(`rollout restart ${target}`);
        await settle('2');
        await kubectl(`delete ${target} --now`);
      });
    }

    it('gives the pods of a StatefulSet disks of their own, which outlive them', async () => {
      const script =
        "const fs = require('fs'); fs.appendFileSync('/data/log', process.env.HOSTNAME + ' '); console.log(fs.readFileSync('/data/log', 'utf8')); setInterval(() => {}, 1000)";
      await platform.apply(`
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: disk}
spec:
  replicas: 2
  serviceName: disk
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}
  selector: {matchLabels: {app: disk}}
  template:
    metadata: {labels: {app: disk}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: app, image: ${image}, command: [node, -e, ${JSON.stringify(script)}], volumeMounts: [{name: data, mountPath: /data}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
`);
      await kubectl('rollout status statefulset/disk --timeout=60s');
      await kubectl('delete pod disk-1 --now');
      const log = await waitFor('the pod again', async () => {
        const { stdout } = await platform.tryKubectl(['logs', 'disk-1']);
        return stdout.includes('disk-1 disk-1') && stdout.trim();
      });
      assert.equal(log, 'disk-1 disk-1');
      await kubectl('delete statefulset disk');
      await waitFor('the claims to go', async () => (await kubectl('get pvc -o name')) === '');
    });

    it('gives the pods of an Indexed Job their index and host name', async () => {
      const script = 'console.log(process.env.JOB_COMPLETION_INDEX + " " + process.env.HOSTNAME)';
      await platform.apply(
        job('index', script, 'completions: 3\n  parallelism: 3\n  completionMode: Indexed'),
      );
      await kubectl('wait --for=condition=complete job/index --timeout=60s');
      const lines = (await kubectl('logs -l job-name=index')).trim().split('\n').sort();
      assert.deepEqual(lines, ['0 index-0', '1 index-1', '2 index-2']);
      assert.equal((await status('index')).completedIndexes, '0-2');
    });

    it('ends what it runs when a Job is suspended, and waits for no finalizer when it is deleted', async () => {
      await platform.apply(job('long', 'setInterval(() => {}, 1000)'));
      await kubectl('wait --for=jsonpath={.status.ready}=1 job/long --timeout=60s');
      await platform.kubectl(['patch', 'job', 'long', '-p', '{"spec":{"suspend":true}}']);
      await waitFor('no pods', async () => (await kubectl('get pods -l job-name=long -o name')) === '');
      assert.deepEqual((await status('long')).failed, undefined);
      await platform.kubectl(['patch', 'job', 'long', '-p', '{"spec":{"suspend":false}}']);
      await kubectl('wait --for=jsonpath={.status.ready}=1 job/long --timeout=60s');
      await kubectl('delete job long --timeout=60s');
      await waitFor('no pods', async () => (await kubectl('get pods -l job-name=long -o name')) === '');
    });

    it('makes a Job of a CronJob by hand', async () => {
      const create = `create cronjob hourly --image=${image} --schedule=@hourly -- node -e console.log(6*7)`;
      await kubectl(create);
      await kubectl('create job once --from=cronjob/hourly');
      await kubectl('wait --for=condition=complete job/once --timeout=60s');
      assert.equal((await kubectl('logs job/once')).trim(), '42');
      await kubectl('delete cronjob hourly');
    });

    it('counts each pod exactly once, though it is killed in between', async () => {
      const script = 'setTimeout(() => process.exit(0), 300)';
      await platform.apply(job('many', script, 'completions: 10\n  parallelism: 3'));
      await waitFor('some of them', async () => ((await status('many')).succeeded ?? 0) >= 2);
      platform.kill();
      await platform.up();
      await kubectl('wait --for=condition=complete job/many --timeout=120s');
      const { succeeded, failed = 0, uncountedTerminatedPods } = await status('many');
      assert.equal(succeeded, 10);
      assert.deepEqual(uncountedTerminatedPods, {});
      const phases = (await kubectl('get pods -l job-name=many -o jsonpath={.items[*].status.phase}')).split(
        ' ',
      );
      assert.equal(phases.filter((phase) => phase === 'Succeeded').length, 10);
      assert.equal(phases.filter((phase) => phase === 'Failed').length, failed);
      assert.equal(
        await kubectl('get pods -l job-name=many -o jsonpath={.items[*].metadata.finalizers}'),
        '',
        'none is held any more',
      );
    });
  });
}
