/** What a user of kubectl sees of the API server alone: no controllers, no pods. Every kubectl on the machine is tried. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { LogOptions } from '../../src/kube/server/logs.ts';
import { kubectlSkipReason } from '../support/drivers.ts';
import { execute, type Output } from '../support/platform.ts';
import { Watcher, kubectls, splitArgs } from '../support/kubectl.ts';
import { startTestServer, type TestServer } from '../kube/server/support.ts';

const configMap = (data: string): string => `
apiVersion: v1
kind: ConfigMap
metadata:
  name: game
  labels: {app: game}
data:
  lives: "${data}"
`;

const deployment = (image: string): string => `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
  labels: {app: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - name: shop
        image: ${image}
        ports: [{containerPort: 80}]
        resources: {requests: {cpu: 100m, memory: 64Mi}}
`;

const knativeService = (target: string): string => `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: hello}
spec:
  template:
    spec:
      containers:
      - image: dev.local/hello
        env: [{name: TARGET, value: ${target}}]
`;

const pod = `
apiVersion: v1
kind: Pod
metadata: {name: talker}
spec:
  containers: [{name: app, image: x}]
`;

/** The output of every container. */
async function* talk(_namespace: string, _pod: string, options: LogOptions): AsyncGenerator<Buffer> {
  const time = options.timestamps ? '2026-01-01T00:00:00Z ' : '';
  yield Buffer.from(`${time}hello from ${options.container}\n`);
  if (!options.follow) return;
  yield Buffer.from('still here\n');
  await once(options.signal, 'abort');
}

