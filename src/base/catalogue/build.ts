import type { CatalogueEntry } from '../errors.ts';

export const buildErrors = {
  BUILD_SOURCE_FAILED: {
    cause: 'The source of a build could not be fetched.',
    status: 0,
    remedy: 'Read the log of the git-source container; check url and revision.',
    blame: 'user',
  },
} as const satisfies Record<string, CatalogueEntry>;
