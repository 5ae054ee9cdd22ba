/** What a Service is given: its cluster IP of the platform's range, and node ports. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { KubeObject } from '../../../src/api/object.ts';
import type { AdmissionContext } from '../../../src/api/resource.ts';
import { services, type Service } from '../../../src/api/kubernetes/services.ts';
import { admitted, faults } from './support.ts';

const service = (spec: object, name = 'x'): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'default', uid: name },
  spec,
});
/** A context in which these Services are stored. */
const among = (...stored: Service[]): Partial<AdmissionContext> => ({
  stored: <T extends KubeObject>() => stored as unknown as T[],
});
const nodePorts = ({ spec }: Service): (number | undefined)[] =>
  (spec?.ports ?? []).map((port) => port.nodePort);
const http = { name: 'http', port: 80 };

describe('cluster IPs of a platform with a range of its own', () => {
  const serviceRange = '10.117.0.0/16';
  it('come from it', () => {
    const made = admitted(services, service({ ports: [http] }), { ...among(), serviceRange });
    assert.match(made.spec?.clusterIP ?? '', /^10\.117\./);
    const api = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'kubernetes', namespace: 'default' } };
    const first = admitted(services, { ...api, spec: { ports: [http] } }, { ...among(), serviceRange });
    assert.equal(first.spec?.clusterIP, '10.117.0.1');
  });

  it('may be chosen within it, and are refused outside, but for those that were given out before', () => {
    const wanted = (clusterIP: string): object => service({ clusterIP, ports: [http] });
    assert.deepEqual(faults(services, wanted('10.117.4.4'), { ...among(), serviceRange }), []);
    assert.deepEqual(faults(services, wanted('10.96.4.4'), { ...among(), serviceRange }), [
      'spec.clusterIPs[0]: Invalid value: ["10.96.4.4"]: failed to allocate IP: the provided network does not match the current range (10.117.0.0/16)',
    ]);
    const old = admitted(services, wanted('10.96.4.4'), among());
    const update = { operation: 'UPDATE', old, ...among(old), serviceRange } as const;
    assert.deepEqual(faults(services, wanted('10.96.4.4'), update), []);
  });
});

describe('a change of type', () => {
  const change = (from: object, to: (spec: NonNullable<Service['spec']>) => object): Service => {
    const old = admitted(services, service(from), among());
    const update = { operation: 'UPDATE', old, ...among(old) } as const;
    const wanted = service(to(structuredClone(old.spec ?? {})));
    assert.deepEqual(faults(services, structuredClone(wanted), update), []);
    return admitted(services, wanted, update);
  };

  it('takes along what only the old type has', () => {
    const name = { type: 'ExternalName', externalName: 'example.com' };
    for (const type of ['ClusterIP', 'NodePort', 'LoadBalancer']) {
      const { spec } = change({ type, ports: [http] }, (before) => ({ ...before, ...name }));
      const { ports, sessionAffinity, ...rest } = spec ?? {};
      assert.deepEqual(rest, name, type);
      assert.deepEqual(ports, [{ ...http, protocol: 'TCP', targetPort: 80 }]);
      assert.equal(sessionAffinity, 'None');
    }
    const back = change(name, (before) => ({ ...before, type: 'ClusterIP', ports: [http] }));
    assert.match(back.spec?.clusterIP ?? '', /^10\./);
    assert.equal(back.spec?.externalName, undefined);
    const inner = change({ type: 'LoadBalancer', ports: [http] }, (before) => ({
      ...before,
      type: 'ClusterIP',
    }));
    assert.equal(inner.spec?.externalTrafficPolicy, undefined);
    assert.equal(inner.spec?.allocateLoadBalancerNodePorts, undefined);
  });
});

describe('node ports', () => {
  it('are given to each port of a Service that has them, and never twice for a protocol', () => {
    const stored: Service[] = [];
    for (let i = 0; i < 200; i++) {
      const spec = { type: 'NodePort', ports: [http, { name: 'dns', port: 53, protocol: 'UDP' }] };
      stored.push(admitted(services, service(spec, `s${i}`), among(...stored)));
    }
    for (const protocol of ['TCP', 'UDP']) {
      const given = stored.flatMap(({ spec }) =>
        (spec?.ports ?? []).filter((port) => port.protocol === protocol).map((port) => port.nodePort ?? 0),
      );
      assert.equal(new Set(given).size, 200);
      for (const port of given) assert.ok(port >= 30_000 && port <= 32_767);
    }
  });

  it('are given to load balancers unless they want none, and to nobody else', () => {
    const given = (spec: object): number[] =>
      nodePorts(admitted(services, service({ ports: [http], ...spec }), among())).flatMap(
        (port) => port ?? [],
      );
    assert.equal(given({ type: 'LoadBalancer' }).length, 1);
    assert.equal(given({ type: 'LoadBalancer', allocateLoadBalancerNodePorts: false }).length, 0);
    assert.equal(given({}).length, 0);
  });

  it('stay when an update leaves them out, and go with the type', () => {
    const old = admitted(services, service({ type: 'NodePort', ports: [http] }), among());
    const update = (spec: object): Service =>
      admitted(services, service({ clusterIP: old.spec?.clusterIP, ...spec }), {
        operation: 'UPDATE',
        old,
        ...among(old),
      });
    assert.deepEqual(nodePorts(update({ type: 'NodePort', ports: [http] })), nodePorts(old));
    assert.deepEqual(nodePorts(update({ type: 'ClusterIP', ports: old.spec?.ports })), [undefined]);
    const [first, second] = nodePorts(
      update({ type: 'NodePort', ports: [http, { name: 'more', port: 81 }] }),
    );
    assert.equal(first, nodePorts(old)[0]);
    assert.ok(second && second !== first);
  });

  const taken = admitted(
    services,
    service({ type: 'NodePort', ports: [{ ...http, nodePort: 30_100 }] }, 'other'),
    among(),
  );
  const cases: [string, object, string[]][] = [
    ['a free one', { type: 'NodePort', ports: [{ ...http, nodePort: 30_101 }] }, []],
    [
      'one of another Service',
      { type: 'NodePort', ports: [{ ...http, nodePort: 30_100 }] },
      ['spec.ports[0].nodePort: Invalid value: 30100: provided port is already allocated'],
    ],
    [
      'that of another protocol',
      { type: 'NodePort', ports: [{ ...http, protocol: 'UDP', nodePort: 30_100 }] },
      [],
    ],
    [
      'one outside the range',
      { type: 'NodePort', ports: [{ ...http, nodePort: 8080 }] },
      [
        'spec.ports[0].nodePort: Invalid value: 8080: provided port is not in the valid range. The range of valid ports is 30000-32767',
      ],
    ],
    [
      'the same twice',
      {
        type: 'NodePort',
        ports: [
          { ...http, nodePort: 30_101 },
          { name: 'b', port: 81, nodePort: 30_101 },
        ],
      },
      ['spec.ports[1].nodePort: Duplicate value: 30101'],
    ],
    [
      'one without the type',
      { ports: [{ ...http, nodePort: 30_101 }] },
      ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    ],
  ];
  for (const [what, spec, expected] of cases)
    it(`may be asked for: ${what}`, () =>
      assert.deepEqual(faults(services, service(spec), among(taken)), expected));
});
