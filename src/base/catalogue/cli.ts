import type { CatalogueEntry } from './entry.ts';

export const cliErrors = {
  CLI_USAGE: {
    cause: 'The words of a command are not understood.',
    status: 0,
    remedy: 'Run the command with --help.',
    blame: 'user',
  },
  CLI_PORT_TAKEN: {
    cause: 'A port that Knapsack should listen on is taken.',
    status: 0,
    remedy:
      'Stop the program that holds it, or choose another port with --api-port, --gateway-port, --local-port or --registry-port (0 picks a free one).',
    blame: 'user',
  },
  CLI_START_FAILED: {
    cause: 'The platform ended before it was ready.',
    status: 0,
    remedy: 'Read the file that the message names; start without --detach to see the error at once.',
    blame: 'system',
  },
  CLI_EXAMPLE_FAILED: {
    cause: 'The bundled hello example did not come up.',
    status: 0,
    remedy: 'Look at `kubectl describe ksvc hello` and at the log in the data directory.',
    blame: 'system',
  },
  CLI_STOP_TIMEOUT: {
    cause: 'The platform did not end in time after being asked to stop.',
    status: 0,
    remedy: 'Read its log; as a last resort end the process by hand, the next start cleans up.',
    blame: 'system',
  },
  CLI_DATA_UNUSABLE: {
    cause: 'The data directory cannot be made, read or written.',
    status: 0,
    remedy: 'Name a directory of your own on a disk that can be written with --data.',
    blame: 'user',
  },
  CLI_TOKEN_KEY_DAMAGED: {
    cause: 'The key that signs the tokens of service accounts cannot be read.',
    status: 0,
    remedy:
      'Restore the file that the message names from a backup. Deleting it makes a new key, and every token handed out so far worthless.',
    blame: 'system',
  },
  CLI_NOT_A_DATA_DIRECTORY: {
    cause: 'A directory that should be deleted was not made by Knapsack.',
    status: 0,
    remedy: 'Check --data; delete the directory by hand if you mean it.',
    blame: 'user',
  },
  CLI_BACKUP_FAILED: {
    cause: 'A backup could not be taken; no file was left.',
    status: 0,
    remedy: 'Read what the message says of the platform or the disk, and try again.',
    blame: 'system',
  },
  CLI_BACKUP_INVALID: {
    cause:
      'A file is not a whole backup that this version of Knapsack can read; nothing was restored from it.',
    status: 0,
    remedy: 'Choose another backup, or copy this one again from where it was taken.',
    blame: 'user',
  },
  CLI_RESTORE_NOT_EMPTY: {
    cause: 'The directory to restore into holds something already.',
    status: 0,
    remedy: 'Choose a new directory with --data, or replace what is there with --force.',
    blame: 'user',
  },
} as const satisfies Record<string, CatalogueEntry>;
