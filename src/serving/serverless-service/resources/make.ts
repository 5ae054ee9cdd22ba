/** The Services of a ServerlessService. Pure. */
import type { Endpoints, Service } from '../../../api/kubernetes/services.ts';
import { labels } from '../../../api/serving/labels.ts';
import type { ServerlessService } from '../../../api/networking/index.ts';
import { controllerRef } from '../../../api/object.ts';
import { isPodReady, podAddress, type Pod } from '../../../api/pods.ts';
import { childName } from '../../../base/names.ts';

export function privateServiceName(name: string): string {
  return childName(name, '-private');
}

function metadataOf(sks: ServerlessService, name: string, type: 'Public' | 'Private') {
  const { namespace = '', labels: own, annotations } = sks.metadata;
  return {
    name,
    namespace,
    ownerReferences: [controllerRef(sks)],
    labels: { ...own, [labels.serverlessService]: sks.metadata.name, [labels.serviceType]: type },
    ...(annotations ? { annotations } : {}),
  };
}

function portOf(sks: ServerlessService): { name: string; port: number; protocol: string } {
  const h2c = sks.spec?.protocolType === 'h2c';
  return { name: h2c ? 'http2' : 'http', port: h2c ? 81 : 80, protocol: 'TCP' };
}

/** Without selector: its Endpoints are written by hand. */
export function makePublicService(sks: ServerlessService, targetPort: number): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadataOf(sks, sks.metadata.name, 'Public'),
    spec: { type: 'ClusterIP', ports: [{ ...portOf(sks), targetPort }] },
  };
}

/** Selects the revision's pods. */
export function makePrivateService(sks: ServerlessService, targetPort: number): Service {
  const uid = sks.metadata.labels?.[labels.revisionUid] ?? '';
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadataOf(sks, privateServiceName(sks.metadata.name), 'Private'),
    spec: {
      type: 'ClusterIP',
      selector: { [labels.revisionUid]: uid },
      ports: [{ ...portOf(sks), targetPort }],
    },
  };
}

/** The ready pods, ordered by address. */
export function makeEndpoints(sks: ServerlessService, pods: readonly Pod[], userPort: number): Endpoints {
  const { name, port: _port, protocol } = portOf(sks);
  const subsets = pods
    .filter((pod) => isPodReady(pod) && !pod.metadata.deletionTimestamp)
    .flatMap((pod) => {
      const address = podAddress(pod, userPort);
      const targetRef = { kind: 'Pod', name: pod.metadata.name, namespace: pod.metadata.namespace ?? '' };
      return address
        ? [{ addresses: [{ ip: address.host, targetRef }], ports: [{ name, port: address.port, protocol }] }]
        : [];
    })
    .sort(
      (a, b) => order(a) - order(b) || (a.addresses[0]?.ip ?? '').localeCompare(b.addresses[0]?.ip ?? ''),
    );
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: metadataOf(sks, sks.metadata.name, 'Public'),
    subsets,
  };
}

function order({ ports }: { ports: readonly { port: number }[] }): number {
  return ports[0]?.port ?? 0;
}
