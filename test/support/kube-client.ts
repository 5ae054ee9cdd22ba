import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { Client } from '../../src/kube/client/client.ts';
import { httpClient } from '../../src/kube/client/http.ts';

interface Kubeconfig {
  clusters: { cluster: { server: string; 'certificate-authority-data': string } }[];
  users: { user: { 'client-certificate-data': string; 'client-key-data': string } }[];
}

/** Our own HTTP client with the administrator's kubeconfig. */
export function kubeClient(kubeconfig: string): Client {
  const { clusters, users } = parse(readFileSync(kubeconfig, 'utf8')) as Kubeconfig;
  const [cluster] = clusters;
  const [user] = users;
  if (!cluster || !user) throw new Error(`${kubeconfig} has no cluster or user`);
  const decode = (text: string): string => Buffer.from(text, 'base64').toString();
  return httpClient({
    server: cluster.cluster.server,
    ca: decode(cluster.cluster['certificate-authority-data']),
    cert: decode(user.user['client-certificate-data']),
    key: decode(user.user['client-key-data']),
  });
}
