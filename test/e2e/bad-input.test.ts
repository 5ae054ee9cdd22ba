/** What users get for bad input, by hand with real kubectl and HTTP, and that nothing else breaks: on both drivers. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { kubectlSkipReason, ociSkipReason } from '../support/drivers.ts';
import { knapsack, TestPlatform, type Output } from '../support/platform.ts';
import { waitFor } from '../support/wait.ts';

interface Condition {
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

const helloHost = 'hello.default.example.com';
const ingressHost = 'broker-ingress.knative-eventing.svc.cluster.local';

function ksvc(name: string, container: object, annotations: Record<string, string> = {}): string {
  return JSON.stringify({
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name },
    spec: { template: { metadata: { annotations }, spec: { containers: [container] } } },
  });
}

function object(apiVersion: string, kind: string, name: string, more: object = {}): string {
  return JSON.stringify({ apiVersion, kind, metadata: { name }, ...more });
}

const shortDeadline = { 'serving.knative.dev/progress-deadline': '3s' };
/** Far above what it needs: the bound is for leaks, not for tuning. */
const maxResidentKiB = 400 * 1024;

for (const driver of ['process', 'oci'] as const) {
  const skip = kubectlSkipReason() ?? (driver === 'oci' ? ociSkipReason() : undefined);
  describe(`bad input on the ${driver} driver`, { skip, timeout: 300_000 }, () => {
    const platform = new TestPlatform(driver);
    const apps = mkdtempSync(join(tmpdir(), 'knapsack-bad-'));

    before(async () => {
      await platform.up([]);
      for (const [name, program] of [
        ['crash', 'console.error("boom: no database"); process.exit(7);'],
        ['mute', 'setInterval(() => {}, 1000);'],
      ] as const) {
        mkdirSync(join(apps, name));
        writeFileSync(join(apps, name, 'package.json'), JSON.stringify({ name, main: 'index.js' }));
        writeFileSync(join(apps, name, 'index.js'), program);
        const built = await knapsack([
          'image',
          'build',
          join(apps, name),
          '-t',
          `me/${name}`,
          '--data',
          platform.data,
        ]);
        assert.equal(built.code, 0, built.stderr);
      }
      await waitFor('the example', async () => (await platform.curl(helloHost)).status === 200);
    });
    after(async () => {
      await platform.dispose();
      rmSync(apps, { recursive: true, force: true });
    });

    const create = (body: string, ...more: string[]): Promise<Output> =>
      platform.tryKubectl(['create', '-f', '-', ...more], body);

    async function condition(resource: string, type: string): Promise<Condition | undefined> {
      const text = await platform.kubectl(['get', resource, '-o', 'json']);
      const { status } = JSON.parse(text) as { status?: { conditions?: (Condition & { type: string })[] } };
      return status?.conditions?.find((one) => one.type === type);
    }

    /** Waits until a condition has the reason; returns its message. */
    function messageOf(resource: string, type: string, status: string, reason: string): Promise<string> {
      return waitFor(`${resource} ${type}=${status} ${reason}`, async () => {
        const last = await condition(resource, type);
        if (last?.status === status && last.reason === reason) return last.message ?? '(none)';
        throw new Error(`is ${JSON.stringify(last)}`);
      });
    }

    describe('kubectl is told', () => {
      const badReplicas = { selector: { matchLabels: { a: 'b' } }, template: {}, replicas: 'many' };
      const image = 'me/crash';
      const refusals: [string, string, string[], RegExp][] = [
        ['of malformed YAML', 'a: b: c', [], /error converting YAML to JSON/],
        ['of malformed JSON', '{"a": ', [], /unexpected EOF/],
        [
          'of a wrong type in a kind of Kubernetes',
          object('apps/v1', 'Deployment', 'x', { spec: badReplicas }),
          ['--validate=false'],
          /BadRequest.*Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec\.spec\.replicas of type int32/,
        ],
        [
          'of a wrong type in a kind of Knative',
          object('serving.knative.dev/v1', 'Service', 'x', {
            spec: { template: { spec: { containers: 'b' } } },
          }),
          ['--validate=false'],
          /The Service "x" is invalid: spec\.template\.spec\.containers: Invalid value: "string": .* must be of type array/,
        ],
        // Up to 1.24 kubectl finds unknown and missing fields itself, in the served schema (ValidationError).
        [
          'of an unknown field in a kind of Kubernetes',
          object('v1', 'ConfigMap', 'x', { daat: {} }),
          [],
          /BadRequest.*strict decoding error: unknown field "daat"|ValidationError\(ConfigMap\): unknown field "daat"/,
        ],
        [
          'of an unknown field in a kind of Knative',
          ksvc('x', { image, imagePullPolice: 'Always' }),
          [],
          /BadRequest.*unknown field "spec\.template\.spec\.containers\[0\]\.imagePullPolice"|ValidationError\(Service\.spec\.template\.spec\.containers\[0\]\): unknown field "imagePullPolice"/,
        ],
        [
          'of a body beyond 3 MiB',
          object('v1', 'ConfigMap', 'x', { data: { a: 'x'.repeat(3_500_000) } }),
          [],
          /Request entity too large: limit is 3145728/,
        ],
        [
          'of a ConfigMap beyond 1 MiB',
          object('v1', 'ConfigMap', 'x', { data: { a: 'x'.repeat(1_500_000) } }),
          [],
          /The ConfigMap "x" is invalid: \[\]: Too long: may not be more than 1048576 bytes/,
        ],
        [
          'of a namespace that is not there',
          ksvc('x', { image }),
          ['-n', 'nowhere'],
          /NotFound.*namespaces "nowhere" not found/,
        ],
        [
          'of a bad name',
          ksvc('Not_A_Name', { image }),
          [],
          /The Service "Not_A_Name" is invalid: metadata\.name: Invalid value: "Not_A_Name": a lowercase RFC 1123/,
        ],
        [
          'of a bad image name',
          ksvc('x', { image: 'Not:A:Name' }),
          [],
          /validation failed: invalid value: Not:A:Name: spec\.template\.spec\.containers\[0\]\.image/,
        ],
        [
          'of an unknown kind',
          object('v1', 'Nonsense', 'x'),
          [],
          /no matches for kind "Nonsense" in version "v1"/,
        ],
        [
          'of a Build with nothing to do',
          object('build.knative.dev/v1alpha1', 'Build', 'x', { spec: {} }),
          [],
          /expected exactly one, got neither: spec\.steps, spec\.template/,
        ],
        [
          'of a Trigger without subscriber',
          object('eventing.knative.dev/v1', 'Trigger', 'x', { spec: { broker: 'default' } }),
          [],
          /spec\.subscriber|ValidationError\(Trigger\.spec\): missing required field "subscriber"/,
        ],
      ];
      for (const [what, body, args, message] of refusals) {
        it(what, async () => {
          const { code, stderr } = await create(body, ...args);
          assert.equal(code, 1);
          assert.match(stderr, message);
        });
      }

      it('of an object that is not there, and of one that is', async () => {
        const missing = await platform.tryKubectl(['get', 'ksvc', 'nosuch']);
        assert.match(missing.stderr, /\(NotFound\): services\.serving\.knative\.dev "nosuch" not found/);
        const twice = await platform.tryKubectl(['create', 'namespace', 'default']);
        assert.match(twice.stderr, /\(AlreadyExists\): namespaces "default" already exists/);
      });
    });

    describe('conditions tell', () => {
      before(async () => {
        const services = [
          ksvc('missing', { image: 'registry.knapsack.local/me/nosuch' }),
          ksvc('crash', { image: 'me/crash' }, shortDeadline),
          ksvc('mute', { image: 'me/mute' }, shortDeadline),
        ];
        for (const service of services) await platform.apply(service);
      });

      it('of an image that is nowhere', async () => {
        const why = /^Unable to fetch image "registry\.knapsack\.local\/me\/nosuch": .+/;
        assert.match(await messageOf('revision/missing-00001', 'Ready', 'False', 'ContainerMissing'), why);
        const message = await messageOf('ksvc/missing', 'Ready', 'False', 'RevisionFailed');
        assert.match(message, /^Revision "missing-00001" failed with message: Unable to fetch image/);
        const row = await platform.kubectl(['get', 'ksvc', 'missing', '--no-headers']);
        assert.match(row, /False +RevisionFailed/);
      });

      it('of an app that crashes, with its exit code and last words', async () => {
        const message = await messageOf('revision/crash-00001', 'Ready', 'False', 'ExitCode7');
        assert.equal(message, 'Container failed with: boom: no database');
        assert.equal(
          await messageOf('ksvc/crash', 'Ready', 'False', 'RevisionFailed'),
          'Revision "crash-00001" failed with message: Container failed with: boom: no database.',
        );
        const pod = ['-l', 'serving.knative.dev/service=crash'];
        await waitFor('CrashLoopBackOff', async () =>
          (await platform.kubectl(['get', 'pods', ...pod])).includes('CrashLoopBackOff'),
        );
        const log = await platform.kubectl(['logs', ...pod, '-c', 'user-container', '--previous']);
        assert.equal(log, 'boom: no database\n');
      });

      it('of an app that never opens its port', async () => {
        const message = await messageOf('revision/mute-00001', 'Ready', 'False', 'ProgressDeadlineExceeded');
        assert.match(message, /^ReplicaSet "mute-00001-deployment-\S+" has timed out progressing\.$/);
        await messageOf('ksvc/mute', 'Ready', 'False', 'RevisionFailed');
        const events = await platform.kubectl(['get', 'events', '--field-selector', 'reason=Unhealthy']);
        assert.match(events, /Readiness probe failed: /);
      });

      it('of traffic to a revision that is not there; the old traffic is still served', async () => {
        const traffic = (targets: object[]): Promise<Output> => {
          const patch = JSON.stringify({ spec: { traffic: targets } });
          return platform.tryKubectl(['patch', 'ksvc', 'hello', '--type', 'merge', '-p', patch]);
        };
        const short = await traffic([{ latestRevision: true, percent: 60 }]);
        assert.match(short.stderr, /validation failed: Traffic targets sum to 60, want 100: spec\.traffic/);
        assert.equal((await traffic([{ revisionName: 'hello-00099', percent: 100 }])).code, 0);
        const message = await messageOf('ksvc/hello', 'Ready', 'False', 'RevisionMissing');
        assert.equal(message, 'Revision "hello-00099" referenced in traffic not found.');
        assert.equal((await platform.curl(helloHost)).body, 'Hello Knapsack!');
        assert.equal((await traffic([{ latestRevision: true, percent: 100 }])).code, 0);
        await platform.kubectl(['wait', 'ksvc/hello', '--for=condition=Ready', '--timeout=30s']);
      });

      it('of builds that cannot run and of those that fail', async () => {
        const git = (url: string) => ({ git: { url, revision: 'main' } });
        const steps = [
          {
            name: 'fail',
            image: 'registry.knapsack.local/base/node:24',
            args: ['node', '-e', 'process.exit(3)'],
          },
        ];
        const template = (name: string) => ({ template: { name, kind: 'ClusterBuildTemplate' } });
        const unreachable = git('http://127.0.0.1:1/nothing.git');
        const builds: Record<string, object> = {
          nowhere: { source: git('/no/such/repository'), steps },
          unreachable: { source: unreachable, steps },
          untemplated: template('nosuch'),
          unfilled: { source: unreachable, ...template('node') },
          failing: { steps },
        };
        for (const [name, spec] of Object.entries(builds))
          await platform.apply(object('build.knative.dev/v1alpha1', 'Build', name, { spec }));
        const invalid = (name: string) =>
          messageOf(`build/${name}`, 'Succeeded', 'False', 'BuildValidationFailed');
        assert.equal(
          await invalid('nowhere'),
          'MissingSource: /no/such/repository is not a directory of this machine',
        );
        assert.equal(
          await invalid('untemplated'),
          'clusterbuildtemplates.build.knative.dev "nosuch" not found',
        );
        assert.match(await invalid('unfilled'), /^UnsatisfiedParameter: .*IMAGE/);
        for (const [name, step, end] of [
          [
            'unreachable',
            'build-step-git-source-0',
            "; it said: git fetch .*unable to access 'http://127\\.0\\.0\\.1:1/",
          ],
          ['failing', 'build-step-fail', '$'],
        ] as const) {
          const failed = await waitFor(`${name} to fail`, async () => {
            const found = await condition(`build/${name}`, 'Succeeded');
            if (found?.status !== 'False') throw new Error(`is ${JSON.stringify(found)}`);
            return found;
          });
          const logs = `for logs run: kubectl -n default logs ${name}-pod-\\S+ -c ${step}`;
          const message = `^build step "${step}" exited with code [1-9]\\d* \\(image: ".+"\\); ${logs}${end}`;
          assert.match(failed.message ?? '', new RegExp(message));
        }
      });

      it('of a Trigger on a broker that is not there, until it is', async () => {
        const spec = { broker: 'default', subscriber: { uri: 'http://127.0.0.1:1' } };
        await platform.apply(object('eventing.knative.dev/v1', 'Trigger', 'early', { spec }));
        const message = await messageOf('trigger/early', 'Ready', 'False', 'BrokerDoesNotExist');
        assert.equal(message, 'Broker "default" does not exist');
        await platform.apply(object('eventing.knative.dev/v1', 'Broker', 'default'));
        await platform.kubectl(['wait', 'trigger/early', '--for=condition=Ready', '--timeout=30s']);
      });
    });

    describe('the broker ingress answers', () => {
      const event = {
        'ce-specversion': '1.0',
        'ce-id': '1',
        'ce-type': 't',
        'ce-source': '/s',
        'content-type': 'application/json',
      };
      const structured = { 'content-type': 'application/cloudevents+json' };
      const plain = { 'content-type': 'text/plain' };
      const huge = JSON.stringify('x'.repeat(2_000_000));
      const path = '/default/default';
      const cases: [string, string, string, Record<string, string>, string, number, string][] = [
        ['an unknown broker', 'POST', '/default/nosuch', event, '{}', 404, 'EVENTING_BROKER_NOT_FOUND'],
        ['a path that names none', 'POST', '/a/b/c', event, '{}', 400, 'EVENTING_PATH_INVALID'],
        ['GET', 'GET', path, {}, '', 405, 'EVENTING_METHOD_NOT_ALLOWED'],
        ['no event', 'POST', path, plain, 'hi', 400, 'EVENTING_EVENT_INVALID'],
        ['a missing id', 'POST', path, { ...event, 'ce-id': '' }, '{}', 400, 'EVENTING_EVENT_INVALID'],
        ['half an event', 'POST', path, structured, '{', 400, 'EVENTING_EVENT_INVALID'],
        ['a huge event', 'POST', path, event, huge, 413, 'EVENTING_EVENT_TOO_LARGE'],
      ];
      for (const [what, method, target, headers, body, status, code] of cases) {
        it(`${status} to ${what}`, async () => {
          const options = { local: true, method, path: target, headers, body };
          const answer = await platform.curl(ingressHost, options);
          assert.equal(answer.status, status, answer.body);
          assert.equal((JSON.parse(answer.body) as { code: string }).code, code);
        });
      }
    });

    describe('the gateway answers', () => {
      const head = `GET / HTTP/1.1\r\nHost: ${helloHost}\r\n`;
      const get = (path: string, host: string) => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
      const long = 'x'.repeat(200_000);
      const cases: [string, string, number, string][] = [
        ['an unknown host', get('/', 'nope.example.com'), 404, 'GATEWAY_NO_ROUTE'],
        ['a name of the cluster, from outside', get('/', ingressHost), 404, 'GATEWAY_NO_ROUTE'],
        ['no request line', 'GARBAGE\r\n\r\n', 400, 'GATEWAY_BAD_REQUEST'],
        ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', 400, 'GATEWAY_BAD_REQUEST'],
        ['no host', 'GET / HTTP/1.1\r\n\r\n', 400, 'GATEWAY_BAD_REQUEST'],
        ['two lengths', `${head}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`, 400, 'GATEWAY_BAD_REQUEST'],
        [
          'a length and chunks',
          `${head}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
          400,
          'GATEWAY_BAD_REQUEST',
        ],
        ['a huge head', `${head}X-Large: ${long}\r\n\r\n`, 431, 'GATEWAY_HEAD_TOO_LARGE'],
        ['a huge path', get(`/${long}`, helloHost), 414, 'GATEWAY_TARGET_TOO_LONG'],
        [
          'CONNECT',
          'CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n',
          405,
          'GATEWAY_METHOD_NOT_SERVED',
        ],
      ];
      for (const [what, bytes, status, code] of cases) {
        it(`${status} to ${what}`, async () => {
          const answer = await exchange(platform.info.gateway, bytes);
          const [first = '', ...headers] = (answer.split('\r\n\r\n')[0] ?? '').split('\r\n');
          assert.match(first, new RegExp(`^HTTP/1\\.1 ${status} `), answer);
          assert.ok(
            headers.map((line) => line.toLowerCase()).includes(`x-knapsack-error: ${code.toLowerCase()}`),
            answer,
          );
          assert.match(answer, new RegExp(`\\r\\n\\r\\n${code}: `));
        });
      }
    });

    it('nothing else broke', async () => {
      assert.equal((await platform.curl(helloHost)).body, 'Hello Knapsack!');
      assert.equal(await platform.kubectl(['get', '--raw', '/readyz']), 'ok');
      const status = await knapsack(['status', '--data', platform.data, '-o', 'json']);
      assert.equal((JSON.parse(status.stdout) as { pid: number }).pid, platform.info.pid);
      assert.match(await platform.kubectl(['get', 'ksvc', 'hello', '--no-headers']), /True/);
      const log = readFileSync(platform.info.log, 'utf8');
      const errors = log.split('\n').filter((line) => /"level":(50|60)/.test(line));
      assert.deepEqual(errors, [], 'bad input is no error of ours');
      if (process.platform === 'linux') {
        const text = readFileSync(`/proc/${platform.info.pid}/status`, 'utf8');
        const resident = Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1]);
        assert.ok(resident < maxResidentKiB, `${resident} KiB are resident`);
      }
    });
  });
}

/** Sends bytes as they are and reads until the answer is whole, or the server has closed. */
function exchange(base: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(base);
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(Number(port), hostname, () => socket.write(Buffer.from(bytes, 'latin1')));
    socket.setTimeout(10_000, () => socket.destroy(new Error('no answer within 10 s')));
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1');
      const length = /content-length: (\d+)/i.exec(answer)?.[1];
      const end = answer.indexOf('\r\n\r\n');
      if (end >= 0 && length !== undefined && answer.length >= end + 4 + Number(length)) socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
  });
}
