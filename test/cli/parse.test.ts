import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Command } from '../../src/cli/command.ts';
import { commandHelp, overview } from '../../src/cli/help.ts';
import { parseCommandLine } from '../../src/cli/parse.ts';

function command(path: string[], more: Partial<Command> = {}): Command {
  return {
    path,
    summary: `Does ${path.join(' ')}`,
    description: 'At length.',
    positionals: [],
    options: {},
    examples: [{ command: `knapsack ${path.join(' ')}`, explains: 'plainly' }],
    run: () => Promise.resolve(0),
    ...more,
  };
}

const commands = [
  command(['up'], {
    options: {
      data: { type: 'string', description: 'where' },
      detach: { type: 'boolean', short: 'd', description: 'b' },
    },
  }),
  command(['image', 'build'], {
    positionals: ['DIR', 'EXTRA?'],
    options: { tag: { type: 'string', short: 't', description: 'name' } },
  }),
  command(['image', 'list'], {
    options: { output: { type: 'string', short: 'o', description: 'f', choices: ['json', 'yaml'] } },
  }),
];

describe('command line', () => {
  it('finds the longest command and its options', () => {
    const found = parseCommandLine(commands, ['image', 'build', '.', '-t', 'x']);
    assert.deepEqual(found?.command.path, ['image', 'build']);
    assert.deepEqual(found?.positionals, ['.']);
    assert.equal(found?.options['tag'], 'x');
  });

  it('shows the overview without words', () => {
    assert.equal(parseCommandLine(commands, []), undefined);
    assert.equal(parseCommandLine(commands, ['--help']), undefined);
    assert.match(overview(commands), /image build {2}Does image build/);
  });

  it('takes --help anywhere and `help COMMAND`', () => {
    assert.equal(parseCommandLine(commands, ['image', 'build', '--help'])?.help, true);
    assert.equal(parseCommandLine(commands, ['help', 'up'])?.command.path[0], 'up');
  });

  const refusals: [string[], RegExp][] = [
    [['nonsense'], /unknown command `nonsense`; see `knapsack --help`/],
    [['image'], /unknown command `image`; there is `image build`, `image list`/],
    [['--wat'], /unknown option --wat/],
    [['up', '--wat'], /Unknown option '--wat'; see `knapsack up --help`/],
    [['up', 'more'], /unexpected `more`/],
    [['image', 'build'], /DIR is missing/],
    [['image', 'list', '-o', 'xml'], /--output is `xml`, must be one of: json, yaml/],
  ];
  for (const [argv, message] of refusals) {
    it(`refuses ${argv.join(' ')}`, () => {
      assert.throws(() => parseCommandLine(commands, argv), { code: 'CLI_USAGE', message });
    });
  }

  it('explains a command from its data', () => {
    const page = commandHelp(commands[1] ?? command([]));
    assert.match(page, /Usage: knapsack image build DIR \[EXTRA\] \[OPTIONS\]/);
    assert.match(page, /-t, --tag VALUE {2}name/);
    assert.match(page, /# plainly\n {2}knapsack image build/);
  });
});
