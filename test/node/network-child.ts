/**
 * Platforms of one machine, run in a network namespace of its own. Argument: what happens. Prints the ranges of their
 * pods, or what else the scenario says, as JSON.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { PodNetwork } from '../../src/node/drivers/oci/network.ts';
import { Shell } from '../../src/node/drivers/shell.ts';
import { waitFor } from '../support/wait.ts';

const dir = mkdtempSync(join(tmpdir(), 'knapsack-network-'));
const shell = new Shell({ dir, privateMounts: false });
/** Their hashes begin at the same range. */
const tags = ['00000001', '00000002', '00000003', '00000004', '00000005', '00000006'];
const [one, two] = tags.map((tag) => () => new PodNetwork(shell, tag)) as [
  () => PodNetwork,
  () => PodNetwork,
];

function ip(command: string): void {
  execFileSync('ip', command.split(' '));
}

async function subnetOf(network: PodNetwork): Promise<string> {
  await network.ensureBridge();
  return network.subnet;
}

/** As a bridge is when the last pod has gone. */
async function loseCarrier({ bridge }: PodNetwork): Promise<void> {
  ip('link add pod0 type veth peer name pod1');
  ip(`link set pod0 master ${bridge} up`);
  ip('link set pod1 up');
  ip('link del pod0');
  await waitFor('the bridge not to run', () => networkInterfaces()[bridge] === undefined);
}

/** Names of a platform's namespaces. */
function namespaces(tag: string): string[] {
  return existsSync('/run/netns')
    ? readdirSync('/run/netns').filter((name) => name.startsWith(`knapsack-${tag}-`))
    : [];
}

/** The namespace there is besides `known`, once there is one and it is complete. */
function spareOf(tag: string, known: readonly string[] = []): Promise<string> {
  return waitFor('a spare namespace', () => {
    const [spare] = namespaces(tag).filter((name) => !known.includes(name));
    // No command is under way any more: the platform knows it, too.
    return spare !== undefined && readAddress(spare) !== '' && readdirSync(dir).length === 0 && spare;
  });
}

/** Empty until the namespace has its address and, last of all, its route. */
function readAddress(netns: string): string {
  const show = (command: string): string =>
    spawnSync('ip', ['-n', netns, ...command.split(' ')], { encoding: 'utf8' }).stdout;
  if (!show('route').includes('default')) return '';
  return /inet ([\d.]+)/.exec(show('-4 -o addr show dev eth0'))?.[1] ?? '';
}

const scenarios: Record<string, () => Promise<string[]>> = {
  async idle() {
    const first = one();
    const before = await subnetOf(first);
    await loseCarrier(first);
    // The same data directory after a restart, and another one.
    return [before, await subnetOf(one()), await subnetOf(two())];
  },
  async down() {
    const first = one();
    ip('link add other type bridge');
    ip('addr add 10.128.0.1/16 dev other');
    ip('link set other up');
    const before = await subnetOf(first);
    ip(`link set ${first.bridge} down`);
    ip('link del other');
    return [before, await subnetOf(one())];
  },
  async together() {
    return Promise.all(tags.map((tag) => subnetOf(new PodNetwork(shell, tag))));
  },
  async late() {
    const first = one();
    await subnetOf(first);
    ip(`link set ${first.bridge} down`);
    ip('link add other type bridge');
    ip('addr add 10.128.0.1/16 dev other');
    ip('link set other up');
    return [await subnetOf(one())];
  },
  async settings() {
    const { bridge } = one();
    await subnetOf(one());
    const settings = [`ipv6/conf/${bridge}/accept_ra`, `ipv4/conf/${bridge}/rp_filter`];
    return settings.map((name) => {
      const file = `/proc/sys/net/${name}`;
      return existsSync(file) ? readFileSync(file, 'utf8').trim() : 'none';
    });
  },
  async removed() {
    const first = one();
    const before = await subnetOf(first);
    ip(`link del ${first.bridge}`);
    await first.attach('pod').then(
      (address) => Promise.reject(new Error(`attached at ${address} without a bridge`)),
      () => undefined,
    );
    const address = await first.attach('pod');
    await first.detach('pod', address);
    return [before, await subnetOf(first)];
  },
  async spare() {
    const tag = randomBytes(4).toString('hex');
    const network = new PodNetwork(shell, tag);
    await network.ensureBridge();
    await network.sweep(new Set());
    const first = await spareOf(tag);
    const expected = readAddress(first);
    const one = await network.attach('pod-1');
    const told: string[] = [];
    told.push(
      one === expected && network.netnsName('pod-1') === first ? 'taken' : `${one} is not ${expected}`,
    );
    const second = await spareOf(tag, [first]);
    await network.sweep(new Set(['pod-1']));
    told.push(namespaces(tag).sort().join() === [first, second].sort().join() ? 'kept' : 'swept');
    // Somebody takes the link of the spare one away: it is of no use to a pod.
    ip(`-n ${second} link del eth0`);
    const two = await network.attach('pod-2');
    told.push(two !== one && network.netnsName('pod-2') !== second ? 'made anew' : 'taken all the same');
    const third = await spareOf(tag, [first, second, network.netnsName('pod-2')]);
    const restarted = new PodNetwork(shell, tag);
    await restarted.ensureBridge();
    told.push(restarted.adopt('pod-1', first, one) ? 'adopted' : 'lost');
    await network.close(false);
    told.push(namespaces(tag).includes(third) ? 'spare left' : 'spare removed');
    await restarted.sweep(new Set(['pod-1']));
    told.push(namespaces(tag).join() === first ? 'swept' : namespaces(tag).join());
    await restarted.detach('pod-1', one);
    await restarted.close(true);
    told.push(namespaces(tag).join());
    return told;
  },
};

try {
  console.log(JSON.stringify(await scenarios[process.argv[2] ?? '']?.()));
} finally {
  await shell.close();
  rmSync(dir, { recursive: true });
}
