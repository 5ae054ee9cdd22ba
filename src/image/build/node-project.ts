/** How a Node.js project is started and what it depends on, read from its package.json. */
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, join, posix, relative, resolve } from 'node:path';
import { KnapsackError, messageOf } from '../../base/errors.ts';

export interface NodeProject {
  readonly directory: string;
  /** Full command, `node` first, paths relative to the project. */
  readonly command: readonly string[];
  /** `NAME=value` words before the command of the start script. */
  readonly env: readonly string[];
  /** The file that is run, relative to the project. */
  readonly entry: string;
  /** Where the command was found, for the progress output. */
  readonly commandFrom: string;
}

interface PackageJson {
  readonly name: unknown;
  readonly scripts: { readonly [name: string]: unknown };
  readonly main: unknown;
  readonly dependencies: { readonly [name: string]: unknown };
}

const maxPackageJson = 4 << 20;
const defaultEntries = ['index.js', 'server.js', 'index.mjs', 'index.ts', 'server.ts'];
/** Options of node that take their value from the next word. */
const valueOptions = new Set(['-r', '--require', '--import', '--env-file', '--conditions', '-C', '--loader']);

function readPackageJson(directory: string): PackageJson | undefined {
  const path = join(directory, 'package.json');
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) return undefined;
  let value: unknown;
  try {
    if (found.size > maxPackageJson) throw new Error(`it has ${found.size} bytes`);
    value = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof value !== 'object' || value === null) throw new Error('it is not an object');
  } catch (error) {
    throw new KnapsackError('IMAGE_BUILD_NO_PROJECT', `${path} cannot be read: ${messageOf(error)}`);
  }
  const { name, scripts, main, dependencies } = value as { [key: string]: unknown };
  const fields = (part: unknown): { [name: string]: unknown } =>
    typeof part === 'object' && part !== null ? { ...part } : {};
  return { name, scripts: fields(scripts), main, dependencies: fields(dependencies) };
}

/**
 * A repository name for the project: what package.json calls it, without scope, else the folder's name, with what image
 * names do not allow replaced.
 */
export function projectName(directory: string): string {
  const { name } = readPackageJson(directory) ?? {};
  const own = typeof name === 'string' && name !== '' ? name : basename(resolve(directory));
  const cleaned = own
    .toLowerCase()
    .replace(/^@[^/]*\//, '')
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '');
  return cleaned || 'app';
}

/** Words of a command line without shell syntax; undefined when a shell would have to interpret it. */
export function simpleWords(line: string): string[] | undefined {
  if (/[|&;<>$`()*?{}\n\\~#]/.test(line)) return undefined;
  const words = [...line.matchAll(/(?:[^\s'"]|'[^']*'|"[^"]*")+/g)].map((match) => match[0]);
  if (words.join('').length !== line.replaceAll(/\s+(?=(?:[^'"]|'[^']*'|"[^"]*")*$)/g, '').length)
    return undefined;
  return words.map((word) => word.replaceAll(/'([^']*)'|"([^"]*)"/g, '$1$2'));
}

/** Names of the production dependencies. Throws IMAGE_BUILD_NO_PROJECT. */
export function dependenciesOf(directory: string): string[] {
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    throw new KnapsackError('IMAGE_BUILD_NO_PROJECT', `${directory} is not a directory`);
  }
  return Object.keys(readPackageJson(directory)?.dependencies ?? {});
}

/**
 * How the project is started. `installed`: the directory whose node_modules the image gets, which a start script may take
 * its program from; by default the project's own. Throws IMAGE_BUILD_NO_PROJECT, IMAGE_BUILD_NO_COMMAND.
 */
export function readNodeProject(directory: string, installed = directory): NodeProject {
  const manifest = readPackageJson(directory);
  const tried: string[] = [];
  const start = manifest?.scripts['start'];
  if (typeof start === 'string') {
    const parsed = parseStart(directory, installed, start);
    if (parsed) {
      return { directory, ...parsed, commandFrom: 'scripts.start' };
    }
    tried.push(`the start script ${JSON.stringify(start)} is not of the form "node FILE"`);
  }
  const entries =
    typeof manifest?.main === 'string'
      ? [manifest.main, `${manifest.main}.js`, join(manifest.main, 'index.js')]
      : [];
  if (entries.length > 0) tried.push(`"main" names ${entries[0]}, which is not a file`);
  for (const [index, name] of [...entries, ...defaultEntries].entries()) {
    const entry = projectFile(directory, name);
    if (entry === undefined) continue;
    return {
      directory,
      command: ['node', entry],
      env: [],
      entry,
      commandFrom: index < entries.length ? 'main' : `${entry} in the project`,
    };
  }
  if (!manifest) {
    throw new KnapsackError(
      'IMAGE_BUILD_NO_PROJECT',
      `${directory} has neither package.json nor ${defaultEntries.slice(0, 2).join(' nor ')}`,
    );
  }
  const why = [...tried, `there is no ${defaultEntries.slice(0, 2).join(' or ')}`].join('; ');
  throw new KnapsackError('IMAGE_BUILD_NO_COMMAND', `no command to start ${directory}: ${why}`);
}

/** The path relative to the project when it names a file inside of it. */
function projectFile(directory: string, name: string): string | undefined {
  const path = posix.normalize(name.replace(/^\.\//, ''));
  if (path.startsWith('..') || path.startsWith('/')) return undefined;
  return statSync(join(directory, path), { throwIfNoEntry: false })?.isFile() ? path : undefined;
}

/** `[NAME=value…] node [options] FILE [args]`, or a program of node_modules/.bin that is itself JavaScript. */
function parseStart(
  directory: string,
  installed: string,
  script: string,
): Pick<NodeProject, 'command' | 'env' | 'entry'> | undefined {
  const words = simpleWords(script.trim());
  if (!words) return undefined;
  const first = words.findIndex((word) => !/^[A-Za-z_]\w*=/.test(word));
  const env = words.slice(0, Math.max(first, 0));
  const [program, ...args] = words.slice(Math.max(first, 0));
  if (program === undefined || program === 'npm' || program === 'npx') return undefined;
  if (program !== 'node') {
    const entry = localProgram(installed, program);
    return entry === undefined ? undefined : { command: ['node', entry, ...args], env, entry };
  }
  for (let i = 0; i < args.length; i++) {
    const word = args[i] ?? '';
    if (valueOptions.has(word)) i++;
    else if (!word.startsWith('-')) {
      const entry = projectFile(directory, word) ?? projectFile(directory, `${word}.js`);
      if (entry === undefined) return undefined;
      return { command: ['node', ...args.slice(0, i), entry, ...args.slice(i + 1)], env, entry };
    }
  }
  return undefined;
}

/** Run directly, a JavaScript program of a dependency gets the signals that npm or a shell would swallow. */
function localProgram(directory: string, name: string): string | undefined {
  const link = join(directory, 'node_modules', '.bin', name);
  if (name.includes('/') || !existsSync(link)) return undefined;
  const path = relative(realpathSync(directory), realpathSync(link));
  if (path.startsWith('..')) return undefined;
  return /^#!.*\bnode\b/.test(readFileSync(link, 'latin1').slice(0, 200)) ? path : undefined;
}
