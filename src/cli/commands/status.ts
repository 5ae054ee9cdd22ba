import { dataOption, outputOption, type Command } from '../command.ts';
import { dataDirectory, readRunning } from '../data-dir.ts';
import { printResult } from '../output.ts';

export const status: Command = {
  path: ['status'],
  summary: 'Show whether the platform runs, and where',
  description: 'Prints addresses and paths of the running platform. Exit code 3 when none is ready.',
  positionals: [],
  options: { data: dataOption, output: outputOption },
  examples: [
    { command: 'knapsack status', explains: 'is it running?' },
    { command: 'knapsack status -o json', explains: 'addresses for a script' },
  ],
  async run(_positionals, options, io) {
    const data = dataDirectory(options, io.env);
    const running = readRunning(data);
    if (!running) {
      await printResult(io, options, { running: false, data }, `not running (data directory ${data})`);
      return 3;
    }
    const { pid, info } = running;
    if (!info) {
      const value = { running: false, starting: true, pid, data };
      await printResult(io, options, value, `starting (pid ${pid}, data directory ${data})`);
      return 3;
    }
    const rows = [
      ['running', `pid ${info.pid} since ${info.startedAt}`],
      ['version', info.version],
      ['API', info.api],
      ['kubeconfig', info.kubeconfig],
      ['gateway', info.gateway],
      ['local', info.local],
      ['registry', info.registry],
      ['driver', info.driver],
      ['data', info.data],
      ['log', info.log],
    ];
    await printResult(
      io,
      options,
      { running: true, ...info },
      rows.map(([name = '', value]) => `${name.padEnd(11)} ${value}`).join('\n'),
    );
    return 0;
  },
};
