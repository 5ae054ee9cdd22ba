/** ConfigMap config-features: which parts of the API may be used. */
import { choice, readFields, type ConfigData, type Field } from './fields.ts';

export type Flag = 'enabled' | 'allowed' | 'disabled';

function flag(key: string, fallback: Flag, doc: string): Field<Flag> {
  return choice(key, ['enabled', 'allowed', 'disabled'], fallback, doc);
}

const podSpec = (field: string, doc: string, fallback: Flag = 'disabled'): Field<Flag> =>
  flag(`kubernetes.podspec-${field}`, fallback, `Pods may set ${doc}.`);

export const featuresFields = {
  multiContainer: flag('multi-container', 'enabled', 'Revisions may have several containers.'),
  multiContainerProbing: flag('multi-container-probing', 'disabled', 'Every container may have probes.'),
  securePodDefaults: choice(
    'secure-pod-defaults',
    ['enabled', 'disabled', 'AllowRootBounded'],
    'disabled',
    'Fill unset members of the security context with restrictive values.',
  ),
  autodetectHttp2: flag('autodetect-http2', 'disabled', 'Ask a container whether it speaks HTTP/2.'),
  tagHeaderBasedRouting: flag(
    'tag-header-based-routing',
    'disabled',
    'Header Knative-Serving-Tag picks a tag.',
  ),
  queueProxyMountPodInfo: flag('queueproxy.mount-podinfo', 'disabled', 'Pod information for the sidecar.'),
  queueProxyResourceDefaults: flag('queueproxy.resource-defaults', 'disabled', 'Resources of the sidecar.'),
  addCapabilities: flag(
    'kubernetes.containerspec-addcapabilities',
    'disabled',
    'Containers may add Linux capabilities.',
  ),
  affinity: podSpec('affinity', 'affinity'),
  topologySpreadConstraints: podSpec('topologyspreadconstraints', 'topologySpreadConstraints'),
  hostAliases: podSpec('hostaliases', 'hostAliases'),
  nodeSelector: podSpec('nodeselector', 'nodeSelector'),
  tolerations: podSpec('tolerations', 'tolerations'),
  fieldRef: podSpec('fieldref', 'environment variables from fields of the pod'),
  runtimeClassName: podSpec('runtimeclassname', 'runtimeClassName'),
  dnsPolicy: podSpec('dnspolicy', 'dnsPolicy'),
  dnsConfig: podSpec('dnsconfig', 'dnsConfig'),
  securityContext: podSpec('securitycontext', 'securityContext'),
  shareProcessNamespace: podSpec('shareprocessnamespace', 'shareProcessNamespace'),
  hostIPC: podSpec('hostipc', 'hostIPC'),
  hostPID: podSpec('hostpid', 'hostPID'),
  hostNetwork: podSpec('hostnetwork', 'hostNetwork'),
  priorityClassName: podSpec('priorityclassname', 'priorityClassName'),
  schedulerName: podSpec('schedulername', 'schedulerName'),
  initContainers: podSpec('init-containers', 'initContainers'),
  persistentVolumeClaim: podSpec('persistent-volume-claim', 'volumes from claims'),
  persistentVolumeWrite: podSpec('persistent-volume-write', 'writable volumes from claims'),
  emptyDir: podSpec('volumes-emptydir', 'emptyDir volumes', 'enabled'),
  hostPath: podSpec('volumes-hostpath', 'hostPath volumes'),
  csi: podSpec('volumes-csi', 'csi volumes'),
  ephemeralVolumes: podSpec('volumes-ephemeral', 'ephemeral volumes'),
  imageVolumes: podSpec('volumes-image', 'image volumes'),
  mountPropagation: podSpec('volumes-mount-propagation', 'mount propagation'),
} as const;

export type FeaturesConfig = {
  readonly [K in keyof typeof featuresFields]: ReturnType<(typeof featuresFields)[K]['parse']>;
};

export function readFeaturesConfig(data: ConfigData): FeaturesConfig {
  return readFields(featuresFields, data);
}
