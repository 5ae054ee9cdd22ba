/** exec, attach, run, cp, port-forward, debug and logs, with every kubectl on the machine, on both drivers. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startStreamsPlatform, type StreamsPlatform } from '../node/streams-support.ts';
import type { DriverName } from '../node/support.ts';
import { kubectlSkipReason, ociSkipReason } from '../support/drivers.ts';
import { kubectls, Watcher } from '../support/kubectl.ts';
import type { Output } from '../support/platform.ts';
import { Terminal, terminalSkipReason } from '../support/terminal.ts';
import { waitFor } from '../support/wait.ts';

const payload = randomBytes(4 * 2 ** 20);
const digest = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex');

const server = `
const { createServer } = require('node:http');
createServer((request, response) => {
  const hash = require('node:crypto').createHash('sha256');
  request.on('data', (chunk) => hash.update(chunk));
  request.on('end', () => response.end(hash.digest('hex') + ' from ' + request.socket.remoteAddress));
}).listen(9090, '127.0.0.1');
`;

/** Loops in short steps, so that it ends soon after it is told to. */
const idle = 'trap "exit 0" TERM; while :; do sleep 0.2; done';

/** Processes of this machine whose command line contains the text. */
function processesWith(text: string): number {
  return readdirSync('/proc').filter((pid) => {
    try {
      return (
        /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ') === `${text} `
      );
    } catch {
      return false;
    }
  }).length;
}

function post(port: number, body: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, method: 'POST', agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve(text));
      response.on('error', reject);
    });
    call.on('error', reject);
    call.end(body);
  });
}

