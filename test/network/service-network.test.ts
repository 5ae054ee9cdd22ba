/** What is left where the machine gives less than everything: no nft, ports that others have. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { KnapsackError } from '../../src/base/errors.ts';
import { silentLogger } from '../../src/base/log.ts';
import { endpointSlices, services } from '../../src/api/kubernetes/services.ts';
import { SharedInformers } from '../../src/kube/client/shared-informers.ts';
import { ServiceNetwork } from '../../src/network/index.ts';
import { startTestApi } from '../support/api.ts';
import { slice } from './support.ts';

/** An address of loopback for each test, as if it were that of a bridge. */
let last = 1 + (process.pid % 100);

async function open(t: TestContext, host: string, isHttpTaken = false) {
  const api = await startTestApi();
  const informers = new SharedInformers({ client: api.client, clock: systemClock, log: silentLogger });
  const listens: number[] = [];
  const network = new ServiceNetwork({
    informers,
    clock: systemClock,
    log: silentLogger,
    range: '10.96.0.0/16',
    programs: { nft: undefined, ip: undefined },
    open: false,
    listenLocal: ({ port }) => {
      listens.push(port);
      if (port !== 0 && isHttpTaken) throw new KnapsackError('CLI_PORT_TAKEN', 'taken');
      return Promise.resolve({ port: port === 0 ? 31_999 : port });
    },
  });
  t.after(async () => {
    await network.close();
    informers.close();
    await api.close();
  });
  const ports = [{ name: 'http', port: 80, targetPort: 8080 }];
  await api.client.create(services, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'default' },
    spec: { ports },
  });
  await api.client.create(endpointSlices, slice('web', ['10.200.0.2']));
  const pods = { bridge: 'knsdeadbeef', subnet: '127.0.0.0/16' };
  const dns = await network.open({ tag: 'deadbeef', hostAddress: host, pods });
  return { network, dns, listens };
}

const skip =
  process.platform === 'linux' && process.getuid?.() === 0 ? false : 'needs root on Linux, for port 53';

describe('network of Services without nft', { skip }, () => {
  it('says so, and names lead to the pods', async (t) => {
    const host = `127.0.77.${++last}`;
    const { network, dns, listens } = await open(t, host);
    assert.deepEqual(dns, { server: host, domain: 'cluster.local' });
    assert.match(
      (await network.settled()) ?? '',
      /^cluster IPs and node ports .* nft \(Debian: apt-get install nftables\)$/,
    );
    assert.deepEqual(listens, [80]);
    const client = new Resolver({ timeout: 5000, tries: 1 });
    client.setServers([host]);
    assert.deepEqual(await client.resolve4('web.default.svc.cluster.local'), ['10.200.0.2']);
    const [srv] = await client.resolveSrv('_http._tcp.web.default.svc.cluster.local');
    assert.equal(srv?.port, 8080);
  });

  it('leaves pods to the name servers of the machine where another program has port 53', async (t) => {
    const host = `127.0.77.${++last}`;
    const holder = createSocket('udp4');
    holder.bind(53, host);
    await once(holder, 'listening');
    t.after(() => holder.close());
    const { network, dns, listens } = await open(t, host, true);
    assert.equal(dns, undefined);
    assert.deepEqual(listens, [80, 0]);
    assert.match((await network.settled()) ?? '', /taken by another program/);
  });
});
