import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import { KnapsackError, messageOf } from '../base/errors.ts';
import type { Command, OptionValues } from './command.ts';

export interface Invocation {
  readonly command: Command;
  readonly positionals: readonly string[];
  readonly options: OptionValues;
  readonly help: boolean;
}

/**
 * Finds the command that the first words name (longest match) and parses the rest.
 * Throws CLI_USAGE with what is wrong and where help is; returns undefined for no words at all or plain `--help`.
 */
export function parseCommandLine(
  commands: readonly Command[],
  argv: readonly string[],
): Invocation | undefined {
  const words: string[] = [];
  for (const word of argv) {
    if (word.startsWith('-')) break;
    words.push(word);
  }
  if (words.length === 0) {
    const stray = argv.find((word) => word !== '--help' && word !== '-h');
    if (stray) throw new KnapsackError('CLI_USAGE', `unknown option ${stray}; see \`knapsack --help\``);
    return undefined;
  }
  if (words[0] === 'help') return parseCommandLine(commands, [...argv.slice(1), '--help']);
  const command = commands
    .filter((candidate) => candidate.path.every((word, i) => words[i] === word))
    .sort((a, b) => b.path.length - a.path.length)[0];
  if (!command) throw unknownCommand(commands, words);
  return { command, ...parseOptions(command, argv.slice(command.path.length)) };
}

function unknownCommand(commands: readonly Command[], words: readonly string[]): KnapsackError {
  const group = commands.filter((candidate) => candidate.path[0] === words[0]);
  const hint = group.length > 0 ? `; there is ${group.map((c) => `\`${c.path.join(' ')}\``).join(', ')}` : '';
  return new KnapsackError(
    'CLI_USAGE',
    `unknown command \`${words.join(' ')}\`${hint}; see \`knapsack --help\``,
  );
}

function parseOptions(command: Command, rest: readonly string[]): Omit<Invocation, 'command'> {
  const name = `knapsack ${command.path.join(' ')}`;
  const config: ParseArgsOptionsConfig = { help: { type: 'boolean', short: 'h' } };
  for (const [option, spec] of Object.entries(command.options)) {
    config[option] = {
      type: spec.type,
      ...(spec.short ? { short: spec.short } : {}),
      ...(spec.default === undefined ? {} : { default: spec.default }),
      ...(spec.multiple ? { multiple: true } : {}),
    };
  }
  let parsed;
  try {
    parsed = parseArgs({ args: [...rest], options: config, allowPositionals: true, strict: true });
  } catch (error) {
    throw new KnapsackError('CLI_USAGE', `${messageOf(error).split('. ')[0]}; see \`${name} --help\``);
  }
  const { help, ...options } = parsed.values as OptionValues & { help?: boolean };
  if (help) return { positionals: [], options: {}, help: true };
  for (const [option, spec] of Object.entries(command.options)) {
    const value = options[option];
    if (spec.choices && typeof value === 'string' && !spec.choices.includes(value)) {
      throw new KnapsackError(
        'CLI_USAGE',
        `--${option} is \`${value}\`, must be one of: ${spec.choices.join(', ')}`,
      );
    }
  }
  const required = command.positionals.filter((positional) => !positional.endsWith('?')).length;
  if (parsed.positionals.length < required) {
    throw new KnapsackError(
      'CLI_USAGE',
      `${command.positionals[parsed.positionals.length]} is missing; see \`${name} --help\``,
    );
  }
  const extra = parsed.positionals[command.positionals.length];
  if (extra !== undefined)
    throw new KnapsackError('CLI_USAGE', `unexpected \`${extra}\`; see \`${name} --help\``);
  return { positionals: parsed.positionals, options, help: false };
}
