/**
 * Gives every new pod its service account's token, as files, and the account's pull secrets (kubernetes
 * plugin/pkg/admission/serviceaccount).
 */
import type { KubernetesTypes } from '../../../api/generated/kubernetes-types.ts';
import { serviceAccounts, type ServiceAccount } from '../../../api/kubernetes/core.ts';
import { pods } from '../../../api/kubernetes/pods.ts';
import type { Pod } from '../../../api/pods.ts';
import { randomSuffix } from '../../../base/names.ts';
import { qualifiedName } from '../../../api/resource.ts';
import type { Store } from '../../store/store.ts';
import type { AdmissionPlugin } from '../service/admission-plugin.ts';
import { forbidden } from '../service/errors.ts';

type PodSpec = NonNullable<Pod['spec']>;
type Volume = KubernetesTypes['core.v1.Volume'];

/** Where client libraries look for credentials. */
export const tokenMountPath = '/var/run/secrets/kubernetes.io/serviceaccount';
export const rootCertificateName = 'kube-root-ca.crt';

const volumePrefix = 'kube-api-access-';
/** An hour and a few seconds, by which a token that was not asked for by hand can be told. */
const tokenLifetimeSeconds = 3607;
const defaultAccount = 'default';

export function serviceAccountPlugin(store: Store): AdmissionPlugin {
  const accounts = store.table(qualifiedName(serviceAccounts));
  return {
    name: 'ServiceAccount',
    mutate({ def, operation, subresource, object, namespace = '', name }) {
      if (def.group !== '' || def.plural !== pods.plural || operation !== 'CREATE') return;
      const spec = (object as unknown as Pod | undefined)?.spec;
      if (subresource || !spec) return;
      const account = spec.serviceAccountName || defaultAccount;
      spec.serviceAccountName = account;
      spec.serviceAccount = account;
      const found: ServiceAccount | undefined = accounts.get(`${namespace}/${account}`)?.object;
      // The default account follows its namespace a moment later; a pod that is quicker need not fail for it.
      if (!found && account !== defaultAccount) {
        throw forbidden(
          def,
          name,
          `error looking up service account ${namespace}/${account}: serviceaccount ${JSON.stringify(account)} not found`,
        );
      }
      const automount = spec.automountServiceAccountToken ?? found?.automountServiceAccountToken ?? true;
      if (automount) mountToken(spec);
      if (!spec.imagePullSecrets?.length && found?.imagePullSecrets?.length) {
        spec.imagePullSecrets = structuredClone(found.imagePullSecrets);
      }
    },
  };
}

/** Mounts the token in every container that has nothing else in its place. */
function mountToken(spec: PodSpec): void {
  const present = spec.volumes?.find((volume) => volume.name.startsWith(volumePrefix));
  const name = present?.name ?? `${volumePrefix}${randomSuffix()}`;
  let used = false;
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) {
    const mounts = container.volumeMounts ?? [];
    if (mounts.some((mount) => mount.mountPath === tokenMountPath)) continue;
    container.volumeMounts = [...mounts, { name, readOnly: true, mountPath: tokenMountPath }];
    used = true;
  }
  if (used && !present) spec.volumes = [...(spec.volumes ?? []), tokenVolume(name)];
}

function tokenVolume(name: string): Volume {
  return {
    name,
    projected: {
      defaultMode: 0o644,
      sources: [
        { serviceAccountToken: { expirationSeconds: tokenLifetimeSeconds, path: 'token' } },
        { configMap: { name: rootCertificateName, items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        {
          downwardAPI: {
            items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
          },
        },
      ],
    },
  };
}
