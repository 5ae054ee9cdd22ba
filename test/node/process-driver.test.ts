import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import * as fc from 'fast-check';
import { identifyProcess } from '../../src/base/process.ts';
import {
  StartError,
  type ContainerHandle,
  type ContainerSpec,
  type Sandbox,
} from '../../src/node/drivers/driver.ts';
import { findShellPrograms } from '../../src/node/drivers/process-shell.ts';
import { ProcessDriver } from '../../src/node/drivers/process.ts';
import { waitFor } from '../support/wait.ts';

const path = process.env['PATH'] ?? '';
const isRoot = process.geteuid?.() === 0;
const shellSkip = findShellPrograms(path) ? undefined : 'no setsid, or a shell that we do not know';

for (const way of ['shell', 'spawn'] as const) {
  const skip = way === 'shell' ? shellSkip : undefined;
  describe(`process driver, by ${way}`, { skip: skip ?? false }, () => {
    let root: string;
    let driver: ProcessDriver;
    let sandbox: Sandbox;
    let count = 0;

    function open(): ProcessDriver {
      const hostPath = way === 'shell' ? path : join(root, 'no-programs');
      return new ProcessDriver({
        tag: `test${process.pid}`,
        reason: 'asked for',
        hostPath,
        dir: join(root, 'driver'),
      });
    }

    before(async () => {
      root = mkdtempSync(join(tmpdir(), 'knapsack-process-'));
      chmodSync(root, 0o755);
      for (const dir of ['image/app', 'a directory\nof two lines'])
        mkdirSync(join(root, dir), { recursive: true });
      driver = open();
      sandbox = await driver.createSandbox({
        pod: { namespace: 'default', name: 'p', uid: 'u' },
        dir: root,
        hostname: 'p',
        hostNetwork: false,
        hostIP: '127.0.0.1',
        ports: [],
        hostAliases: [],
        dns: { base: 'host', nameservers: [], searches: [], options: [] },
        fullHostname: undefined,
      });
    });

    after(async () => {
      await driver.sweep(new Set());
      await driver.close(true);
      assert.equal(existsSync(join(root, 'driver')), false);
      rmSync(root, { recursive: true, force: true });
    });

    function specOf(script: string, args: readonly string[], more: Partial<ContainerSpec>): ContainerSpec {
      const id = `u_${++count}`;
      return {
        id,
        name: id,
        rootfs: join(root, 'image'),
        command: ['node', '-e', script, '--', ...args],
        env: new Map(),
        cwd: '/app',
        user: undefined,
        mounts: [],
        readOnlyRoot: false,
        privileged: false,
        allowPrivilegeEscalation: false,
        capabilities: { add: [], drop: [] },
        seccompUnconfined: false,
        sysctls: {},
        limits: { memoryBytes: undefined, cpuMillis: undefined, cpuRequestMillis: 0 },
        logPath: join(root, `${id}.log`),
        stdin: undefined,
        tty: false,
        sharesProcessesOf: undefined,
        sharesWithHost: { processes: false, ipc: false },
        terminationMessage: { source: join(root, 'message'), destination: '/dev/termination-log' },
        ...more,
      };
    }

    interface Run {
      readonly handle: ContainerHandle;
      readonly log: () => string;
    }

    function start(script: string, args: readonly string[] = [], more: Partial<ContainerSpec> = {}): Run {
      const spec = specOf(script, args, more);
      const handle = driver.start(sandbox, spec);
      return { handle, log: () => (existsSync(spec.logPath) ? readFileSync(spec.logPath, 'utf8') : '') };
    }

    async function outputOf(script: string, args: readonly string[] = [], more: Partial<ContainerSpec> = {}) {
      const { handle, log } = start(script, args, more);
      await handle.started;
      const { exitCode } = await handle.exited;
      await handle.remove();
      assert.equal(exitCode, 0, log());
      return JSON.parse(log()) as unknown;
    }

    const pidOf = (handle: ContainerHandle): number =>
      (handle.state as unknown as { process: { pid: number } }).process.pid;

    it('passes any environment and arguments on as they are, and nothing else', async () => {
      const name = fc.oneof(
        fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,8}$/),
        fc.constantFrom(
          'a.b',
          'x-y',
          'IFS',
          'OPTIND',
          'PWD',
          'OLDPWD',
          '_',
          'PS4',
          'ENV',
          'LINENO',
          'HOME',
          'pid',
        ),
      );
      const text = fc
        .oneof(
          fc.string({ unit: 'grapheme' }),
          fc.string({
            unit: fc.constantFrom(
              '\n',
              "'",
              '"',
              '$',
              '`',
              '\\',
              ' ',
              '\t',
              '\r',
              '\u0081',
              'é',
              '\x01',
              ';',
              '*',
            ),
          }),
        )
        // Paths are rewritten, on purpose.
        .filter((value) => !value.includes('\0') && !value.includes('/'));
      const input = fc.tuple(fc.dictionary(name, text), fc.array(text, { maxLength: 3 }));
      const script = 'console.log(JSON.stringify([process.env, process.argv.slice(1)]))';
      await fc.assert(
        fc.asyncProperty(input, async ([env, args]) => {
          // Node.js itself acts on these.
          for (const key of Object.keys(env)) if (/^(?:NODE|UV|LD|PATH|PORT)/.test(key)) delete env[key];
          const [seen, argv] = (await outputOf(script, args, { env: new Map(Object.entries(env)) })) as [
            Record<string, string>,
            string[],
          ];
          delete seen['PATH'];
          assert.deepEqual(seen, { ...env });
          assert.deepEqual(argv, args);
        }),
        { numRuns: 40 },
      );
    });

    it('appends output to the log, gives no input, and its own session in its directory', async () => {
      const spec = specOf('', [], {});
      writeFileSync(spec.logPath, 'before\n');
      const script = `console.error(process.cwd()); console.log(require('fs').readFileSync(0, 'utf8').length);
        const stat = require('fs').readFileSync('/proc/self/stat', 'utf8').split(') ')[1].split(' ');
        console.log(stat[2] === String(process.pid), stat[3] === String(process.pid))`;
      const { handle, log } = start(script, [], { logPath: spec.logPath });
      await handle.exited;
      assert.equal(log(), `before\n${join(root, 'image/app')}\n0\ntrue true\n`);
      const mounts = [
        { source: join(root, 'a directory\nof two lines'), destination: '/work', readOnly: false },
      ];
      const seen = await outputOf('console.log(JSON.stringify(process.cwd()))', [], { cwd: '/work', mounts });
      assert.equal(seen, join(root, 'a directory\nof two lines'));
    });

    it('tells exit codes and signals', async () => {
      assert.deepEqual(await start('process.exit(7)').handle.exited, {
        exitCode: 7,
        signal: undefined,
        oomKilled: false,
      });
      for (const [name, number] of [
        ['SIGTERM', 15],
        ['SIGKILL', 9],
        ['SIGINT', 2],
        ['SIGQUIT', 3],
      ] as const) {
        const { handle, log } = start('console.log("up"); setInterval(() => {}, 1000)');
        await handle.started;
        await waitFor('the app to be up', () => log() === 'up\n');
        handle.signal(name);
        assert.deepEqual(await handle.exited, { exitCode: 128 + number, signal: number, oomKilled: false });
        handle.signal('SIGKILL');
      }
    });

    it('ends at a signal sent at once, whatever has become of it by then', async () => {
      for (let i = 0; i < 10; i++) {
        const { handle } = start('setInterval(() => {}, 1000)');
        if (i % 2) await handle.started;
        handle.signal('SIGKILL');
        assert.equal((await handle.exited).exitCode, 137);
        await handle.remove();
      }
    });

    it('ends what the main process leaves behind', async () => {
      const script = `const child = require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
        console.log(child.pid); process.exit(0)`;
      const { handle, log } = start(script);
      await handle.exited;
      await waitFor('the child to end', () => identifyProcess(Number(log())) === undefined);
    });

    it('rejects the start when command or directory is missing', async () => {
      await assert.rejects(start('', [], { command: ['no-such-program'] }).handle.started, StartError);
      await assert.rejects(start('', [], { cwd: '/nowhere' }).handle.started, StartError);
      await assert.rejects(start('a\0b').handle.started, StartError);
    });

    it('runs other programs than Node.js as they expect it', async () => {
      const bin = join(root, 'image/app/wait');
      writeFileSync(bin, '#!/bin/sh\necho up\nwhile :; do sleep 0.05; done\n', { mode: 0o755 });
      const { handle, log } = start('', [], { command: ['/app/wait'], env: new Map([['PATH', '/bin']]) });
      await handle.started;
      await waitFor('the script to be up', () => log().startsWith('up\n'));
      handle.signal('SIGINT');
      assert.deepEqual(await handle.exited, { exitCode: 130, signal: 2, oomKilled: false });
    });

    it('runs as the user that is asked for', { skip: !isRoot }, async (t) => {
      const user = { uid: 2020, gid: 2021, groups: [] };
      const script = 'console.log(JSON.stringify([process.getuid(), process.getgid(), process.getgroups()]))';
      const seen = await outputOf(script, [], { user });
      // Where such a user cannot reach Node.js, it stays root.
      if (JSON.stringify(seen) === JSON.stringify([0, 0, process.getgroups?.()])) t.skip('not reachable');
      else assert.deepEqual(seen, [2020, 2021, [2021]]);
    });

    it('is in its control group before it runs, or as it begins to', { skip: !isRoot }, async () => {
      // A process that has been spawned is put into its group a moment later.
      const script = `
        const deadline = Date.now() + ${way === 'shell' ? 0 : 10_000};
        let groups;
        do groups = require('fs').readFileSync('/proc/self/cgroup', 'utf8');
        while (!groups.includes('/knapsack-test') && Date.now() < deadline);
        console.log(JSON.stringify(groups));`;
      const limits = { memoryBytes: 512 << 20, cpuMillis: undefined, cpuRequestMillis: 0 };
      assert.match(
        String(await outputOf(script, [], { limits })),
        new RegExp(`/knapsack-test${process.pid}/u_`),
      );
    });

    it('tells how an adopted container ended, as far as anyone saw', async () => {
      const { handle, log } = start(
        'console.log("up"); process.on("SIGTERM", () => process.exit(5)); setInterval(() => {}, 1000)',
      );
      await handle.started;
      await waitFor('the app to be up', () => log() === 'up\n');
      const adopted = driver.adopt(handle.id, handle.state);
      assert.equal(identifyProcess(pidOf(adopted))?.pid, pidOf(handle));
      adopted.signal('SIGTERM');
      assert.equal((await adopted.exited).exitCode, way === 'shell' ? 5 : undefined);
    });
  });
}
