import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { makeServiceEnvironment } from '../../src/node/service-environment.ts';
import { service } from '../network/support.ts';

describe('variables of Services', () => {
  it('are those of a kubelet', () => {
    const ports = [
      { name: 'http', port: 80, protocol: 'TCP' },
      { name: 'dns-x', port: 53, protocol: 'UDP' },
    ];
    const env = makeServiceEnvironment([service('my-web', { clusterIP: '10.96.0.7', ports })]);
    assert.deepEqual(Object.fromEntries(env), {
      MY_WEB_SERVICE_HOST: '10.96.0.7',
      MY_WEB_SERVICE_PORT: '80',
      MY_WEB_SERVICE_PORT_HTTP: '80',
      MY_WEB_SERVICE_PORT_DNS_X: '53',
      MY_WEB_PORT: 'tcp://10.96.0.7:80',
      MY_WEB_PORT_80_TCP: 'tcp://10.96.0.7:80',
      MY_WEB_PORT_80_TCP_PROTO: 'tcp',
      MY_WEB_PORT_80_TCP_PORT: '80',
      MY_WEB_PORT_80_TCP_ADDR: '10.96.0.7',
      MY_WEB_PORT_53_UDP: 'udp://10.96.0.7:53',
      MY_WEB_PORT_53_UDP_PROTO: 'udp',
      MY_WEB_PORT_53_UDP_PORT: '53',
      MY_WEB_PORT_53_UDP_ADDR: '10.96.0.7',
    });
  });

  it('are not made for Services without an address', () => {
    const none = [
      service('a', { clusterIP: 'None', ports: [{ port: 80 }] }),
      service('b', { type: 'ExternalName', externalName: 'example.com' }),
      service('c', { clusterIP: '10.96.0.8' }),
    ];
    assert.equal(makeServiceEnvironment(none).size, 0);
  });
});
