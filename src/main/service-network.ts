/** Composition of names and addresses of Services: what the network part needs of the others. */
import { existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { apiServiceAddress } from '../api/kubernetes/service-addresses.ts';
import { services } from '../api/kubernetes/services.ts';
import { qualifiedName } from '../api/resource.ts';
import type { Store } from '../kube/store/store.ts';
import { ServiceNetwork, type NetworkOptions } from '../network/index.ts';
import { nftProgram } from '../network/proxy/nft-program.ts';
import { makeTableRemoval } from '../network/proxy/nft.ts';
import { chooseServiceRange } from '../network/range.ts';
import { tagOf } from '../node/drivers/choose.ts';
import { findProgram } from '../node/drivers/oci/detect.ts';

export interface ServiceRange {
  /** `10.x.0.0/16`. */
  readonly range: string;
  /** The cluster IP of the API server's own Service. */
  readonly apiAddress: string;
}

/** Where cluster IPs of this data directory come from. */
export function serviceRangeOf(store: Store, data: string): ServiceRange {
  const stored = store.table(qualifiedName(services)).get('default/kubernetes')?.object;
  const range = chooseServiceRange(stored, realpathSync(data));
  return { range, apiAddress: apiServiceAddress(range) };
}

/** Programs that change this machine's network; none without the right to. */
function findPrograms(): NetworkOptions['programs'] {
  const path = process.env['PATH'] ?? '';
  const mayChange = process.platform === 'linux' && process.geteuid?.() === 0;
  return mayChange
    ? { nft: findProgram('nft', path), ip: findProgram('ip', path) }
    : { nft: undefined, ip: undefined };
}

/** Not opened yet. `publicHost`: where the gateway listens, which also says whether other machines are served. */
export function makeServiceNetwork(
  options: Omit<NetworkOptions, 'programs' | 'open'> & { readonly publicHost: string },
): ServiceNetwork {
  const open = !/^(?:127\.|::1$|localhost$)/.test(options.publicHost);
  return new ServiceNetwork({ ...options, programs: findPrograms(), open });
}

/** Removes the rules that a killed Knapsack left. */
export async function removeServiceRules(data: string): Promise<void> {
  const { nft } = findPrograms();
  const directory = join(data, 'node');
  if (nft === undefined || !existsSync(directory)) return;
  await nftProgram(nft)(makeTableRemoval(tagOf(directory)));
}
