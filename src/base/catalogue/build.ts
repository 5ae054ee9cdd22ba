import type { CatalogueEntry } from './entry.ts';

export const buildErrors = {
  BUILD_SOURCE_FAILED: {
    cause: 'The source of a build could not be fetched.',
    status: 0,
    remedy: 'Read the log of the git-source container; check url and revision.',
    blame: 'user',
  },
  BUILD_CREDENTIALS_INVALID: {
    cause: 'The credentials of a build cannot be used as they are.',
    status: 0,
    remedy:
      'Check the Secrets that the ServiceAccount lists: their type, keys and build.knative.dev annotations.',
    blame: 'user',
  },
  BUILD_STEP_USAGE: {
    cause: 'A build step was called without an argument that it needs.',
    status: 0,
    remedy: 'Check the arguments of the step in the build template.',
    blame: 'user',
  },
} as const satisfies Record<string, CatalogueEntry>;
