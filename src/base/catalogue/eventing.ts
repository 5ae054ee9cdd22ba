import type { CatalogueEntry } from '../errors.ts';

export const eventingErrors = {
  EVENTING_BROKER_NOT_FOUND: {
    cause: 'The path names a broker that does not exist.',
    status: 404,
    remedy: 'Check the namespace and name in the path against `kubectl get brokers -A`.',
    blame: 'user',
  },
} as const satisfies Record<string, CatalogueEntry>;
