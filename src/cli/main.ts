/** The `knapsack` command. */
import { KnapsackError, messageOf, systemCode } from '../base/errors.ts';
import type { CommandIo } from './command.ts';
import { commands } from './commands/index.ts';
import { commandHelp, overview } from './help.ts';
import { parseCommandLine } from './parse.ts';

/** Runs a command line and returns its exit code: 0 done, 1 failed, 2 misused, 3 not running. */
export async function runCommandLine(argv: readonly string[], io: CommandIo): Promise<number> {
  for (const stream of [io.out, io.err]) stream.on('error', ignoreGoneReader);
  try {
    const invocation = parseCommandLine(commands, argv);
    if (!invocation) {
      io.out.write(overview(commands));
      return 0;
    }
    if (invocation.help) {
      io.out.write(commandHelp(invocation.command));
      return 0;
    }
    return await invocation.command.run(invocation.positionals, invocation.options, io);
  } catch (error) {
    return report(error, io);
  }
}

/** A reader that left (`| head`, a closed terminal) must not end a platform without its clean stop. */
function ignoreGoneReader(error: Error): void {
  const code = systemCode(error);
  if (code !== 'EPIPE' && code !== 'EIO') throw error;
}

/** What happened, then what to do about it: `error CODE: message` and the remedy of the catalogue. */
function report(error: unknown, io: CommandIo): number {
  if (error instanceof KnapsackError) {
    io.err.write(`error ${error.code}: ${error.message}\n`);
    if (error.code === 'CLI_USAGE') return 2;
    io.err.write(`  ${error.entry.remedy}\n`);
    return 1;
  }
  io.err.write(`error: ${messageOf(error)}\n`);
  if (io.env['KNAPSACK_DEBUG'] && error instanceof Error) io.err.write(`${error.stack}\n`);
  return 1;
}
