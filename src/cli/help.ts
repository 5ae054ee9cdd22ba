import type { Command, OptionSpec } from './command.ts';

/** Two columns, the left one as wide as its widest cell. */
function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join('\n');
}

function optionLabel(name: string, spec: OptionSpec): string {
  const short = spec.short ? `-${spec.short}, ` : '    ';
  const value = spec.type === 'string' ? ` ${spec.placeholder ?? 'VALUE'}` : '';
  return `${short}--${name}${value}`;
}

/** The page of `knapsack --help`. */
export function overview(commands: readonly Command[]): string {
  const rows = commands.map((command): [string, string] => [command.path.join(' '), command.summary]);
  return [
    'knapsack: Knative in one process. Real kubectl, kn and func work against it.',
    '',
    'Usage: knapsack COMMAND [OPTIONS]',
    '',
    'Commands:',
    table(rows),
    '',
    'Start here:  knapsack up',
    'Each command explains itself:  knapsack COMMAND --help',
    '',
  ].join('\n');
}

/** The page of `knapsack COMMAND --help`. */
export function commandHelp(command: Command): string {
  const positionals = command.positionals.map((p) => (p.endsWith('?') ? `[${p.slice(0, -1)}]` : p));
  const usage = ['knapsack', ...command.path, ...positionals, '[OPTIONS]'].join(' ');
  const options = Object.entries(command.options).map(([name, spec]): [string, string] => [
    optionLabel(name, spec),
    spec.description + (spec.default === undefined ? '' : ` (default: ${spec.default})`),
  ]);
  options.push(['-h, --help', 'this page']);
  const examples = command.examples.map(({ command: line, explains }) => `  # ${explains}\n  ${line}`);
  return [
    command.summary,
    '',
    command.description,
    '',
    `Usage: ${usage}`,
    '',
    'Options:',
    table(options),
    '',
    'Examples:',
    examples.join('\n\n'),
    '',
  ].join('\n');
}
