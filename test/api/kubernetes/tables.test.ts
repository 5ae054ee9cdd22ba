import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { KubeObject } from '../../../src/api/object.ts';
import type { ResourceDef } from '../../../src/api/resource.ts';
import {
  configMaps,
  deployments,
  endpoints,
  endpointSlices,
  events,
  jobs,
  kubernetesResources,
  namespaces,
  nodes,
  replicaSets,
  services,
} from '../../../src/api/kubernetes/index.ts';
import { formatAge } from '../../../src/api/kubernetes/cells.ts';
import { makePrinter } from '../../../src/kube/server/table.ts';
import { now } from './support.ts';

const labels = { app: 'x' };
const template = { metadata: { labels }, spec: { containers: [{ name: 'app', image: 'a:1' }] } };
const workload = { selector: { matchLabels: labels }, template };

describe('ages', () => {
  const second = 1000,
    minute = 60 * second,
    hour = 60 * minute,
    day = 24 * hour;
  for (const [ms, expected] of [
    [-5000, '<invalid>'],
    [-500, '0s'],
    [0, '0s'],
    [119 * second, '119s'],
    [2 * minute, '2m'],
    [2 * minute + 5 * second, '2m5s'],
    [10 * minute + 5 * second, '10m'],
    [179 * minute, '179m'],
    [3 * hour, '3h'],
    [3 * hour + 5 * minute, '3h5m'],
    [8 * hour + 5 * minute, '8h'],
    [47 * hour, '47h'],
    [2 * day, '2d'],
    [2 * day + hour, '2d1h'],
    [8 * day + hour, '8d'],
    [729 * day, '729d'],
    [730 * day, '2y'],
    [731 * day, '2y1d'],
    [3000 * day, '8y'],
  ] as const) {
    it(expected, () => assert.equal(formatAge(ms), expected));
  }
});

describe('tables', () => {
  function table(def: ResourceDef, item: object): string {
    const printer = makePrinter(def);
    const row = printer.cells(item as KubeObject, now);
    assert.equal(row.length, printer.columns.length, `${def.kind}: as many cells as columns`);
    return printer.columns
      .map(({ name, priority }, i) => `${name}${priority ? '*' : ''}=${String(row[i])}`)
      .join(' ');
  }
  const at = new Date(now - 60_000).toISOString();
  const metadata = { name: 'x', namespace: 'default', creationTimestamp: at };
  const cases: [ResourceDef, object, string][] = [
    [
      deployments,
      {
        spec: { replicas: 2, ...workload },
        status: { readyReplicas: 1, updatedReplicas: 2, availableReplicas: 1 },
      },
      'Name=x Ready=1/2 Up-to-date=2 Available=1 Age=60s Containers*=app Images*=a:1 Selector*=app=x',
    ],
    [
      replicaSets,
      { spec: { replicas: 2, ...workload }, status: { replicas: 2, readyReplicas: 1 } },
      'Name=x Desired=2 Current=2 Ready=1 Age=60s Containers*=app Images*=a:1 Selector*=app=x',
    ],
    [
      services,
      {
        spec: {
          type: 'ClusterIP',
          clusterIP: '10.96.0.2',
          ports: [
            { port: 80, protocol: 'TCP' },
            { port: 443, nodePort: 30000, protocol: 'TCP' },
          ],
        },
      },
      'Name=x Type=ClusterIP Cluster-IP=10.96.0.2 External-IP=<none> Port(s)=80/TCP,443:30000/TCP Age=60s Selector*=<none>',
    ],
    [
      services,
      { spec: { type: 'ExternalName', externalName: 'a.example' } },
      'Name=x Type=ExternalName Cluster-IP=<none> External-IP=a.example Port(s)=<none> Age=60s Selector*=<none>',
    ],
    [
      endpoints,
      {
        subsets: [{ addresses: [{ ip: 'a' }, { ip: 'b' }, { ip: 'c' }, { ip: 'd' }], ports: [{ port: 1 }] }],
      },
      'Name=x Endpoints=a:1,b:1,c:1 + 1 more... Age=60s',
    ],
    [
      endpointSlices,
      { addressType: 'IPv4', ports: [{ port: 80 }], endpoints: [{ addresses: ['a'] }] },
      'Name=x AddressType=IPv4 Ports=80 Endpoints=a Age=60s',
    ],
    [namespaces, { status: { phase: 'Terminating' } }, 'Name=x Status=Terminating Age=60s'],
    [configMaps, { data: { a: '' }, binaryData: { b: '' } }, 'Name=x Data=2 Age=60s'],
    [
      nodes,
      {
        spec: { unschedulable: true },
        status: { conditions: [{ type: 'Ready', status: 'True' }], nodeInfo: { kubeletVersion: 'v1' } },
      },
      'Name=x Status=Ready,SchedulingDisabled Roles=<none> Age=60s Version=v1 Internal-IP*=<none> External-IP*=<none> OS-Image*=<unknown> Kernel-Version*=<unknown> Container-Runtime*=<unknown>',
    ],
    [
      jobs,
      { spec: { completions: 2, template: {} }, status: { succeeded: 1, startTime: at } },
      'Name=x Status=Running Completions=1/2 Duration=60s Age=60s Containers*= Images*= Selector*=<none>',
    ],
    [
      events,
      {
        involvedObject: { kind: 'Pod', name: 'p' },
        type: 'Normal',
        reason: 'Pulled',
        message: 'm',
        count: 3,
        lastTimestamp: at,
        firstTimestamp: new Date(now - 600_000).toISOString(),
        source: { component: 'kubelet', host: 'n' },
      },
      'Last Seen=60s (x3 over 10m) Type=Normal Reason=Pulled Object=pod/p Subobject*= Source*=kubelet, n Message=m First Seen*=10m Count*=3 Name*=x',
    ],
  ];
  for (const [def, more, expected] of cases)
    it(def.kind, () => assert.equal(table(def, { metadata, ...more }), expected));

  it('print every kind even when it has nothing but a name', () => {
    for (const def of kubernetesResources) {
      if (['events', 'rolebindings', 'clusterrolebindings'].includes(def.plural)) continue;
      table(def, { apiVersion: 'v1', kind: def.kind, metadata: { name: 'x' } });
    }
  });
});
