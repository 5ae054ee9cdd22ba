import type { CommandIo, OptionValues } from './command.ts';

/** Writes a result: as JSON or YAML when `-o` asks for it, else the text made for people. */
export async function printResult(
  io: CommandIo,
  options: OptionValues,
  value: object,
  text: string,
): Promise<void> {
  if (options['output'] === 'json') {
    io.out.write(`${JSON.stringify(value, null, 2)}\n`);
  } else if (options['output'] === 'yaml') {
    const { stringify } = await import('yaml');
    io.out.write(stringify(value));
  } else {
    io.out.write(text.endsWith('\n') ? text : `${text}\n`);
  }
}

/** Progress of long work, one line a step, on stderr so that stdout stays parseable. */
export interface Progress {
  /** A step has been finished; `ms` since it began is shown. */
  done(step: string, ms?: number): void;
  /** Something worth knowing that is not a step. */
  note(text: string): void;
}

export function progressTo(io: CommandIo, quiet: boolean): Progress {
  if (quiet) return { done() {}, note() {} };
  const mark = io.err.isTTY ? '\u001b[32m✓\u001b[0m' : '✓';
  return {
    done(step, ms) {
      const time =
        ms === undefined ? '' : `  ${ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`}`;
      io.err.write(`${mark} ${step}${time}\n`);
    },
    note(text) {
      io.err.write(`${text}\n`);
    },
  };
}
