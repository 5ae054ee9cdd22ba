/** Reads aggregated discovery from a server by the credentials of a kubeconfig that Knapsack wrote. */
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { parse } from 'yaml';
import type { Discovery } from './resource-tables.ts';

interface Kubeconfig {
  readonly clusters: readonly { readonly cluster: Readonly<Record<string, string>> }[];
  readonly users: readonly { readonly user: Readonly<Record<string, string>> }[];
}

const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

/** The documents of `/api` and `/apis`. Rejects when the server does not answer with 200. */
export function readDiscovery(kubeconfig: string): Promise<Discovery[]> {
  const { clusters, users } = parse(readFileSync(kubeconfig, 'utf8')) as Kubeconfig;
  const cluster = clusters[0]?.cluster ?? {};
  const user = users[0]?.user ?? {};
  const decode = (text = ''): Buffer => Buffer.from(text, 'base64');
  const get = (path: string): Promise<Discovery> =>
    new Promise((resolve, reject) => {
      const options = {
        ca: decode(cluster['certificate-authority-data']),
        cert: decode(user['client-certificate-data']),
        key: decode(user['client-key-data']),
        headers: { accept },
        agent: false,
      } as const;
      const call = request(new URL(path, cluster['server']), options, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          if (response.statusCode === 200) resolve(JSON.parse(text) as Discovery);
          else reject(new Error(`GET ${path}: ${response.statusCode} ${text}`));
        });
      });
      call.on('error', reject);
      call.end();
    });
  return Promise.all([get('/api'), get('/apis')]);
}
