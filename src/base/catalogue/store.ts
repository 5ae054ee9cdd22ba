import type { CatalogueEntry } from './entry.ts';

export const storeErrors = {
  STORE_IN_USE: {
    cause: 'Another Knapsack already runs on this data directory.',
    status: 0,
    remedy: 'Stop it with `knapsack down`, or choose another directory with --data.',
    blame: 'user',
  },
  STORE_UNREADABLE: {
    cause: 'The store in the data directory cannot be opened or read: permissions, or a disk that fails.',
    status: 0,
    remedy: 'Check owner and permissions of the directory, and the disk; then start again.',
    blame: 'system',
  },
  STORE_DAMAGED: {
    cause: 'The file of the store is not what Knapsack wrote. Nothing is skipped, so nothing starts.',
    status: 0,
    remedy:
      'Copy the data directory away, check the disk, and restore the latest backup with `knapsack restore FILE --force`; without one, `knapsack reset` starts empty.',
    blame: 'system',
  },
  STORE_TOO_NEW: {
    cause: 'The store was written by a later version of Knapsack.',
    status: 0,
    remedy: 'Start the version of Knapsack that wrote it, or choose another directory with --data.',
    blame: 'user',
  },
  STORE_FULL: {
    cause: 'The disk of the data directory is full: the write was not kept.',
    status: 503,
    remedy: 'Free space on the disk and send the request again; nothing that was acknowledged is lost.',
    blame: 'user',
  },
  STORE_FAILED: {
    cause: 'The disk of the data directory failed a write: the store takes no more writes.',
    status: 503,
    remedy: 'Check the disk, then restart Knapsack; everything that was acknowledged before is kept.',
    blame: 'system',
  },
  STORE_CLOSED: {
    cause: 'Knapsack is stopping and takes no more writes.',
    status: 503,
    remedy: 'Send the request again when Knapsack runs.',
    blame: 'system',
  },
} as const satisfies Record<string, CatalogueEntry>;
