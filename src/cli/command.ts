/** Commands as data: help, parsing and the documentation page come from the same object. */

export interface OptionSpec {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  /** What stands for the value in help: `--data DIR`. */
  readonly placeholder?: string;
  readonly description: string;
  readonly default?: string;
  /** May be given more than once; the value is then a list. */
  readonly multiple?: true;
  readonly choices?: readonly string[];
}

/** Option values by long name, as the command line gave them (defaults filled in). */
export interface OptionValues {
  readonly [name: string]: string | boolean | readonly string[] | undefined;
}

/** Where a command writes: results to `out`, everything else to `err`. */
export interface CommandIo {
  readonly out: NodeJS.WritableStream;
  readonly err: NodeJS.WritableStream & { isTTY?: boolean };
  readonly env: NodeJS.ProcessEnv;
  readonly stdin: NodeJS.ReadStream;
}

export interface Command {
  /** The words that select it: `['image', 'build']`. */
  readonly path: readonly string[];
  readonly summary: string;
  /** A paragraph or two for its own help page. */
  readonly description: string;
  /** Names of positional arguments, in order; a trailing `?` marks an optional one. */
  readonly positionals: readonly string[];
  readonly options: { readonly [name: string]: OptionSpec };
  readonly examples: readonly { readonly command: string; readonly explains: string }[];
  /** Returns the exit code: 0 done, 1 failed, 2 misused, 3 not running. */
  run(positionals: readonly string[], options: OptionValues, io: CommandIo): Promise<number>;
}

/** Options that several commands share. */
export const dataOption: OptionSpec = {
  type: 'string',
  placeholder: 'DIR',
  description: 'data directory (default: $KNAPSACK_DATA, else ~/.knapsack)',
};

export const outputOption: OptionSpec = {
  type: 'string',
  short: 'o',
  placeholder: 'FORMAT',
  description: 'machine-readable output: json or yaml',
  choices: ['json', 'yaml'],
};

export const quietOption: OptionSpec = {
  type: 'boolean',
  short: 'q',
  description: 'no progress, only results and errors',
};
