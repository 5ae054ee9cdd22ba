/** How the containers of a pod learn where the Kubernetes API is. */
import type { Pod } from '../api/pods.ts';
import { tokenMountPath } from '../kube/server/admission/service-account.ts';

/** Where pods reach the API. */
export interface ApiAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * The variables that client libraries look for in a pod. `byFile`: pods see the machine's files, so that a library that
 * looks for credentials at their usual path finds none; the many that heed KUBECONFIG are led to them.
 */
export function makeApiEnvironment(
  { host, port }: ApiAddress,
  pod: Pod,
  byFile: boolean,
): ReadonlyMap<string, string> {
  const env = new Map([
    ['KUBERNETES_SERVICE_HOST', host],
    ['KUBERNETES_SERVICE_PORT', String(port)],
    ['KUBERNETES_SERVICE_PORT_HTTPS', String(port)],
  ]);
  const hasToken = pod.spec?.containers.some((container) =>
    container.volumeMounts?.some((mount) => mount.mountPath === tokenMountPath),
  );
  if (byFile && hasToken) env.set('KUBECONFIG', `${tokenMountPath}/kubeconfig`);
  return env;
}

/** A kubeconfig for the token and certificate in a directory of this machine. */
export function makePodKubeconfig({ host, port }: ApiAddress, dir: string): string {
  const server = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'knapsack', cluster: { server, 'certificate-authority': `${dir}/ca.crt` } }],
    // The second spelling is that of Kubernetes' client for Node.js.
    users: [{ name: 'pod', user: { tokenFile: `${dir}/token`, 'token-file': `${dir}/token` } }],
    contexts: [{ name: 'pod', context: { cluster: 'knapsack', user: 'pod' } }],
    'current-context': 'pod',
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}
