import type { CatalogueEntry } from '../errors.ts';

export const nodeErrors = {
  NODE_NO_DRIVER: {
    cause: 'The pod driver that was asked for cannot run on this machine.',
    status: 0,
    remedy: 'Install what the message names, or start with --driver process.',
    blame: 'user',
  },
} as const satisfies Record<string, CatalogueEntry>;
