/** What Kubernetes fills into pods and pod templates that leave it out (kubernetes pkg/apis/core/v1 defaults). */
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { Container, Pod } from '../pods.ts';

export type PodSpec = KubernetesTypes['core.v1.PodSpec'];
export type PodTemplateSpec = KubernetesTypes['core.v1.PodTemplateSpec'];
type Probe = KubernetesTypes['core.v1.Probe'];
type Volume = KubernetesTypes['core.v1.Volume'];

/** `Always` for images without tag or with `latest`, `IfNotPresent` for any other tag and for digests. */
export function defaultPullPolicy(image: string | undefined): string {
  const [name = '', digest] = (image ?? '').split('@');
  const tag = /:([^:/]+)$/.exec(name)?.[1];
  if (tag === undefined) return digest === undefined ? 'Always' : 'IfNotPresent';
  return tag === 'latest' ? 'Always' : 'IfNotPresent';
}

/** Defaults of a pod's spec, in a Pod or in a template. */
function defaultPodSpec(spec: PodSpec): void {
  spec.restartPolicy ??= 'Always';
  spec.terminationGracePeriodSeconds ??= 30;
  spec.dnsPolicy ??= 'ClusterFirst';
  spec.schedulerName ??= 'default-scheduler';
  spec.securityContext ??= {};
  const account = spec.serviceAccountName ?? spec.serviceAccount;
  if (account !== undefined) {
    spec.serviceAccountName = account;
    spec.serviceAccount = account;
  }
  for (const container of containersOf(spec)) {
    defaultContainer(container);
    if (spec.hostNetwork) for (const port of container.ports ?? []) port.hostPort ??= port.containerPort;
  }
  for (const container of spec.ephemeralContainers ?? []) defaultContainer(container);
  for (const volume of spec.volumes ?? []) defaultVolume(volume);
}

/** A template's defaults; does nothing when it has no spec (validation will say so). */
export function defaultPodTemplate(template: PodTemplateSpec | undefined): void {
  if (template?.spec) defaultPodSpec(template.spec);
}

/** What only a Pod itself gets: service links, requests from limits, and the namespace's service account. */
export function defaultPod(pod: Pod): void {
  const spec = pod.spec;
  if (!spec) return;
  defaultPodSpec(spec);
  spec.enableServiceLinks ??= true;
  spec.serviceAccountName ??= 'default';
  spec.serviceAccount ??= spec.serviceAccountName;
  for (const container of containersOf(spec)) {
    const limits = container.resources?.limits;
    if (limits)
      container.resources = {
        ...container.resources,
        requests: { ...limits, ...container.resources?.requests },
      };
  }
}

/** All containers of the ordinary kind, init containers first. */
function containersOf(spec: PodSpec): Container[] {
  return [...(spec.initContainers ?? []), ...(spec.containers ?? [])];
}

function defaultContainer(container: Container): void {
  container.imagePullPolicy ??= defaultPullPolicy(container.image);
  container.terminationMessagePath ??= '/dev/termination-log';
  container.terminationMessagePolicy ??= 'File';
  container.resources ??= {};
  for (const port of container.ports ?? []) port.protocol ??= 'TCP';
  for (const variable of container.env ?? []) {
    if (variable.valueFrom?.fieldRef) variable.valueFrom.fieldRef.apiVersion ??= 'v1';
  }
  for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe]) {
    if (probe) defaultProbe(probe);
  }
  for (const handler of [container.lifecycle?.postStart, container.lifecycle?.preStop]) {
    if (handler?.httpGet) defaultHttpGet(handler.httpGet);
  }
}

function defaultProbe(probe: Probe): void {
  probe.timeoutSeconds ??= 1;
  probe.periodSeconds ??= 10;
  probe.successThreshold ??= 1;
  probe.failureThreshold ??= 3;
  if (probe.httpGet) defaultHttpGet(probe.httpGet);
  if (probe.grpc) probe.grpc.service ??= '';
}

function defaultHttpGet(action: NonNullable<Probe['httpGet']>): void {
  action.path ??= '/';
  action.scheme ??= 'HTTP';
}

const readableByAll = 0o644;

function defaultVolume(volume: Volume): void {
  if (Object.keys(volume).every((key) => key === 'name')) volume.emptyDir = {};
  for (const source of [volume.configMap, volume.secret, volume.downwardAPI, volume.projected]) {
    if (source) source.defaultMode ??= readableByAll;
  }
  if (volume.hostPath) volume.hostPath.type ??= '';
  for (const item of volume.downwardAPI?.items ?? []) if (item.fieldRef) item.fieldRef.apiVersion ??= 'v1';
  for (const source of volume.projected?.sources ?? []) {
    if (source.serviceAccountToken) source.serviceAccountToken.expirationSeconds ??= 3600;
    for (const item of source.downwardAPI?.items ?? []) if (item.fieldRef) item.fieldRef.apiVersion ??= 'v1';
  }
}

/** `Guaranteed`, `Burstable` or `BestEffort` (kubernetes pkg/apis/core/helper/qos). */
export function qosClass(spec: PodSpec): string {
  const names = ['cpu', 'memory'] as const;
  const containers = containersOf(spec);
  const some = containers.some((c) =>
    names.some(
      (name) => c.resources?.requests?.[name] !== undefined || c.resources?.limits?.[name] !== undefined,
    ),
  );
  if (!some) return 'BestEffort';
  const equal = containers.every((c) =>
    names.every((name) => {
      const limit = c.resources?.limits?.[name];
      return limit !== undefined && (c.resources?.requests?.[name] ?? limit) === limit;
    }),
  );
  return equal ? 'Guaranteed' : 'Burstable';
}
