import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import type { Container, Pod } from '../../src/api/pods.ts';
import { KnapsackError } from '../../src/base/errors.ts';
import { decideRestart, nextBackoff, noBackoff } from '../../src/node/backoff.ts';
import { newRecord, type ContainerRecord } from '../../src/node/container-record.ts';
import { rewritePaths } from '../../src/node/drivers/host-command.ts';
import { expand, makeCommand } from '../../src/node/environment.ts';
import { ContainerLog } from '../../src/node/logs/container-log.ts';
import { readLog, type ReadOptions } from '../../src/node/logs/log-reader.ts';
import { makeNode, type Machine } from '../../src/node/node-object.ts';
import { relativeComponents, resolveInside } from '../../src/node/safe-path.ts';
import { whyMisplaced, whyUnschedulable } from '../../src/node/scheduling.ts';
import { signalOf } from '../../src/node/signals.ts';
import { phaseOf } from '../../src/node/status.ts';
import { writeAtomically } from '../../src/node/volumes.ts';

function withDirectory<T>(run: (dir: string) => T): T {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'knapsack-node-')));
  try {
    return run(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const podOf = (spec: Partial<NonNullable<Pod['spec']>> = {}): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', namespace: 'default', uid: 'u' },
  spec: { containers: [{ name: 'app', image: 'i' }], ...spec },
});

describe('restart back-off', () => {
  it('restarts at once, then after 10 s doubling to 5 min, and forgets after a long run', () => {
    const waits: number[] = [];
    let backoff = noBackoff;
    for (let i = 0; i < 8; i++) {
      const { waitMs, next } = nextBackoff(backoff, 0);
      waits.push(waitMs / 1000);
      backoff = next;
    }
    assert.deepEqual(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
    assert.equal(nextBackoff(backoff, 600_000).waitMs, 0);
  });

  it('follows the restart policy', () => {
    assert.deepEqual(
      ['Always', 'OnFailure', 'Never', undefined].map((policy) => [decideRestart(policy, 0), decideRestart(policy, 1)]),
      [[true, true], [false, true], [false, false], [true, true]],
    ); // prettier-ignore
  });
});

describe('container environment', () => {
  it('expands known names and leaves the rest', () => {
    const values = new Map([['A', '1']]);
    assert.equal(expand('$(A) $(B) $$(A) $A', values), '1 $(B) $(A) $A');
  });

  it('merges command and args with entrypoint and cmd as Kubernetes does', () => {
    const image = { Entrypoint: ['entry'], Cmd: ['cmd'] };
    const of = (more: object): string[] => makeCommand({ name: 'c', ...more }, image, new Map());
    assert.deepEqual(of({}), ['entry', 'cmd']);
    assert.deepEqual(of({ args: ['a'] }), ['entry', 'a']);
    assert.deepEqual(of({ command: ['c'] }), ['c']);
    assert.deepEqual(of({ command: ['c'], args: ['a'] }), ['c', 'a']);
    assert.throws(() => makeCommand({ name: 'c' }, {}, new Map()), /no command specified/);
  });

  it('knows the signals that images name', () => {
    assert.deepEqual(['SIGQUIT', 'int', '3', undefined, 'SIGSTOP'].map(signalOf), [
      'SIGQUIT', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGTERM',
    ]); // prettier-ignore
  });

  it('rewrites mount paths where they are whole paths', () => {
    const at = [{ destination: '/data', source: '/host/d' }, { destination: '/data/inner', source: '/host/i' }]; // prettier-ignore
    const replacements = at.sort((a, b) => b.destination.length - a.destination.length);
    const cases: [string, string][] = [
      ['/data', '/host/d'],
      ['/data/x', '/host/d/x'],
      ['/data/inner/x', '/host/i/x'],
      ['/database', '/database'],
      ['/var/data', '/var/data'],
      ['--dir=/data ls', '--dir=/host/d ls'],
      ['A:/data:/data/inner', 'A:/host/d:/host/i'],
    ];
    for (const [text, wanted] of cases) assert.equal(rewritePaths(text, replacements), wanted);
  });
});

describe('paths of volumes', () => {
  it('refuses absolute paths and ..', () => {
    for (const path of ['/x', '../x', 'a/../../b', 'a\0b']) {
      assert.throws(() => relativeComponents(path), (error) => error instanceof KnapsackError && error.code === 'NODE_VOLUME_UNSAFE'); // prettier-ignore
    }
    assert.deepEqual(relativeComponents('./a//b'), ['a', 'b']);
  });

  it('never resolves out of the root, whatever links there are', () => {
    withDirectory((dir) => {
      const root = join(dir, 'root');
      mkdirSync(join(root, 'a/b'), { recursive: true });
      symlinkSync('/', join(root, 'slash'));
      symlinkSync('../../..', join(root, 'a/up'));
      symlinkSync('/etc/passwd', join(root, 'passwd'));
      symlinkSync('loop', join(root, 'loop'));
      const part = fc.constantFrom('a', 'b', 'up', 'slash', 'passwd', '..', '.', 'x', '');
      fc.assert(
        fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
          const path = resolveInside(root, parts.join('/'));
          assert.ok(path === root || path.startsWith(`${root}/`), path);
        }),
      );
      assert.throws(() => resolveInside(root, 'loop'), /symbolic links/);
    });
  });

  it('changes all files of a volume in one step and removes old ones', () => {
    withDirectory((dir) => {
      const file = (path: string, text: string) => ({ path, content: Buffer.from(text), mode: 0o640 });
      writeAtomically(dir, [file('a', '1'), file('d/b', '2')]);
      assert.equal(readFileSync(join(dir, 'd/b'), 'utf8'), '2');
      writeAtomically(dir, [file('a', '3')]);
      assert.equal(readFileSync(join(dir, 'a'), 'utf8'), '3');
      assert.deepEqual(
        readdirSync(dir).filter((name) => !name.startsWith('..')),
        ['a'],
      );
      assert.throws(() => writeAtomically(dir, [file('../x', '')]), /must not contain/);
    });
  });
});

