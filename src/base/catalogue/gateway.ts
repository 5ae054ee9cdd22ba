import type { CatalogueEntry } from '../errors.ts';

export const gatewayErrors = {
  GATEWAY_NO_ROUTE: {
    cause: 'No route has this host name.',
    status: 404,
    remedy: 'Check the Host header against the URL that `kubectl get ksvc` shows.',
    blame: 'user',
  },
} as const satisfies Record<string, CatalogueEntry>;
