import type { CatalogueEntry } from '../errors.ts';

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
    remedy: 'Stop the program that holds it, or choose another port (0 picks a free one).',
    blame: 'user',
  },
} as const satisfies Record<string, CatalogueEntry>;
