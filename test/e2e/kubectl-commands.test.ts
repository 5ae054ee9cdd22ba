/** Every sub command of every kubectl on the machine against a running platform: pods, controllers and streams included. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { kubectlSkipReason, ociSkipReason } from '../support/drivers.ts';
import { kubectls, splitArgs } from '../support/kubectl.ts';
import { execute, knapsack, TestPlatform, type Output } from '../support/platform.ts';
import { waitFor } from '../support/wait.ts';
import { debugToolsName } from '../../src/image/build/tools.ts';

const example = fileURLToPath(new URL('../../examples/helloworld-nodejs', import.meta.url));
const hello = 'docker.io/e2e/hello';
const shell = debugToolsName;
const driver = ociSkipReason() === undefined ? 'oci' : 'process';

/** A web application that `kubectl apply` knows. */
const web = (image: string, greeting: string): string => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: ${image}
        env: [{name: TARGET, value: ${greeting}}]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {port: http}, periodSeconds: 1}
`;

/** A pod with a shell that waits. */
const talker = `
apiVersion: v1
kind: Pod
metadata: {name: talker, labels: {app: talker}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: ${shell}
    command: [sh, -c, "echo first line; echo second line >&2; while :; do cat; done"]
    stdin: true
  - name: other
    image: ${shell}
    command: [sh, -c, "echo from the other; exec cat"]
    stdin: true
`;

const configMaps = (...names: string[]): string =>
  names
    .map((name) => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}, labels: {set: p}}`)
    .join('\n---\n');

describe('kubectl, command by command', { skip: kubectlSkipReason(), timeout: 1_200_000 }, () => {
  const platform = new TestPlatform(driver);
  before(async () => {
    await platform.up();
    const built = await knapsack(['image', 'build', example, '-t', hello, '--data', platform.data]);
    assert.equal(built.code, 0, built.stderr);
  });
  after(() => platform.dispose());
  for (const [minor, program] of kubectlSkipReason() === undefined ? kubectls() : []) {
    commands(platform, minor, program);
  }
});