describe('scheduling', () => {
  const machine: Machine = {
    name: 'n', hostname: 'n', ip: '10.0.0.1', cpus: 2, memoryBytes: 2 ** 30, storageBytes: 2 ** 40, pods: 3,
    os: 'linux', arch: 'amd64', osImage: '', kernel: '', machineId: '', bootId: '',
  }; // prettier-ignore
  const node = makeNode(machine, 'test://1');
  const wants = (requests: { [name: string]: string }): Pod =>
    podOf({ containers: [{ name: 'a', image: 'i', resources: { requests } }] });

  it('says what is missing in the words of the scheduler', () => {
    assert.equal(whyUnschedulable(wants({ cpu: '2' }), node, []), undefined);
    assert.equal(
      whyUnschedulable(wants({ cpu: '1500m', memory: '2Gi' }), node, [wants({ cpu: '600m' })]),
      '0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.',
    );
    const elsewhere = podOf({ nodeSelector: { zone: 'x' } });
    const words = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.";
    assert.equal(whyUnschedulable(elsewhere, node, []), words);
    assert.match(whyUnschedulable(podOf(), node, [podOf(), podOf(), podOf()]) ?? '', /Too many pods/);
  });

  type Port = NonNullable<Container['ports']>[number];
  const listens = (port: Port): Pod => podOf({ containers: [{ name: 'a', image: 'i', ports: [port] }] });

  it('keeps two pods from one port of the machine, by address and protocol', () => {
    const cases: [Port, Port, boolean][] = [
      [{ containerPort: 80 }, { containerPort: 80 }, true],
      [{ containerPort: 80, hostPort: 80 }, { containerPort: 80, hostPort: 81 }, true],
      [{ containerPort: 80, hostPort: 80 }, { containerPort: 81, hostPort: 80 }, false],
      [{ containerPort: 80, hostPort: 80, protocol: 'UDP' }, { containerPort: 80, hostPort: 80 }, true],
      [{ containerPort: 80, hostPort: 80, hostIP: '10.0.0.1' }, { containerPort: 80, hostPort: 80 }, false],
      [
        { containerPort: 80, hostPort: 80, hostIP: '10.0.0.1' },
        { containerPort: 80, hostPort: 80, hostIP: '127.0.0.1' },
        true,
      ],
    ];
    const words = "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.";
    for (const [first, second, fits] of cases) {
      const why = whyUnschedulable(listens(second), node, [listens(first)]);
      assert.equal(why, fits ? undefined : words, JSON.stringify([first, second]));
    }
  });

  it('fails what was put on the node past the scheduler in the words of a kubelet', () => {
    assert.equal(whyMisplaced(wants({ cpu: '2', 'example.com/gpu': '1' }), node, []), undefined);
    assert.deepEqual(whyMisplaced(wants({ cpu: '1500m' }), node, [wants({ cpu: '600m' })]), {
      reason: 'OutOfcpu',
      message: "Node didn't have enough resource: cpu, requested: 1500, used: 600, capacity: 2000",
    });
    assert.equal(whyMisplaced(podOf(), node, [podOf(), podOf(), podOf()])?.reason, 'OutOfpods');
    assert.deepEqual(whyMisplaced(podOf({ nodeSelector: { zone: 'x' } }), node, []), {
      reason: 'NodeAffinity',
      message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
    });
    const port = listens({ containerPort: 80, hostPort: 80 });
    assert.equal(whyMisplaced(port, node, [port])?.reason, 'NodePorts');
    const tainted = (effect: string) => ({
      ...node,
      spec: { ...node.spec, unschedulable: true, taints: [{ key: 'k', effect }] },
    });
    assert.equal(whyMisplaced(podOf(), tainted('NoSchedule'), []), undefined);
    assert.equal(whyMisplaced(podOf(), tainted('NoExecute'), [])?.reason, 'TaintToleration');
  });
});

