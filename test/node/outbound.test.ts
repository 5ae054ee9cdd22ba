/**
 * Pods reach other machines. Two network namespaces stand for this machine and another one, joined by a veth pair, so
 * that neither rules nor settings of the real machine are touched.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { tagOf } from '../../src/node/drivers/choose.ts';
import { hasProgram, ociSkipReason } from '../support/drivers.ts';
import type { Report } from './outbound-child.ts';

const child = fileURLToPath(new URL('outbound-child.ts', import.meta.url));
const machineAddress = '198.51.100.1';
const otherAddress = '198.51.100.2';
const otherServer = `
const server = require('node:http').createServer((request, response) => response.end(request.socket.remoteAddress));
server.listen(0, '${otherAddress}', () => console.log(server.address().port));`;

class Machines {
  readonly root = mkdtempSync(join(tmpdir(), 'knapsack-node-'));
  readonly #own: string;
  readonly #other: string;
  readonly #children: ChildProcess[] = [];
  url = '';

  constructor(name: string) {
    this.#own = `knapsack-test-${process.pid}-${name}`;
    this.#other = `${this.#own}-other`;
  }

  async open(): Promise<void> {
    const [own, other] = [this.#own, this.#other];
    const commands = [
      `netns add ${own}`,
      `netns add ${other}`,
      `-n ${own} link add up0 type veth peer name up0 netns ${other}`,
      `-n ${own} addr add ${machineAddress}/24 dev up0`,
      `-n ${other} addr add ${otherAddress}/24 dev up0`,
      ...[own, other].flatMap((netns) => [`-n ${netns} link set lo up`, `-n ${netns} link set up0 up`]),
    ];
    for (const command of commands) execFileSync('ip', command.split(' '));
    this.own('sh', '-c', 'echo 0 >/proc/sys/net/ipv4/ip_forward');
    const server = this.#spawn(other, ['-e', otherServer]);
    this.url = `http://${otherAddress}:${await firstLine(server)}/`;
  }

  #spawn(netns: string, args: readonly string[]): ChildProcess {
    const process_ = spawn('nsenter', [`--net=/run/netns/${netns}`, process.execPath, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#children.push(process_);
    return process_;
  }

  /** Runs a program on the machine and returns what it prints. */
  own(...command: string[]): string {
    return execFileSync('nsenter', [`--net=/run/netns/${this.#own}`, ...command], {
      encoding: 'utf8',
      // nft warns of the tables that iptables made.
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  }

  /** What a request from the other machine gets, which knows the way to the pods. */
  async fromOther(address: string): Promise<string> {
    const route = ['-n', this.#other, 'route', 'replace', '10.0.0.0/8', 'via', machineAddress];
    execFileSync('ip', route);
    const code = `fetch('http://${address}:8080/', { signal: AbortSignal.timeout(1000) })
      .then((answer) => answer.text()).catch((error) => error.name).then(console.log)`;
    const line = await firstLine(this.#spawn(this.#other, ['-e', code]));
    execFileSync('ip', ['-n', this.#other, 'route', 'del', '10.0.0.0/8']);
    return line;
  }

  /** Everything of ours, and only that, in the firewall of the machine. */
  rules(): string[] {
    const tag = tagOf(join(this.root, 'data/node'));
    const lists = [
      hasProgram('nft') ? this.own('nft', '--stateless', 'list', 'ruleset') : '',
      hasProgram('iptables') ? this.own('iptables-save') : '',
    ];
    return lists
      .join('')
      .split('\n')
      .filter((line) => line.includes(tag))
      .map((line) => line.trim());
  }

  async agent(): Promise<{ report: Report; process: ChildProcess }> {
    const agent = this.#spawn(this.#own, [child, this.root, this.url]);
    return { report: JSON.parse(await firstLine(agent)) as Report, process: agent };
  }

  async removeLeftovers(): Promise<void> {
    const remover = this.#spawn(this.#own, [child, this.root, 'remove']);
    await once(remover, 'exit');
  }

  async close(): Promise<void> {
    for (const process_ of this.#children) await kill(process_);
    await this.removeLeftovers();
    for (const netns of [this.#own, this.#other]) execFileSync('ip', ['netns', 'del', netns]);
    rmSync(this.root, { recursive: true, force: true });
  }
}

async function kill(process_: ChildProcess): Promise<void> {
  if (process_.exitCode !== null || process_.signalCode !== null) return;
  const ended = once(process_, 'exit');
  process_.kill('SIGKILL');
  await ended;
}

async function firstLine(process_: ChildProcess): Promise<string> {
  assert.ok(process_.stdout);
  for await (const line of createInterface({ input: process_.stdout })) return line;
  throw new Error('ended without a word');
}

async function openMachines(t: TestContext, name: string): Promise<Machines> {
  const machines = new Machines(name);
  t.after(() => machines.close());
  await machines.open();
  return machines;
}

/** nft is taken by itself; iptables where its FORWARD chain drops, as Docker leaves it. */
const cases = [
  { program: 'nft', debianPackage: 'nftables', prepare: [], expected: /^table ip knapsack_/ },
  {
    program: 'iptables',
    debianPackage: 'iptables',
    prepare: ['iptables', '-P', 'FORWARD', 'DROP'],
    expected: /^-A FORWARD -j KNAPSACK-/,
  },
];

for (const { program, debianPackage, prepare, expected } of cases) {
  const missing = hasProgram(program) ? undefined : `${program} is not installed (Debian: ${debianPackage})`;
  const skip = ociSkipReason() ?? missing ?? false;
  describe(`pods reach other machines, by ${program}`, { skip }, () => {
    it('under the address of this one, by one set of rules, which goes at the end', async (t) => {
      const machines = await openMachines(t, program);
      if (prepare.length > 0) machines.own(...prepare);

      const first = await machines.agent();
      assert.equal(first.report.seen, machineAddress);
      assert.doesNotMatch(first.report.reason, /other machines/);
      const rules = machines.rules();
      assert.equal(rules.filter((line) => expected.test(line)).length, 1, rules.join('\n'));
      assert.equal(machines.own('cat', '/proc/sys/net/ipv4/ip_forward').trim(), '1');
      assert.equal(await machines.fromOther(first.report.server), 'TimeoutError');

      await kill(first.process);
      const second = await machines.agent();
      assert.equal(second.report.seen, machineAddress);
      assert.deepEqual(machines.rules(), rules);

      const ended = once(second.process, 'exit');
      second.process.stdin?.end();
      assert.deepEqual(await ended, [0, null]);
      assert.deepEqual(machines.rules(), []);
    });

    it('leaves no rule when what a killed Knapsack left is removed', async (t) => {
      const machines = await openMachines(t, `${program}-killed`);
      if (prepare.length > 0) machines.own(...prepare);
      const { process: agent } = await machines.agent();
      await kill(agent);
      assert.notDeepEqual(machines.rules(), []);
      await machines.removeLeftovers();
      assert.deepEqual(machines.rules(), []);
    });
  });
}

const skipChange = ociSkipReason() ?? (hasProgram('nft') && hasProgram('iptables') ? false : 'needs both');
describe('pods reach other machines after another program took over', { skip: skipChange }, () => {
  it('and the rules of the first are gone', async (t) => {
    const machines = await openMachines(t, 'change');
    await kill((await machines.agent()).process);
    machines.own('iptables', '-P', 'FORWARD', 'DROP');
    const { report, process: agent } = await machines.agent();
    assert.equal(report.seen, machineAddress);
    assert.equal(machines.rules().filter((line) => line.startsWith('table ip knapsack_')).length, 0);
    await kill(agent);
    machines.own('iptables', '-P', 'FORWARD', 'ACCEPT');
    assert.equal((await machines.agent()).report.seen, machineAddress);
    assert.equal(machines.rules().filter((line) => line.includes('KNAPSACK-')).length, 0);
  });
});