function commands(platform: TestPlatform, minor: number, program: string): void {
  describe(`kubectl 1.${minor}`, () => {
    const namespace = `v${minor}`;
    const home = mkdtempSync(join(tmpdir(), 'knapsack-kubectl-'));
    const environment = (): NodeJS.ProcessEnv => ({ KUBECONFIG: platform.info.kubeconfig, HOME: home });

    const run = (args: string, input?: string, env: NodeJS.ProcessEnv = {}): Promise<Output> =>
      execute(program, ['-n', namespace, ...splitArgs(args)], {
        env: { ...environment(), ...env },
        timeoutMs: 90_000,
        ...(input === undefined ? {} : { input }),
      });
    const ok = async (args: string, input?: string, env?: NodeJS.ProcessEnv): Promise<string> => {
      const { code, stdout, stderr } = await run(args, input, env);
      assert.equal(code, 0, `kubectl ${args}: ${stderr}${stdout}`);
      return stdout;
    };
    const fails = async (args: string, message: RegExp, input?: string): Promise<Output> => {
      const result = await run(args, input);
      assert.notEqual(result.code, 0, `kubectl ${args} should have failed: ${result.stdout}`);
      assert.match(result.stderr + result.stdout, message);
      return result;
    };

    before(async () => {
      const made = await execute(program, ['create', 'namespace', namespace], { env: environment() });
      assert.equal(made.code, 0, made.stderr);
    });
    after(async () => {
      await execute(program, ['delete', 'namespace', namespace, '--wait=false'], { env: environment() });
      rmSync(home, { recursive: true, force: true });
    });

    it('apply, wait, get, describe a deployment that runs', async () => {
      await ok('apply -f -', web(hello, 'one'));
      await ok('wait deploy/web --for=condition=Available --timeout=60s');
      assert.match(await ok('get deploy web'), /web +2\/2 +2 +2/);
      assert.match(await ok('get pods -l app=web'), /1\/1 +Running +0/);
      assert.match(await ok('describe deploy web'), /2 desired \| 2 updated \| 2 total \| 2 available/);
      const [pod = ''] = (await ok('get pods -l app=web -o name')).split('\n');
      assert.match(await ok(`describe ${pod}`), /Normal +Started /);
      assert.match(await ok('get all'), /deployment\.apps\/web/);
    });

    it('rollout: status, history, undo, restart, pause and resume', async () => {
      await ok('set env deploy/web TARGET=two');
      assert.match(await ok('rollout status deploy/web --timeout=60s'), /successfully rolled out/);
      await ok('annotate deploy web kubernetes.io/change-cause=second');
      assert.match(await ok('rollout history deploy/web'), /REVISION +CHANGE-CAUSE\n1 /);
      assert.match(await ok('rollout history deploy/web --revision=2'), /TARGET:\s+two/);
      assert.match(await ok('rollout undo deploy/web'), /rolled back/);
      await ok('rollout status deploy/web --timeout=60s');
      assert.equal(
        await ok('get deploy web -o jsonpath={.spec.template.spec.containers[0].env[0].value}'),
        'one',
      );
      assert.match(await ok('rollout restart deploy/web'), /restarted/);
      await ok('rollout status deploy/web --timeout=60s');
      assert.match(await ok('rollout pause deploy/web'), /paused/);
      assert.match(await ok('rollout resume deploy/web'), /resumed/);
      assert.match(await ok('scale deploy web --replicas=1'), /scaled/);
      await ok('rollout status deploy/web --timeout=60s');
    });

    it('expose, and the endpoints behind it', async () => {
      assert.match(
        await ok('expose deploy web --port=80 --target-port=http --name=front'),
        /service\/front exposed/,
      );
      await waitFor('an endpoint', async () => /\d+:\d+/.test(await ok('get endpoints front --no-headers')));
      assert.match(await ok('get endpointslices -l kubernetes.io/service-name=front --no-headers'), /IPv4/);
      assert.match(await ok('describe service front'), /Endpoints: +\S+:\d+/);
    });

    it('autoscale and top', async () => {
      assert.match(await ok('autoscale deploy web --min=1 --max=3 --cpu-percent=80'), /autoscaled/);
      assert.match(await ok('get hpa web --no-headers'), /Deployment\/web/);
      assert.match(await ok('describe hpa web'), /Min replicas: +1/);
      await ok('delete hpa web');
      await waitFor('figures of pods', async () => (await run('top pods')).code === 0, 60_000);
      assert.match(await ok('top pods'), /^NAME +CPU\(cores\) +MEMORY\(bytes\) *\n/);
      assert.match(await ok('top pods --containers'), /web +\d+m +\d+Mi/);
      assert.match(await ok('top nodes'), /\d+m +\d+% +\d+Mi +\d+%/);
    });

    it('logs: containers, tail, since, previous, follow, timestamps', async () => {
      await ok('apply -f -', talker);
      await ok('wait pod/talker --for=condition=Ready --timeout=60s');
      await waitFor('output', async () => (await ok('logs talker -c main')).includes('second line'));
      assert.equal(await ok('logs talker -c main'), 'first line\nsecond line\n');
      assert.equal(await ok('logs talker -c main --tail=1'), 'second line\n');
      assert.match(await ok('logs talker -c main --timestamps'), /^\d{4}-\d\d-\d\dT\S+Z first line\n/);
      assert.match(await ok('logs talker --all-containers'), /from the other/);
      assert.match(await ok('logs -l app=talker -c other --prefix'), /talker\/other\] from the other/);
      assert.equal(await ok('logs talker -c main --since=1h --limit-bytes=5'), 'first');
      await fails('logs talker -c nobody', /container nobody is not valid for pod talker/);
      await fails(
        'logs talker -c main --previous',
        /previous terminated container "main" in pod "talker" not found/,
      );
    });

    it('exec: output, input, exit code, and what cannot be run', async () => {
      assert.equal(await ok("exec talker -c main -- sh -c 'echo out'"), 'out\n');
      const both = await run("exec talker -c main -- sh -c 'echo out; echo err >&2; exit 7'");
      assert.deepEqual([both.code, both.stdout], [7, 'out\n']);
      assert.match(both.stderr, /^err\n/);
      assert.match(both.stderr, /exit code 7/);
      const payload = randomBytes(300_000).toString('base64');
      assert.equal(await ok('exec -i talker -c main -- cat', payload), payload);
      await fails('exec talker -c nobody -- true', /nobody/);
      await fails('exec talker -c main -- /no/such/program', /no such file|not found|executable/i);
    });

    it('cp both ways', async () => {
      const file = join(home, 'data.bin');
      const content = randomBytes(200_000);
      writeFileSync(file, content);
      await ok(`cp ${file} talker:/tmp/copied.bin -c main`);
      await ok(`cp talker:/tmp/copied.bin ${join(home, 'back.bin')} -c main`);
      const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
      assert.equal(digest(readFileSync(join(home, 'back.bin'))), digest(content));
    });

    it('run: once with its output, and removed afterwards', async () => {
      const options = '--restart=Never --rm -i --quiet';
      const out = await run(`run once --image=${shell} ${options} --command -- sh -c 'echo ran; exit 0'`);
      assert.match(out.stdout, /ran/);
      await waitFor('its removal', async () => (await run('get pod once')).code !== 0);
      assert.match(
        await ok(`run plain --image=${shell} --restart=Never --command -- sh -c 'exit 3'`),
        /created/,
      );
      await waitFor(
        'its end',
        async () => (await ok('get pod plain -o jsonpath={.status.phase}')) === 'Failed',
      );
      assert.match(await ok('get pod plain --no-headers'), /Error/);
    });

    it('debug: an ephemeral container in a running pod', async () => {
      // Older ones speak of a kind that Kubernetes has given up with 1.22.
      if (minor < 23) return;
      const look = "sh -c 'echo looked; sleep 1'";
      await ok(`debug talker --image=${shell} -c dbg --target=main -- ${look}`);
      await waitFor('its output', async () => (await run('logs talker -c dbg')).stdout.includes('looked'));
    });

    it('jobs: create, wait, from a cron job', async () => {
      await ok(`create job once --image=${shell} -- sh -c 'echo done'`);
      await ok('wait job/once --for=condition=complete --timeout=60s');
      assert.match(await ok('get job once --no-headers'), /1\/1/);
      assert.equal(await ok('logs job/once'), 'done\n');
      // Kubernetes serves batch/v1beta1, which older ones ask for, no longer since 1.25.
      if (minor < 21) return;
      await ok(`create cronjob tick --image=${shell} '--schedule=0 0 1 1 *' -- sh -c 'echo tick'`);
      await ok('create job now --from=cronjob/tick');
      await ok('wait job/now --for=condition=complete --timeout=60s');
      assert.match(await ok('get cronjob tick --no-headers'), /0 0 1 1 \*/);
    });

    it('apply --prune removes what is no longer there', async () => {
      // The kinds that an old kubectl prunes by itself include some that are gone.
      const only = minor < 26 ? '--prune-whitelist=core/v1/ConfigMap' : '--prune-allowlist=core/v1/ConfigMap';
      const prune = `apply -f - --prune -l set=p ${only}`;
      await ok(prune, configMaps('p1', 'p2'));
      assert.match(await ok(prune, configMaps('p1')), /configmap\/p2 pruned/);
      assert.equal(await ok('get cm -l set=p -o name'), 'configmap/p1\n');
    });

    it('apply --server-side: owners, conflicts, force, diff', async () => {
      const mine = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"owned"},"data":{"a":"1"}}';
      assert.match(await ok('apply --server-side --field-manager=me -f -', mine), /serverside-applied/);
      const other = mine.replace('"1"', '"2"');
      await fails('apply --server-side --field-manager=you -f -', /conflict with "me"/, other);
      await ok('apply --server-side --field-manager=you --force-conflicts -f -', other);
      assert.equal(await ok('get cm owned -o jsonpath={.data.a}'), '2');
      const shown = minor >= 21 ? 'get cm owned -o yaml --show-managed-fields' : 'get cm owned -o yaml';
      assert.match(await ok(shown), /manager: you/);
      // From client-side apply to server-side: nothing to fight about with oneself.
      await ok('apply -f -', configMaps('moved'));
      await ok('apply --server-side -f -', configMaps('moved'));
      const { code } = await run('diff -f -', configMaps('moved'));
      assert.equal(code, 0);
    });

    it('edit, set, patch, label, annotate', async () => {
      await ok('create cm edited --from-literal=k=before');
      await ok('edit cm edited', undefined, { KUBE_EDITOR: 'sed -i s/before/after/' });
      assert.equal(await ok('get cm edited -o jsonpath={.data.k}'), 'after');
      assert.match(await ok(`set image deploy/web web=${hello}:other`), /image updated/);
      await ok(`set image deploy/web web=${hello}`);
      await ok('set resources deploy/web --limits=memory=200Mi --requests=memory=100Mi');
      await ok('set serviceaccount deploy/web default');
      assert.match(await ok('get cm edited -o name --watch-only=false'), /edited/);
    });

    it('auth: what may I do, who am I, tokens that work', async () => {
      assert.equal(await ok('auth can-i create deployments'), 'yes\n');
      assert.match(await ok('auth can-i --list'), /\*\.\*/);
      await ok('create serviceaccount bot');
      await fails('auth can-i list pods --as=system:serviceaccount:' + namespace + ':bot', /^no/);
      await ok('create role reader --verb=get,list,watch --resource=pods');
      await ok(`create rolebinding bot --role=reader --serviceaccount=${namespace}:bot`);
      assert.equal(await ok(`auth can-i list pods --as=system:serviceaccount:${namespace}:bot`), 'yes\n');
      await fails(
        `get secrets --as=system:serviceaccount:${namespace}:bot`,
        /secrets is forbidden: User "system:serviceaccount:\S+:bot" cannot list resource "secrets" in API group "" in the namespace/,
      );
      if (minor >= 24) {
        const token = (await ok('create token bot')).trim();
        const asBot = `--kubeconfig=/dev/null --server=${platform.info.api} --insecure-skip-tls-verify --token=${token}`;
        assert.match(await ok(`get pods ${asBot}`), /talker/);
        await fails(`get nodes ${asBot}`, /forbidden/);
        await fails(`get pods ${asBot}x`, /Unauthorized|logged in/);
      }
      if (minor >= 28) assert.match(await ok('auth whoami'), /system:admin/);
    });

    it('nodes: cordon, drain, uncordon, taint', async () => {
      const node = (await ok('get nodes -o name')).trim().replace('node/', '');
      assert.match(await ok(`cordon ${node}`), /cordoned/);
      assert.match(await ok('get nodes --no-headers'), /SchedulingDisabled/);
      assert.match(await ok(`uncordon ${node}`), /uncordoned/);
      await ok(`taint node ${node} trial=yes:PreferNoSchedule`);
      await ok(`taint node ${node} trial-`);
      assert.match(await ok(`describe node ${node}`), /Allocated resources/);
      assert.match(
        await ok(`drain ${node} --dry-run=client --ignore-daemonsets --force --pod-selector app=web`),
        /drain/,
      );
    });

    it('explains, lists resources and events, tells about itself', async () => {
      assert.match(await ok('explain pod.spec.containers.image'), /Name of the image/);
      assert.match(await ok('explain ksvc.spec.template'), /KIND: +Service/);
      assert.match(await ok('explain deploy --recursive'), /maxSurge/);
      assert.match(await ok('api-resources --namespaced=true -o name'), /^pods$/m);
      assert.match(await ok('cluster-info'), /is running at/);
      assert.match(await ok('get events --field-selector involvedObject.name=talker'), /Started/);
      if (minor >= 28) assert.match(await ok('events --for pod/talker'), /Started/);
      if (minor >= 24) await ok('get deploy web --subresource=status -o name');
      assert.match(await ok('get --raw /apis/apps/v1'), /APIResourceList/);
    });

    it('watch, replace --force, delete with cascade orphan', async () => {
      const replaced = await run('replace --force -f -', configMaps('p1'));
      assert.equal(replaced.code, 0, replaced.stderr);
      await ok('delete deploy web --cascade=orphan');
      assert.match(await ok('get rs -l app=web -o name'), /replicaset/);
      await ok('delete rs -l app=web');
      await ok('delete pod talker --grace-period=1');
      await waitFor('no pods', async () => (await ok('get pods -l app=web -o name')) === '', 60_000);
    });
  });
}
