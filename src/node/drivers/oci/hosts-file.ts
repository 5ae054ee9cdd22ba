/** /etc/hosts of pods, in the kubelet's form (pkg/kubelet/kubelet_pods.go `managedHostsFileContent`). */
import { readFileSync } from 'node:fs';
import type { SandboxSpec } from '../driver.ts';

interface Names extends Pick<SandboxSpec, 'hostname' | 'hostAliases'> {
  /** The name that a headless Service gives the pod, where it has one. */
  readonly fullHostname?: string | undefined;
}

/** Of a pod with an address of its own. Tools tell by the first line that the file is not the image's. */
export function podHostsFile(spec: Names, ip: string): string {
  const lines = [
    '# Kubernetes-managed hosts file.',
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::0\tip6-localnet',
    'fe00::0\tip6-mcastprefix',
    'fe00::1\tip6-allnodes',
    'fe00::2\tip6-allrouters',
    [ip, ...(spec.fullHostname === undefined ? [] : [spec.fullHostname]), spec.hostname].join('\t'),
  ];
  return `${lines.join('\n')}\n${aliasLines(spec)}`;
}

/** Of a pod on the network of this machine: what the machine knows, then what the pod adds. */
export function hostHostsFile(spec: Names, path = '/etc/hosts'): string {
  return `# Kubernetes-managed hosts file (host network).\n${readIfThere(path)}${aliasLines(spec)}`;
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '127.0.0.1\tlocalhost\n';
  }
}

function aliasLines({ hostAliases }: Names): string {
  if (hostAliases.length === 0) return '';
  const lines = hostAliases.map(({ ip, names }) => [ip, ...names].join('\t'));
  return `\n# Entries added by HostAliases.\n${lines.join('\n')}\n`;
}
