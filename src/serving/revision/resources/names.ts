/** Names of what belongs to a Revision, and its serving container. */
import { childName } from '../../../base/names.ts';
import type { Revision, RevisionContainer } from '../../../api/serving/index.ts';

export const defaultUserPort = 8080;

export function deploymentName(revision: string): string {
  return childName(revision, '-deployment');
}

export function imageCacheName(revision: string, container: string): string {
  return childName(revision, `-cache-${container}`);
}

/** The container that answers requests: the only one, or the one with a port. */
export function servingContainer({ spec }: Revision): RevisionContainer | undefined {
  const containers = spec?.containers ?? [];
  return containers.length === 1 ? containers[0] : containers.find(({ ports }) => (ports?.length ?? 0) > 0);
}

/** The port that requests go to. */
export function userPort(revision: Revision): number {
  return servingContainer(revision)?.ports?.[0]?.containerPort || defaultUserPort;
}

/** Which HTTP the serving container speaks: HTTP/2 with prior knowledge when its port is named `h2c`. */
export function protocolOf(revision: Revision): 'http1' | 'h2c' {
  return servingContainer(revision)?.ports?.[0]?.name === 'h2c' ? 'h2c' : 'http1';
}
