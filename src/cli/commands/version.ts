import { outputOption, type Command } from '../command.ts';
import { printResult } from '../output.ts';
import { version as own } from '../version.ts';

export const version: Command = {
  path: ['version'],
  summary: 'Print the version',
  description: 'Prints the versions of Knapsack and of the Node.js that runs it.',
  positionals: [],
  options: { output: outputOption },
  examples: [{ command: 'knapsack version -o json', explains: 'for a script' }],
  async run(_positionals, options, io) {
    const value = { knapsack: own, node: process.versions.node };
    await printResult(io, options, value, `knapsack ${own} (Node.js ${process.versions.node})`);
    return 0;
  },
};