function suite(driver: DriverName, skip: string | undefined): void {
  describe(`${driver} driver`, { skip }, () => {
    let platform: StreamsPlatform;
    let dir: string;

    before(async () => {
      dir = mkdtempSync(join(tmpdir(), 'knapsack-kubectl-streams-'));
      platform = await startStreamsPlatform(driver);
      const { node } = platform;
      const shell = (script: string) => ({ image: 'shell', command: ['sh', '-c', script] });
      await node.run('app', { containers: [{ name: 'app', ...shell(`echo started; ${idle}`) }] });
      await node.run('two', {
        initContainers: [{ name: 'first', ...shell('echo prepared') }],
        containers: [
          { name: 'left', ...shell(`echo from left; ${idle}`) },
          { name: 'right', ...shell(`echo from right; ${idle}`) },
        ],
      });
      await node.run('web', { containers: [{ name: 'web', image: 'script', args: [server] }] });
      await node.run('echo', {
        containers: [
          {
            name: 'echo',
            stdin: true,
            ...shell('while read -r line; do echo "read $line"; done; echo no more; sleep 60'),
          },
        ],
      });
      await node.run('patient', { containers: [{ name: 'app', ...shell(`echo started; ${idle}`) }] });
      for (const name of ['app', 'two', 'web', 'echo', 'patient']) await node.untilReady(name);
    });

    after(async () => {
      await platform.close();
      rmSync(dir, { recursive: true, force: true });
    });

    for (const [minor, program] of kubectls()) {
      describe(`kubectl 1.${minor}`, () => {
        const run = (args: readonly string[], input?: string | Buffer): Promise<Output> =>
          platform.kubectl(program, args, input);
        const env = (): NodeJS.ProcessEnv => ({ KUBECONFIG: platform.kubeconfig, HOME: dir });

        it('exec: output, error output and exit code', async () => {
          const result = await run(['exec', 'app', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7']);
          assert.equal(result.stdout, 'out\n');
          assert.match(result.stderr, /^err\n/);
          assert.match(result.stderr, /command terminated with exit code 7/);
          assert.equal(result.code, 7);
          assert.equal((await run(['exec', 'app', '--', 'sh', '-c', ':'])).code, 0);
        });

        it('exec -i: megabytes in and out, and the end of input', async () => {
          const counted = await run(['exec', '-i', 'app', '--', 'sha256sum', '/dev/stdin'], payload);
          assert.equal(counted.stdout.split(' ')[0], digest(payload));
          const text = payload.toString('base64');
          const copied = await run(['exec', '-i', 'app', '--', 'cat'], text);
          assert.equal(digest(copied.stdout), digest(text));
        });

        it('exec: streams can be opened by name, and what is left behind holds nothing up', async () => {
          const script = 'echo one >/dev/stdout; echo two >/dev/stderr; sleep 60 & echo three';
          const result = await run(['exec', 'app', '--', 'sh', '-c', script]);
          assert.deepEqual([result.stdout, result.stderr, result.code], ['one\nthree\n', 'two\n', 0]);
        });

        it('exec: a command that ends before its input does', async () => {
          const result = await run(['exec', '-i', 'app', '--', 'head', '-c', '3'], payload);
          assert.equal(result.code, 0);
          assert.equal(result.stdout.length > 0, true);
        });

        it('exec: what cannot be', async () => {
          const commands: [string[], RegExp][] = [
            [['app', '--', 'no-such-program'], /executable file.*not found/],
            [['app', '-c', 'other', '--', 'sh'], /container other is not valid for pod app/],
            [['nobody', '--', 'sh'], /pods "nobody" not found/],
            [
              ['two', '-c', 'first', '--', 'sh'],
              /container not found \("first"\): it has ended with exit code 0/,
            ],
          ];
          for (const [args, message] of commands) {
            const result = await run(['exec', ...args]);
            assert.match(result.stderr, message);
            assert.equal(result.code, 1);
          }
        });

        it(
          'exec -it: a terminal of the right size, also after a change',
          { skip: terminalSkipReason() },
          async () => {
            const script =
              'until [ "$(stty size)" = "31 91" ]; do sleep 0.1; done; trap "stty size" WINCH; echo ready; until read -r line; do :; done; echo "got $line"; exit 4';
            const terminal = new Terminal([program, 'exec', '-it', 'app', '--', 'sh', '-c', script], env());
            await terminal.until(/ready/);
            await terminal.resize(40, 120);
            await terminal.until(/40 120\r\n/);
            terminal.type('abc\r');
            await terminal.until(/got abc/);
            assert.equal(await terminal.ended, 4);
          },
        );

        it('attach: a client whose input ends leaves, and the input stays open for the next', async () => {
          for (const word of ['first', 'second']) {
            const result = await run(['attach', '-i', 'echo'], `${word}-${minor}\n`);
            assert.equal(result.code, 0, result.stderr);
            const said = `read ${word}-${minor}\n`;
            await waitFor(said, async () => (await run(['logs', 'echo'])).stdout.includes(said));
          }
          assert.doesNotMatch((await run(['logs', 'echo'])).stdout, /no more/);
        });

        it('run -i --rm: input, output and exit code of a pod', async () => {
          const quiet = minor >= 21 ? ['-q'] : [];
          const args = ['run', `job-${minor}`, '--image=shell', '-i', '--rm', '--restart=Never', ...quiet];
          const script = 'read -r line; echo "got $line"; sleep 0.3; exit 3';
          const result = await run([...args, '--command', '--', 'sh', '-c', script], 'hello\n');
          assert.match(result.stdout, /got hello/);
          assert.equal(result.code, 3);
          await platform.node.gone(`job-${minor}`);
        });

        it('run -it --rm: a shell', { skip: terminalSkipReason() }, async () => {
          const args = ['run', `shell-${minor}`, '--image=shell', '-it', '--rm', '--restart=Never'];
          const terminal = new Terminal([program, ...args, '--command', '--', 'sh'], env());
          await terminal.until(/# /);
          // kubectl makes it one larger first, so that what runs there draws itself anew.
          terminal.type('until [ "$(stty size)" = "31 91" ]; do sleep 0.1; done; tty\r');
          await terminal.until(/\n\/dev\/pts\/\d+\r\n# /);
          terminal.type('exit\r');
          assert.equal(await terminal.ended, 0);
          await platform.node.gone(`shell-${minor}`);
        });

        it('cp: a directory there and back', async () => {
          const [from, back] = [join(dir, `from-${minor}`), join(dir, `back-${minor}`)];
          mkdirSync(join(from, 'deep'), { recursive: true });
          writeFileSync(join(from, 'payload'), payload);
          writeFileSync(join(from, 'deep', 'note'), 'a note');
          const there = `/tmp/copy-${process.pid}-${minor}`;
          const sent = await run(['cp', from, `app:${there}`]);
          assert.equal(sent.code, 0, sent.stderr);
          const received = await run(['cp', `app:${there}`, back]);
          assert.equal(received.code, 0, received.stderr);
          assert.equal(digest(readFileSync(join(back, 'payload'))), digest(payload));
          assert.equal(readFileSync(join(back, 'deep', 'note'), 'utf8'), 'a note');
          await run(['exec', 'app', '--', 'rm', '-r', there]);
        });

        it('port-forward: several connections to a port on loopback, and one that nobody listens on', async () => {
          const server = { kubeconfig: platform.kubeconfig, dir };
          const open = async (port: number): Promise<[Watcher, number]> => {
            const watcher = new Watcher(program, ['port-forward', 'pod/web', `:${port}`], server);
            const seen = await watcher.until(`-> ${port}`);
            return [watcher, Number(/127\.0\.0\.1:(\d+)/.exec(seen)?.[1])];
          };
          const [watcher, port] = await open(9090);
          const bodies = [payload, Buffer.from('a'), payload.subarray(0, 70_000), Buffer.alloc(0)];
          const answers = await Promise.all(bodies.map((body) => post(port, body)));
          for (const [i, body] of bodies.entries()) {
            assert.match(answers[i] ?? '', new RegExp(`^${digest(body)} from (::ffff:)?127.0.0.1$`));
          }
          await watcher.stop();
          const [refused, closed] = await open(9191);
          await assert.rejects(post(closed, Buffer.from('a')));
          await refused.stop();
        });

        it('the end of a pod is the end of its streams', async () => {
          const name = `ends-${minor}`;
          // Nobody else on this machine sleeps for as long.
          const seconds = `${process.pid}${minor}`;
          await platform.node.run(name, {
            containers: [{ name: 'app', image: 'shell', command: ['sh', '-c', idle] }],
          });
          await platform.node.untilReady(name);
          const forward = new Watcher(program, ['port-forward', `pod/${name}`, ':80'], {
            kubeconfig: platform.kubeconfig,
            dir,
          });
          await forward.until('-> 80');
          const streams = [
            run(['exec', name, '--', 'sh', '-c', `echo begun >&2; sleep ${seconds}; :`]),
            run(['attach', name]),
          ];
          // Both are open when the pod begins to end.
          await waitFor('the command to run', () => processesWith(`sleep ${seconds}`) > 0);
          const deleted = await run(['delete', 'pod', name, '--grace-period=1']);
          assert.equal(deleted.code, 0, deleted.stderr);
          const [exec] = await Promise.all(streams);
          assert.equal(exec?.code, 137, exec?.stderr);
          await forward.stop();
        });

        it('logs: of one container, of all, of an init container', async () => {
          assert.equal((await run(['logs', 'app'])).stdout, 'started\n');
          assert.equal((await run(['logs', 'two', '-c', 'first'])).stdout, 'prepared\n');
          const all = (await run(['logs', 'two', '--all-containers'])).stdout.split('\n').sort();
          assert.deepEqual(all, ['', 'from left', 'from right', 'prepared']);
          const times = (await run(['logs', 'app', '--timestamps'])).stdout;
          assert.match(times, /^\d{4}-\d\d-\d\dT[\d:.]+Z started\n$/);
          assert.equal((await run(['logs', 'app', '--limit-bytes=4'])).stdout, 'star');
          assert.equal((await run(['logs', 'app', '--tail=0'])).stdout, '');
          assert.equal((await run(['logs', 'app', '--since=1h'])).stdout, 'started\n');
          assert.equal((await run(['logs', 'app', '--since-time=2200-01-01T00:00:00Z'])).stdout, '');
          const previous = await run(['logs', 'app', '--previous']);
          assert.match(previous.stderr, /previous terminated container "app" in pod "app" not found/);
        });

        // Ephemeral containers became a part of debug with 1.23 at the latest.
        const canDebug = minor >= 23;
        it('debug: a container beside those of a pod', { skip: !canDebug }, async () => {
          const name = `look-${minor}`;
          const args = ['debug', 'patient', '--image=shell', '-c', name, '--target=app'];
          const result = await run([...args, '--', 'sh', '-c', 'echo looked; exit 5']);
          assert.equal(result.code, 0, result.stderr);
          const pod = await platform.node.until('patient', `${name} ended`, ({ status }) =>
            (status?.ephemeralContainerStatuses ?? []).some(
              (container) => container.name === name && container.state?.terminated?.exitCode === 5,
            ),
          );
          assert.equal(pod.status?.phase, 'Running');
          assert.equal((await run(['logs', 'patient', '-c', name])).stdout, 'looked\n');
        });

        it('debug -it: a shell that sees the processes of its target', { skip: !canDebug }, async () => {
          const args = ['debug', '-it', 'patient', '--image=shell', '--target=app', '-c', `shell-${minor}`];
          const terminal = new Terminal([program, ...args, '--', 'sh'], env());
          await terminal.until(/# /);
          terminal.type('ps ax\r');
          await terminal.until(/echo started; trap/);
          terminal.type('exit\r');
          await terminal.ended;
          await waitFor(
            'the shell to end',
            async () =>
              (await platform.node.get('patient')).status?.ephemeralContainerStatuses?.find(
                ({ name }) => name === `shell-${minor}`,
              )?.state?.terminated,
          );
        });
      });
    }
  });
}

suite('process', kubectlSkipReason());
suite('oci', kubectlSkipReason() ?? ociSkipReason());