function suite(program: string, minor: number): void {
  describe(`kubectl ${program} (1.${minor})`, () => {
    let server: TestServer;
    before(async () => {
      server = await startTestServer({ logs: { open: talk } });
    });
    after(() => server.close());

    const run = (args: string, input?: string): Promise<Output> =>
      execute(program, splitArgs(args), {
        env: { KUBECONFIG: server.kubeconfig, HOME: server.dir },
        timeoutMs: 60_000,
        ...(input === undefined ? {} : { input }),
      });
    const ok = async (args: string, input?: string): Promise<string> => {
      const { code, stdout, stderr } = await run(args, input);
      assert.equal(code, 0, `kubectl ${args}: ${stderr}${stdout}`);
      return stdout;
    };
    const fails = async (args: string, message: RegExp, input?: string): Promise<void> => {
      const { code, stderr } = await run(args, input);
      assert.notEqual(code, 0, `kubectl ${args} should have failed`);
      assert.match(stderr, message);
    };

    it('knows the server: version, health, API versions and resources', async () => {
      assert.match(await ok('version -o json'), /"gitVersion": "v1\.33\.0\+knapsack"/);
      assert.equal(await ok('get --raw /readyz'), 'ok');
      const versions = (await ok('api-versions')).split('\n');
      for (const version of ['v1', 'apps/v1', 'serving.knative.dev/v1'])
        assert.ok(versions.includes(version), version);
      const resources = await ok('api-resources');
      assert.match(resources, /^configmaps +cm +v1 +true +ConfigMap$/m);
      assert.match(resources, /^services +kservice,ksvc +serving\.knative\.dev\/v1 +true +Service$/m);
      assert.match(await ok('api-resources -o wide'), /^pods .*deletecollection/m);
      assert.match(await ok('api-resources --api-group=apps -o name'), /^deployments\.apps$/m);
    });

    it('creates with typed commands', async () => {
      assert.equal(await ok('create namespace team-a'), 'namespace/team-a created\n');
      assert.equal(
        await ok('create configmap settings --from-literal=a=1 --from-literal=b='),
        'configmap/settings created\n',
      );
      assert.equal(await ok('get cm settings -o jsonpath={.data}'), '{"a":"1","b":""}');
      assert.equal(
        await ok('create secret generic token --from-literal=password=s3cr3t'),
        'secret/token created\n',
      );
      assert.equal(await ok('get secret token -o jsonpath={.data.password},{.type}'), 'czNjcjN0,Opaque');
      assert.equal(
        await ok('create deployment web --image=nginx:1 --replicas=0 --port=80'),
        'deployment.apps/web created\n',
      );
      assert.equal(await ok('get deployment web -o jsonpath={.spec.replicas}'), '0');
      assert.equal(await ok('create service clusterip web --tcp=80:http'), 'service/web created\n');
      assert.equal(await ok('get service web -o jsonpath={.spec.ports[0].targetPort}'), 'http');
      assert.equal(await ok('create serviceaccount bot'), 'serviceaccount/bot created\n');
      assert.equal(await ok('create job pi --image=perl -- perl -e 1'), 'job.batch/pi created\n');
      assert.equal(
        await ok('create role reader --verb=get,list --resource=pods'),
        'role.rbac.authorization.k8s.io/reader created\n',
      );
      assert.equal(
        await ok('create ingress web --rule=foo.com/bar*=svc1:8080'),
        'ingress.networking.k8s.io/web created\n',
      );
      assert.equal(
        await ok('get ingress web -o jsonpath={.spec.rules[0].http.paths[0].backend.service}'),
        '{"name":"svc1","port":{"number":8080}}',
      );
      await fails(
        'create configmap settings',
        /Error from server \(AlreadyExists\)|error: failed to create configmap: configmaps "settings" already exists/,
      );
      await fails('create configmap x -n nowhere', /namespaces "nowhere" not found/);
      await fails('create configmap Not_A_Name', /is invalid: metadata\.name: Invalid value: "Not_A_Name"/);
    });

    it('applies: creates, finds no change, changes', async () => {
      const both = `${configMap('3')}---${deployment('nginx:1')}`;
      assert.equal(await ok('apply -f -', both), 'configmap/game created\ndeployment.apps/shop created\n');
      assert.equal(
        await ok('apply -f -', both),
        'configmap/game unchanged\ndeployment.apps/shop unchanged\n',
      );
      const generation = await ok('get deploy shop -o jsonpath={.metadata.generation}');
      const next = `${configMap('4')}---${deployment('nginx:2')}`;
      assert.equal(
        await ok('apply -f -', next),
        'configmap/game configured\ndeployment.apps/shop configured\n',
      );
      assert.equal(await ok('get cm game -o jsonpath={.data.lives}'), '4');
      assert.equal(
        await ok('get deploy shop -o jsonpath={.spec.template.spec.containers[*].image}'),
        'nginx:2',
      );
      assert.equal(
        await ok('get deploy shop -o jsonpath={.metadata.generation}'),
        String(Number(generation) + 1),
      );
    });

    it('applies custom kinds', async () => {
      const created = 'service.serving.knative.dev/hello created\n';
      assert.equal(await ok('apply -f -', knativeService('a')), created);
      await ok('apply -f -', knativeService('b'));
      assert.equal(
        await ok('get ksvc hello -o jsonpath={.spec.template.spec.containers[0].env[0].value}'),
        'b',
      );
      assert.match(await ok('get ksvc'), /^NAME +URL +LATESTCREATED +LATESTREADY +READY +REASON/);
      assert.match(await ok('describe ksvc hello'), /^Kind: +Service$/m);
    });

    it('refuses unknown fields and wrong types in words that name them', async () => {
      const strict = minor >= 27;
      const unknown = configMap('3').replace('\ndata:', '\ndato:').replace('game', 'bad');
      await fails(
        'apply -f -',
        strict ? /strict decoding error: unknown field "dato"/ : /unknown field "dato"/,
        unknown,
      );
      const wrong = deployment('nginx:1').replace('replicas: 2', 'replicas: many').replaceAll('shop', 'bad');
      await fails('create -f - --validate=false', /cannot be handled as a Deployment|is invalid/, wrong);
      await fails('create -f -', /error (parsing|converting)|mapping values are not allowed/, 'a: b: c');
    });

    it('tells differences before they are applied', async () => {
      const { code, stdout } = await run('diff -f -', configMap('5'));
      assert.equal(code, 1);
      assert.match(stdout, /^-\s+lives: "4"$/m);
      assert.match(stdout, /^\+\s+lives: "5"$/m);
      assert.equal(await ok('get cm game -o jsonpath={.data.lives}'), '4');
    });

    it('prints tables, wide tables, names, YAML and JSON', async () => {
      assert.match(
        await ok('get deploy'),
        /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nshop +0\/2 +0 +0 +\d+s\nweb +0\/0/,
      );
      assert.match(
        await ok('get deploy shop -o wide'),
        /CONTAINERS +IMAGES +SELECTOR\n.*shop +nginx:2 +app=shop\n$/,
      );
      assert.match(await ok('get cm,deploy -A'), /^NAMESPACE +NAME +DATA +AGE\ndefault +configmap\/game +1/);
      assert.equal(await ok('get cm -o name'), 'configmap/game\nconfigmap/settings\n');
      assert.match(
        await ok('get cm game -o yaml'),
        /^apiVersion: v1\ndata:\n {2}lives: "4"\nkind: ConfigMap\n/,
      );
      const list = JSON.parse(await ok('get cm -o json')) as { kind: string; items: unknown[] };
      assert.deepEqual([list.kind, list.items.length], ['List', 2]);
      assert.match(await ok('get cm --show-labels'), /game +1 +\d+s +app=game/);
      assert.match(await ok('get cm -o custom-columns=N:.metadata.name'), /^N\ngame\nsettings\n$/);
      assert.match(await ok('get cm --sort-by=.metadata.name'), /^NAME +DATA +AGE\ngame/);
      assert.match(await ok('get ns --no-headers'), /^default +Active/m);
      await fails('get cm nothing', /^Error from server \(NotFound\): configmaps "nothing" not found/);
      await fails('get unknownthings', /the server doesn't have a resource type "unknownthings"/);
      assert.match(await ok('get crd'), /^NAME +CREATED AT\n/);
      assert.match(
        await ok('get crd services.serving.knative.dev -o jsonpath={.spec.names.shortNames[*]}'),
        /ksvc/,
      );
    });

    it('selects by labels and fields, and pages', async () => {
      await ok('label cm settings tier=gold app=game');
      assert.equal(await ok('get cm -l tier=gold -o name'), 'configmap/settings\n');
      assert.equal(await ok('get cm -l app=game,tier!=gold -o name'), 'configmap/game\n');
      assert.equal(
        await ok("get cm -l 'app in (game,other)' -o name"),
        'configmap/game\nconfigmap/settings\n',
      );
      assert.equal(await ok('get cm --field-selector metadata.name=game -o name'), 'configmap/game\n');
      assert.equal(await ok('get cm --chunk-size=1 -o name'), 'configmap/game\nconfigmap/settings\n');
      await fails('get cm --field-selector data.x=1', /field label not supported: data\.x/);
      await fails("get cm -l 'a ??'", /unable to parse requirement|found '\?\?'/);
    });

    it('describes with events', async () => {
      const uid = await ok('get deploy shop -o jsonpath={.metadata.uid}');
      const event = {
        apiVersion: 'v1',
        kind: 'Event',
        metadata: { name: 'shop.1' },
        involvedObject: {
          kind: 'Deployment',
          namespace: 'default',
          name: 'shop',
          uid,
          apiVersion: 'apps/v1',
        },
        reason: 'Scaled',
        message: 'Scaled up',
        type: 'Normal',
        source: { component: 'test' },
        firstTimestamp: '2026-01-01T00:00:00Z',
        lastTimestamp: '2026-01-01T00:00:00Z',
        count: 1,
      };
      await ok('create -f -', JSON.stringify(event));
      const text = await ok('describe deploy shop');
      assert.match(text, /^Replicas: +2 desired/m);
      assert.match(text, /^ {2}Normal +Scaled +.* +test +Scaled up$/m);
      assert.match(
        await ok('get events'),
        /^LAST SEEN +TYPE +REASON +OBJECT +MESSAGE\n.*Normal +Scaled +deployment\/shop +Scaled up/,
      );
      assert.match(await ok('describe cm game'), /^lives:\n----\n4$/m);
    });

    it('labels, annotates and patches', async () => {
      assert.match(await ok('annotate cm game note=hi'), /^configmap\/game annotated?/);
      assert.match(await ok('label cm game app-'), /^configmap\/game (un)?labeled/);
      assert.equal(
        await ok(`patch cm game --type=merge -p '{"data":{"x":"y","lives":null}}'`),
        'configmap/game patched\n',
      );
      assert.equal(
        await ok(`patch cm game --type=json -p '[{"op":"add","path":"/data/z","value":"1"}]'`),
        'configmap/game patched\n',
      );
      assert.equal(await ok('get cm game -o jsonpath={.data}'), '{"x":"y","z":"1"}');
      const env =
        '{"spec":{"template":{"spec":{"containers":[{"name":"shop","env":[{"name":"A","value":"1"}]}]}}}}';
      assert.equal(await ok(`patch deploy shop -p '${env}'`), 'deployment.apps/shop patched\n');
      assert.equal(
        await ok('get deploy shop -o jsonpath={.spec.template.spec.containers[0].image}'),
        'nginx:2',
      );
      assert.equal(await ok('set image deploy/shop shop=nginx:3'), 'deployment.apps/shop image updated\n');
      await fails(
        `patch cm game --type=merge -p '{"metadata":{"name":"other"}}'`,
        /the name of the object|metadata\.name/,
      );
      await fails(
        `patch ksvc hello --type=strategic -p '{}'`,
        /media type|UnsupportedMediaType|strategic merge patch is not supported/,
      );
    });

    it('replaces, and is told when someone else was faster', async () => {
      const text = await ok('get cm game -o yaml');
      assert.equal(
        await ok('replace -f -', text.replace('x: "y"', 'x: z').replace('x: y', 'x: z')),
        'configmap/game replaced\n',
      );
      await fails(
        'replace -f -',
        /Operation cannot be fulfilled on configmaps "game": the object has been modified/,
        text,
      );
    });

    it('scales through the subresource', async () => {
      assert.equal(await ok('scale deploy shop --replicas=5'), 'deployment.apps/shop scaled\n');
      assert.equal(await ok('get deploy shop -o jsonpath={.spec.replicas}'), '5');
      await fails(
        'scale deploy shop --replicas=2 --current-replicas=9',
        /[Ee]xpected replicas to be 9, was 5/,
      );
      if (minor >= 24)
        assert.match(
          await ok('get deploy shop --subresource=scale'),
          /^NAME +DESIRED +AVAILABLE +AGE\nshop +5 +0/,
        );
    });

    it('waits and watches', async () => {
      const watcher = new Watcher(program, ['get', 'cm', '-w', '-o', 'name'], server);
      try {
        await watcher.until('configmap/settings');
        await ok('create configmap late --from-literal=step=1');
        await watcher.until('configmap/late');
      } finally {
        await watcher.stop();
      }
      if (minor >= 23) {
        const waiting = ok('wait --for=jsonpath={.data.step}=2 cm/late --timeout=30s');
        await ok(`patch cm late -p '{"data":{"step":"2"}}'`);
        assert.equal(await waiting, 'configmap/late condition met\n');
        // An older one fails when what it should wait for is gone before it looks.
        const gone = ok('wait --for=delete cm/late --timeout=30s');
        await ok('delete cm late');
        assert.match(await gone, /^(configmap\/late condition met\n)?$/);
      } else {
        await ok('delete cm late');
      }
      await fails(
        'wait --for=condition=Available deploy/shop --timeout=1s',
        /timed out waiting for the condition/,
      );
    });

    it('streams a table to get -w', async () => {
      const watcher = new Watcher(program, ['get', 'deploy', 'shop', '-w'], server);
      try {
        await watcher.until('0/5');
        await ok('scale deploy shop --replicas=6');
        const text = await watcher.until('0/6');
        assert.equal(text.match(/NAME/g)?.length, 1, text);
      } finally {
        await watcher.stop();
      }
    });

    it('explains fields', async () => {
      const text = await ok('explain deployment.spec');
      assert.match(text, /^KIND: +Deployment$/m);
      assert.match(text, /^ +replicas\s+<integer>/m);
      assert.match(text, /^ +template\s+<(PodTemplateSpec|Object)> -required-/m);
      assert.match(await ok('explain pod.spec.containers.ports'), /^ +containerPort\s+<integer> -required-/m);
      assert.match(await ok('explain ksvc.spec.template.spec'), /^ +containerConcurrency\s+<integer>/m);
      await fails('explain deployment.spec.nonsense', /field "nonsense" does not exist/);
    });

    it('says what the user may do', async () => {
      assert.equal(await ok('auth can-i create deployments'), 'yes\n');
      assert.match(await ok('auth can-i --list'), /^\*\.\* +\[\] +\[\] +\[\*\]$/m);
      if (minor >= 28) assert.match(await ok('auth whoami'), /^Username +system:admin$/m);
    });

    it('prints and follows logs', async () => {
      await ok('create -f -', pod);
      assert.equal(await ok('logs talker'), 'hello from app\n');
      assert.equal(await ok('logs talker --timestamps --tail=1'), '2026-01-01T00:00:00Z hello from app\n');
      const watcher = new Watcher(program, ['logs', '-f', 'talker'], server);
      try {
        await watcher.until('still here\n');
      } finally {
        await watcher.stop();
      }
      await fails('logs talker -c none', /container none is not valid for pod talker/);
      await fails('logs nobody', /[Ee]rror from server \(NotFound\): pods "nobody" not found/);
      assert.match(await ok('get pods'), /^NAME +READY +STATUS +RESTARTS +AGE\ntalker +0\/1 +Pending +0/);
      await ok('delete pod talker --grace-period=0 --force');
    });

    it('reads raw paths', async () => {
      const namespace = JSON.parse(await ok('get --raw /api/v1/namespaces/default')) as { status: object };
      assert.deepEqual(namespace.status, { phase: 'Active' });
      await fails('get --raw /apis/none.example.com/v1', /the server could not find the requested resource/);
    });

    it('deletes one, many and by file', async () => {
      assert.match(await ok('delete cm settings'), /^configmap "settings" deleted/);
      await fails('delete cm settings', /Error from server \(NotFound\): configmaps "settings" not found/);
      assert.equal(await ok('delete cm settings --ignore-not-found'), '');
      assert.match(await ok('delete -f -', deployment('nginx:3')), /^deployment\.apps "shop" deleted/);
      await ok('create configmap a -n team-a');
      await ok('create configmap b -n team-a');
      assert.match(await ok('delete cm --all -n team-a'), /"a" deleted[^]*"b" deleted/);
      assert.equal(await ok('delete cm -l app=none'), 'No resources found\n');
      assert.equal(await ok('create configmap dry --dry-run=server -o name'), 'configmap/dry\n');
      await fails('get cm dry', /NotFound/);
    });

    it('creates and deletes from a file with several documents and a List', async () => {
      const path = join(server.dir, 'list.json');
      const items = ['one', 'two'].map((name) => ({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name },
      }));
      writeFileSync(path, JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
      assert.equal(await ok(`create -f ${path}`), 'configmap/one created\nconfigmap/two created\n');
      assert.match(await ok(`delete -f ${path}`), /"one" deleted[^]*"two" deleted/);
    });
  });
}

const programs = kubectls();
if (programs.size === 0) it('kubectl against the API server', { skip: kubectlSkipReason() ?? 'no kubectl' });
for (const [minor, program] of programs) suite(program, minor);
