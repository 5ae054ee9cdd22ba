import type { CatalogueEntry } from '../errors.ts';

export const storeErrors = {
  STORE_IN_USE: {
    cause: 'Another Knapsack already runs on this data directory.',
    status: 0,
    remedy: 'Stop it with `knapsack down`, or choose another directory with --data.',
    blame: 'user',
  },
} as const satisfies Record<string, CatalogueEntry>;
