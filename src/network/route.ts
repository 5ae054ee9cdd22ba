/**
 * The way to the addresses of Services: without a route the kernel refuses a packet before any rule could change it. It
 * takes them for its own, so that what no rule leads elsewhere comes in and is refused here.
 */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { messageOf } from '../base/errors.ts';

const execute = promisify(execFile);
const timeoutMs = 10_000;

export interface ServiceRoute {
  /** `10.x.0.0/16`. */
  readonly range: string;
  readonly bridge: string;
  /** This machine's address there, by which its own connections to Services begin. */
  readonly source: string;
}

/**
 * Puts the range on the bridge of pods, with which the route goes, and lets this machine's own loopback reach pods by
 * node ports. `program`: path of `ip`. Returns what is in the way, for people; never rejects.
 */
export async function openServiceRoute(program: string, route: ServiceRoute): Promise<string | undefined> {
  const { range, bridge, source } = route;
  try {
    const { stdout } = await execute(program, ['-4', 'route', 'show', 'exact', range], {
      timeout: timeoutMs,
    });
    const [, device] = /\bdev (\S+)/.exec(stdout) ?? [];
    if (device !== undefined && device !== bridge)
      return `addresses of Services (${range}) are in use on this machine: ${device}`;
    // An earlier run may have left it, perhaps with another source.
    const wanted = ['local', range, 'dev', bridge, 'table', 'main', 'src', source];
    await execute(program, ['-4', 'route', 'replace', ...wanted], { timeout: timeoutMs });
    writeFileSync(`/proc/sys/net/ipv4/conf/${bridge}/route_localnet`, '1');
    return undefined;
  } catch (error) {
    return messageOf(error).trim();
  }
}
