import type { CatalogueEntry } from '../errors.ts';

export const imageErrors = {
  IMAGE_NOT_FOUND: {
    cause: 'An image is neither in the local store nor in the registry that its name says.',
    status: 0,
    remedy: 'Check the name, or build it with `knapsack image build DIR -t NAME`.',
    blame: 'user',
  },
} as const satisfies Record<string, CatalogueEntry>;
