/** Kubeconfig files, so that `kubectl` finds the API server with one environment variable. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

export interface KubeconfigContent {
  /** `https://127.0.0.1:6443`. */
  readonly server: string;
  /** PEM. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** The text of a kubeconfig with everything embedded; cluster, user and context are all named `knapsack`. */
export function makeKubeconfig(content: KubeconfigContent): string {
  const data = (pem: string): string => Buffer.from(pem).toString('base64');
  return `apiVersion: v1
kind: Config
clusters:
- name: knapsack
  cluster:
    server: ${content.server}
    certificate-authority-data: ${data(content.ca)}
users:
- name: knapsack
  user:
    client-certificate-data: ${data(content.cert)}
    client-key-data: ${data(content.key)}
contexts:
- name: knapsack
  context:
    cluster: knapsack
    user: knapsack
    namespace: default
current-context: knapsack
`;
}

/** Writes the file, readable by its owner alone, replacing it in one step. */
export function writeKubeconfig(path: string, content: KubeconfigContent): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, makeKubeconfig(content), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
