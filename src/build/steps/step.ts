/** What the programs of build steps share: arguments, and how a failure is told. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { KnapsackError, messageOf } from '../../base/errors.ts';

/** Kubernetes keeps this much of a termination message, bytes. */
const maxTerminationMessage = 4096;

/** The values of `--NAME VALUE` options; each may be given several times. */
export class StepArguments {
  readonly #values: { readonly [name: string]: readonly string[] };

  constructor(names: readonly string[], argv = process.argv.slice(2)) {
    const options = Object.fromEntries(
      names.map((name) => [name, { type: 'string' as const, multiple: true }]),
    );
    try {
      const { values } = parseArgs({ args: argv, options, strict: true });
      this.#values = values as { [name: string]: string[] };
    } catch (error) {
      throw new KnapsackError('BUILD_STEP_USAGE', messageOf(error));
    }
  }

  all(name: string): readonly string[] {
    return this.#values[name] ?? [];
  }

  optional(name: string): string | undefined {
    return this.all(name).at(-1) || undefined;
  }

  required(name: string): string {
    const value = this.optional(name);
    if (value === undefined) throw new KnapsackError('BUILD_STEP_USAGE', `the argument --${name} is missing`);
    return value;
  }
}

/**
 * Runs a step's work. A failure is printed, left as the container's termination message (where `KNAPSACK_TERMINATION_LOG`
 * says), from where it reaches the Build's condition, and ends the process with exit code 1.
 */
export async function runStep(work: () => Promise<string | void>): Promise<void> {
  try {
    const result = await work();
    if (result) leaveMessage(result);
  } catch (error) {
    console.error(`error: ${messageOf(error)}`);
    leaveMessage(messageOf(error));
    process.exitCode = 1;
  }
}

function leaveMessage(text: string): void {
  const path = process.env['KNAPSACK_TERMINATION_LOG'];
  if (!path) return;
  try {
    writeFileSync(path, Buffer.from(text).subarray(0, maxTerminationMessage));
  } catch {
    // Some runtimes give no such file; the log has the message as well.
  }
}
