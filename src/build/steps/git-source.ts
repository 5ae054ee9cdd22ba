/**
 * Build step: puts a git revision into the workspace.
 * `--url URL --revision REV --workspace DIR [--path SUBDIR]`
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { KnapsackError } from '../../base/errors.ts';
import { runStep, StepArguments } from './step.ts';

export interface GitSource {
  /** http, https, ssh or git URL, `user@host:path`, `file://` URL or path. */
  readonly url: string;
  /** Branch, tag, commit, or a ref such as `pull/100/head`. */
  readonly revision: string;
  readonly workspace: string;
  /** Subdirectory of the workspace. */
  readonly path?: string;
}

/** How much of git's last output goes into an error, characters. */
const shownOutput = 1500;

/** Git repeats URLs in its messages; logs and conditions are read by more people than the secret is for. */
function withoutPasswords(text: string): string {
  return text.replaceAll(/([a-z][a-z0-9+.-]*:\/\/)[^/@\s]*@/gi, '$1***@');
}

/** Fetches the revision alone; where a server cannot give it that way (old commits), the whole history. */
async function fetchGitSource(source: GitSource, home = process.env['HOME'] ?? tmpdir()): Promise<string> {
  const target = resolve(source.workspace, source.path ?? '');
  if (relative(source.workspace, target).startsWith('..')) {
    throw new KnapsackError('BUILD_SOURCE_FAILED', `the target path ${source.path} leaves the workspace`);
  }
  for (const word of [source.url, source.revision]) {
    if (word.startsWith('-')) throw new KnapsackError('BUILD_SOURCE_FAILED', `${word} looks like an option`);
  }
  const scratch = await mkdtemp(join(home, 'git-source-'));
  try {
    const environment = await gitEnvironment(scratch, home);
    const git = (...args: string[]): Promise<string> => runGit(args, target, environment);
    await mkdir(target, { recursive: true });
    if (!existsSync(join(target, '.git'))) await git('init', '--quiet', '--template=', '.');
    await git('config', '--replace-all', 'remote.origin.url', source.url);
    await git('config', '--replace-all', 'remote.origin.fetch', '+refs/heads/*:refs/remotes/origin/*');
    try {
      await git('fetch', '--depth=1', '--recurse-submodules=no', 'origin', source.revision);
      await git('reset', '--hard', '--quiet', 'FETCH_HEAD');
    } catch (error) {
      // A commit that no ref points at: not every server hands it out alone, but it may be in the history.
      if (!/^[0-9a-f]{7,64}$/i.test(source.revision)) throw error;
      await git('fetch', '--tags', 'origin');
      await git('checkout', '--quiet', '--force', source.revision);
    }
    if (existsSync(join(target, '.gitmodules'))) await git('submodule', 'update', '--init', '--recursive');
    const commit = (await git('rev-parse', 'HEAD')).trim();
    console.log(`${withoutPasswords(source.url)} at ${source.revision} (${commit}) is in ${target}`);
    return commit;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/**
 * Never asks for a password, uses the keys of the build's home, and reads repositories of other owners: the one who mounted
 * a local repository has decided that already.
 */
async function gitEnvironment(scratch: string, home: string): Promise<NodeJS.ProcessEnv> {
  const system = join(scratch, 'gitconfig');
  await writeFile(
    system,
    '[include]\n\tpath = /etc/gitconfig\n[safe]\n\tdirectory = *\n[advice]\n\tdetachedHead = false\n',
  );
  const ssh = join(home, '.ssh');
  const hasSsh = existsSync(join(ssh, 'config'));
  return {
    ...process.env,
    HOME: home,
    LC_ALL: 'C',
    GIT_CONFIG_SYSTEM: system,
    GIT_TERMINAL_PROMPT: '0',
    GIT_ALLOW_PROTOCOL: 'file:git:http:https:ssh',
    ...(hasSsh && {
      GIT_SSH_COMMAND: `ssh -F '${ssh}/config' -o UserKnownHostsFile='${ssh}/known_hosts' -o BatchMode=yes`,
    }),
  };
}

async function runGit(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Promise<string> {
  const child = spawn('git', args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let errors = '';
  child.stdout
    .setEncoding('utf8')
    .on('data', (text: string) => (output = (output + text).slice(-shownOutput)));
  // Line by line, so that a password is never cut in two and missed.
  createInterface({ input: child.stderr, crlfDelay: Infinity }).on('line', (line) => {
    const text = withoutPasswords(line);
    console.error(text);
    errors = `${errors}${text}\n`.slice(-shownOutput);
  });
  const failure = await new Promise<string | undefined>((done) => {
    child.on('error', (error) => done(`git could not be started: ${error.message}`));
    child.on('close', (code, signal) =>
      done(code === 0 ? undefined : `ended with ${signal ?? `exit code ${code}`}`),
    );
  });
  if (failure === undefined) return output;
  const said = errors.trim().split('\n').slice(-3).join(' ');
  throw new KnapsackError('BUILD_SOURCE_FAILED', `git ${args[0]} ${failure}: ${said}`);
}

if (import.meta.main) {
  await runStep(async () => {
    const args = new StepArguments(['url', 'revision', 'workspace', 'path']);
    const path = args.optional('path');
    await fetchGitSource({
      url: args.required('url'),
      revision: args.required('revision'),
      workspace: args.required('workspace'),
      ...(path !== undefined && { path }),
    });
  });
}