describe('pod phase', () => {
  const end = (exitCode: number) => ({ kind: 'terminated', terminated: { exitCode } }) as const;
  const run = { kind: 'running', startedAt: '' } as const;
  const record = (
    state: ContainerRecord['state'],
    role: ContainerRecord['role'] = 'main',
  ): ContainerRecord => ({
    ...newRecord({ name: 'c' }, role),
    state,
  });
  const phase = (restartPolicy: string, ...records: ContainerRecord[]) =>
    phaseOf(podOf({ restartPolicy }), records);

  it('adds containers up as the kubelet does', () => {
    assert.equal(phase('Always', record(run)), 'Running');
    assert.equal(phase('Always', record(end(0))), 'Running');
    assert.equal(phase('Never', record(end(0)), record(run)), 'Running');
    assert.equal(phase('Never', record(end(0)), record(end(0))), 'Succeeded');
    assert.equal(phase('Never', record(end(0)), record(end(1))), 'Failed');
    assert.equal(phase('OnFailure', record(end(1))), 'Running');
    assert.equal(phase('OnFailure', record(end(0))), 'Succeeded');
    assert.equal(phase('Always', record(end(1), 'init'), record(run)), 'Pending');
    assert.equal(phase('Never', record(end(1), 'init'), record(run)), 'Failed');
    assert.equal(phase('Always', record({ kind: 'waiting', reason: 'ErrImagePull' })), 'Pending');
  });
});

describe('container log', () => {
  const read = async (log: ContainerLog, options: ReadOptions = {}): Promise<string> => {
    const chunks: Buffer[] = [];
    for await (const chunk of readLog(log, options)) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  };

  it('moves a long file aside, loses nothing, and reads across the two', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'knapsack-node-'));
    try {
      const log = new ContainerLog(join(dir, '0.log'), 100);
      const write = (text: string): void => {
        writeFileSync(log.path, text, { flag: 'a' });
        log.look();
      };
      const lines = Array.from({ length: 12 }, (_, i) => `line ${i} ${'x'.repeat(5)}\n`);
      for (const line of lines) write(line);
      assert.ok(readFileSync(log.path).length < 100);
      assert.equal(await read(log), lines.join(''));
      assert.equal(await read(log, { tailLines: 2 }), lines.slice(-2).join(''));
      assert.equal(await read(log, { tailLines: 0 }), '');
      assert.equal(await read(log, { limitBytes: 10 }), lines[0]?.slice(0, 10));
      assert.equal(await read(log, { since: Date.now() + 1000 }), '');
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});
