/** The files of configMap, secret, downwardAPI and projected volumes. */
import type { KubernetesTypes } from '../api/generated/kubernetes-types.ts';
import type { Pod } from '../api/pods.ts';
import { KnapsackError } from '../base/errors.ts';
import { ApiError } from '../kube/api-error.ts';
import { fieldValue, resourceValue, type NodeFacts } from './environment.ts';
import type { FileSource, VolumeFile } from './volumes.ts';

type KeyToPath = KubernetesTypes['core.v1.KeyToPath'];
type DownwardFile = KubernetesTypes['core.v1.DownwardAPIVolumeFile'];

/** Reads the data of an object; undefined when it does not exist. */
export type DataReader = (
  kind: 'configmap' | 'secret',
  namespace: string,
  name: string,
) => Promise<ReadonlyMap<string, Buffer> | undefined>;

/** A token for a pod's service account, for projected volumes. */
export type TokenSource = (request: {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly audience: string | undefined;
  readonly expirationSeconds: number;
  readonly pod: { readonly name: string; readonly uid: string };
}) => Promise<string>;

interface Source {
  /** The pod as it is now: its labels and annotations change. */
  readonly pod: () => Pod;
  readonly read: DataReader;
  readonly token: TokenSource | undefined;
  /** Text of a kubeconfig for the token and certificate in a directory, where pods cannot have them at the usual path. */
  readonly kubeconfig: ((dir: string) => Promise<string>) | undefined;
  readonly facts: () => NodeFacts;
}

const defaultFileMode = 0o644;

/** Makes the reader of a pod's volume files. */
export function fileSource(source: Source): FileSource {
  return async (volume, dir) => {
    const { configMap, secret, downwardAPI, projected } = volume;
    if (configMap) {
      const mode = configMap.defaultMode ?? defaultFileMode;
      return dataFiles(source, 'configmap', { ...configMap, name: configMap.name ?? '' }, mode);
    }
    if (secret) {
      const mode = secret.defaultMode ?? defaultFileMode;
      return dataFiles(source, 'secret', { ...secret, name: secret.secretName ?? '' }, mode);
    }
    if (downwardAPI) {
      return downwardFiles(source, downwardAPI.items ?? [], downwardAPI.defaultMode ?? defaultFileMode);
    }
    const mode = projected?.defaultMode ?? defaultFileMode;
    const files = await Promise.all(
      (projected?.sources ?? []).map(async (part): Promise<readonly VolumeFile[]> => {
        if (part.configMap)
          return dataFiles(source, 'configmap', { ...part.configMap, name: part.configMap.name ?? '' }, mode);
        if (part.secret)
          return dataFiles(source, 'secret', { ...part.secret, name: part.secret.name ?? '' }, mode);
        if (part.downwardAPI) return downwardFiles(source, part.downwardAPI.items ?? [], mode);
        return part.serviceAccountToken ? tokenFile(source, part.serviceAccountToken, mode) : [];
      }),
    );
    const own = projected?.sources?.some((part) => part.serviceAccountToken?.path === 'token');
    if (own && source.kubeconfig && source.token) {
      const content = Buffer.from(await source.kubeconfig(dir));
      files.push([{ path: 'kubeconfig', content, mode }]);
    }
    return files.flat();
  };
}

async function dataFiles(
  { pod, read }: Source,
  kind: 'configmap' | 'secret',
  ref: { name: string; items?: KeyToPath[]; optional?: boolean },
  mode: number,
): Promise<VolumeFile[]> {
  const data = await read(kind, pod().metadata.namespace ?? '', ref.name);
  if (!data) {
    if (ref.optional) return [];
    throw new KnapsackError('NODE_CONTAINER_CONFIG', `${kind} "${ref.name}" not found`);
  }
  if (!ref.items) return [...data].map(([path, content]) => ({ path, content, mode }));
  return ref.items.flatMap((item) => {
    const content = data.get(item.key);
    if (content) return [{ path: item.path, content, mode: item.mode ?? mode }];
    if (ref.optional) return [];
    throw new KnapsackError('NODE_CONTAINER_CONFIG', `${kind} references non-existent key: ${item.key}`);
  });
}

function downwardFiles(source: Source, items: readonly DownwardFile[], mode: number): VolumeFile[] {
  const pod = source.pod();
  const { facts } = source;
  return items.map((item) => {
    const [container] = pod.spec?.containers ?? [];
    let text = '';
    if (item.fieldRef) text = fieldValue(pod, item.fieldRef.fieldPath, facts());
    else if (item.resourceFieldRef && container) {
      text = resourceValue(pod, container, item.resourceFieldRef, facts());
    }
    return { path: item.path, content: Buffer.from(text), mode: item.mode ?? mode };
  });
}

/** Whether files of the pod hold its labels or annotations, which change. */
export function showsLabels({ spec }: Pod): boolean {
  return (spec?.volumes ?? []).some(({ downwardAPI, projected }) =>
    [{ downwardAPI }, ...(projected?.sources ?? [])].some((part) =>
      part.downwardAPI?.items?.some(({ fieldRef }) =>
        /^metadata\.(?:labels|annotations)/.test(fieldRef?.fieldPath ?? ''),
      ),
    ),
  );
}

/** Nothing when this node has no token source: as `automountServiceAccountToken: false`. */
async function tokenFile(
  { pod, token }: Source,
  part: KubernetesTypes['core.v1.ServiceAccountTokenProjection'],
  mode: number,
): Promise<VolumeFile[]> {
  if (!token) return [];
  const { metadata, spec } = pod();
  const text = await token({
    namespace: metadata.namespace ?? '',
    serviceAccount: spec?.serviceAccountName ?? 'default',
    audience: part.audience,
    expirationSeconds: part.expirationSeconds ?? 3600,
    pod: { name: metadata.name, uid: metadata.uid ?? '' },
  }).catch((error: unknown) => {
    if (!(error instanceof ApiError)) throw error;
    throw new KnapsackError('NODE_CONTAINER_CONFIG', `failed to fetch token: ${error.message}`);
  });
  return [{ path: part.path, content: Buffer.from(text), mode }];
}
