/** Finds a container runtime that really runs on this machine. */
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { runToEnd } from '../exec.ts';
import type { FirewallPrograms } from './firewall.ts';
import type { RuntimeProgram } from './runtime.ts';
import { quote } from '../shell.ts';

const trialTimeoutMs = 15_000;

export function findProgram(name: string, path: string): string | undefined {
  return [...path.split(delimiter), '/usr/sbin', '/sbin']
    .map((dir) => join(dir, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/**
 * Commands for a fresh mount namespace before a runtime runs in it. crun refuses machines that mount version 2 control
 * groups beside version 1 ones ("cgroups in hybrid mode not supported"): there it must not see the former.
 */
export function namespaceSetup(): string {
  const isHybrid = !existsSync('/sys/fs/cgroup/cgroup.controllers') && existsSync('/sys/fs/cgroup/unified');
  return isHybrid ? 'umount /sys/fs/cgroup/unified 2>/dev/null' : ':';
}

/** What is missing for containers besides a runtime; empty when nothing is. */
export function missingForContainers(path: string): string[] {
  if (process.platform !== 'linux') return ['Linux'];
  const missing = process.geteuid?.() === 0 ? [] : ['root'];
  for (const name of ['ip', 'unshare', 'mount', 'sh']) if (!findProgram(name, path)) missing.push(name);
  return missing;
}

/** What can give pods a way to other machines. */
export function findFirewallPrograms(path: string): FirewallPrograms {
  const [save, restore] = ['iptables-save', 'iptables-restore'].map((name) => findProgram(name, path));
  return {
    nft: findProgram('nft', path),
    iptables: save === undefined || restore === undefined ? undefined : { save, restore },
  };
}

/** Runs `true` in a container of the host's own programs. Undefined on success, otherwise the runtime's words. */
async function trial(program: string, name: 'crun' | 'runc', dir: string): Promise<string | undefined> {
  const bundle = mkdtempSync(join(dir, 'trial-'));
  try {
    mkdirSync(join(bundle, 'rootfs'));
    const shared = ['/bin', '/lib', '/lib64', '/usr'].filter((path) => existsSync(path));
    const config = {
      ociVersion: '1.0.2',
      process: {
        terminal: false,
        user: { uid: 0, gid: 0 },
        args: ['true'],
        env: ['PATH=/usr/bin:/bin'],
        cwd: '/',
      },
      root: { path: 'rootfs' },
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc' },
        // crun insists on a /dev.
        { destination: '/dev', type: 'tmpfs', source: 'tmpfs' },
        ...shared.map((path) => ({
          destination: path,
          type: 'bind',
          source: path,
          options: ['rbind', 'ro'],
        })),
      ],
      linux: { namespaces: ['pid', 'ipc', 'uts', 'mount', 'network'].map((type) => ({ type })) },
    };
    writeFileSync(join(bundle, 'config.json'), JSON.stringify(config));
    const options = name === 'crun' ? '--cgroup-manager=disabled' : '';
    const id = `trial-${process.pid}`;
    const run = `${quote(program)} --root ${quote(join(bundle, 'state'))} ${options} run --bundle ${quote(bundle)} ${id}`;
    const { exitCode, output } = await runToEnd(
      'unshare',
      ['-m', 'sh', '-c', `${namespaceSetup()}; ${run}`],
      {
        timeoutMs: trialTimeoutMs,
      },
    );
    if (exitCode === 0) return undefined;
    return output.trim() || (exitCode === undefined ? 'no answer' : `exit code ${exitCode}`);
  } finally {
    rmSync(bundle, { recursive: true, force: true });
  }
}

/** The first runtime that works, or why none does. */
export async function findRuntime(
  path: string,
  dir: string,
): Promise<RuntimeProgram | { readonly missing: string }> {
  const problems: string[] = [];
  for (const name of ['crun', 'runc'] as const) {
    const program = findProgram(name, path);
    if (!program) continue;
    const problem = await trial(program, name, dir);
    if (problem === undefined) {
      const { output } = await runToEnd(program, ['--version'], { timeoutMs: trialTimeoutMs });
      return { name, path: program, version: /version ([\w.+~-]+)/.exec(output)?.[1] ?? 'unknown' };
    }
    problems.push(`${name} does not run (${problem})`);
  }
  return { missing: problems.length > 0 ? problems.join('; ') : 'crun or runc' };
}
