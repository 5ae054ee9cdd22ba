/** The production dependencies of a Node.js project, installed where they are missing. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import { KnapsackError } from '../../base/errors.ts';
import type { Filter } from './layer.ts';

const installTimeoutMs = 15 * 60_000;
/** How much of npm's output an error shows, characters. */
const shownOutput = 2000;

/** The directory that holds `node_modules`, and its disposal when it is a temporary copy. */
export interface InstalledProject extends AsyncDisposable {
  /** Absent: the project needs no dependencies. */
  readonly nodeModules?: string;
}

/**
 * The project's own node_modules when it holds every dependency that package.json names; otherwise a copy of the project
 * with them installed by npm. Install scripts run only when `allowScripts`.
 */
export async function installDependencies(
  project: { readonly directory: string; readonly dependencies: readonly string[] },
  options: { allowScripts: boolean; filter: Filter },
  onProgress: (line: string) => void,
): Promise<InstalledProject> {
  const own = join(project.directory, 'node_modules');
  const missing = project.dependencies.filter((name) => !existsSync(join(own, name, 'package.json')));
  if (missing.length === 0) {
    return { ...(existsSync(own) && { nodeModules: own }), [Symbol.asyncDispose]: async () => {} };
  }
  const copy = await mkdtemp(join(tmpdir(), 'knapsack-build-'));
  const dispose = async (): Promise<void> => await rm(copy, { recursive: true, force: true });
  try {
    await cp(project.directory, copy, {
      recursive: true,
      filter: (path) => {
        const relative = path.slice(project.directory.length + 1);
        if (relative === '') return true;
        const name = basename(relative);
        if (relative.includes('node_modules') || name === '.git') return false;
        return name.startsWith('package') || name === '.npmrc' || options.filter(relative, false) !== 'leave';
      },
    });
    const locked =
      existsSync(join(copy, 'package-lock.json')) || existsSync(join(copy, 'npm-shrinkwrap.json'));
    const args = [locked ? 'ci' : 'install', '--omit=dev', '--no-audit', '--no-fund', '--no-progress'];
    if (!options.allowScripts) args.push('--ignore-scripts');
    onProgress(`installing ${missing.length} missing dependencies: npm ${args.join(' ')}`);
    if (!locked) onProgress('there is no package-lock.json: another build may get other versions');
    await runNpm(args, copy, missing);
    return { nodeModules: join(copy, 'node_modules'), [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function runNpm(args: readonly string[], cwd: string, missing: readonly string[]): Promise<void> {
  const path = [dirname(process.execPath), process.env['PATH'] ?? ''].join(delimiter);
  const child = spawn('npm', args, {
    cwd,
    env: { ...process.env, PATH: path },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: installTimeoutMs,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-shownOutput);
    });
  }
  const ended = await new Promise<string | undefined>((resolve) => {
    child.on('error', (error) => resolve(`npm could not be started: ${error.message}`));
    child.on('close', (code, signal) => {
      resolve(code === 0 ? undefined : `npm ${args[0]} ended with ${signal ?? `exit code ${code}`}`);
    });
  });
  if (ended === undefined) return;
  const needed = `${missing.slice(0, 5).join(', ')}${missing.length > 5 ? '…' : ''}`;
  throw new KnapsackError('IMAGE_BUILD_DEPENDENCIES', `${ended} (needed: ${needed})\n${output.trim()}`);
}

/**
 * Leaves out packages that the lock file marks as development only, caches, and `.git`. Works on paths relative to
 * node_modules.
 */
export async function productionFilter(nodeModules: string): Promise<Filter> {
  const development = new Set<string>();
  for (const path of [
    join(nodeModules, '.package-lock.json'),
    join(dirname(nodeModules), 'package-lock.json'),
  ]) {
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    for (const [name, entry] of Object.entries(lockedPackages(text))) {
      if (isDevelopment(entry)) development.add(name.replace(/^node_modules\//, ''));
    }
    break;
  }
  return (path) => {
    if (development.has(path) || path === '.cache' || path === '.package-lock.json') return 'leave';
    return /(^|\/)\.git$/.test(path) ? 'leave' : 'take';
  };
}

function lockedPackages(text: string): { readonly [path: string]: unknown } {
  try {
    const { packages } = JSON.parse(text) as { packages?: { [path: string]: unknown } };
    return packages ?? {};
  } catch {
    return {};
  }
}

function isDevelopment(entry: unknown): boolean {
  return typeof entry === 'object' && entry !== null && 'dev' in entry && entry.dev === true;
}
