/**
 * Build step: writes the credentials of the build's ServiceAccount to where git, ssh and image tools look for them.
 * `--home DIR [--secret S=DIR] [--basic-docker S=URL] [--basic-git S=URL] [--ssh-git S=HOST] [--docker-json S] [--docker-cfg S]`
 */
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { KnapsackError } from '../../base/errors.ts';
import { runStep, StepArguments } from './step.ts';

const kinds = ['basic-docker', 'basic-git', 'ssh-git', 'docker-json', 'docker-cfg'] as const;

/** Which secret is for which place. */
export interface CredentialSources {
  /** `SECRET=URL` pairs. */
  readonly basicDocker: readonly string[];
  readonly basicGit: readonly string[];
  /** `SECRET=HOST[:PORT]` pairs. */
  readonly sshGit: readonly string[];
  /** Secrets with a whole config of their own. */
  readonly dockerJson: readonly string[];
  readonly dockerCfg: readonly string[];
}

/** File name (relative to the home directory) → content. */
export type CredentialFiles = ReadonlyMap<string, string>;

function invalid(why: string): never {
  throw new KnapsackError('BUILD_CREDENTIALS_INVALID', why);
}

function splitPair(value: string): [string, string] {
  const equals = value.indexOf('=');
  const place = value.slice(equals + 1);
  if (equals < 1 || place === '') invalid(`${JSON.stringify(value)} is not of the form SECRET=PLACE`);
  return [value.slice(0, equals), place];
}

/** Splits the pairs; two secrets for one place are refused, as which one counts would be chance. */
function pairs(values: readonly string[]): Map<string, string> {
  const byPlace = new Map<string, string>();
  for (const value of values) {
    const [secret, place] = splitPair(value);
    if (byPlace.has(place)) invalid(`Multiple entries for url: ${place}`);
    byPlace.set(place, secret);
  }
  return byPlace;
}

/** The files to write, given a reader of secret keys (undefined: no such key) and of host keys. */
export function makeCredentialFiles(
  sources: CredentialSources,
  read: (secret: string, key: string) => string | undefined,
  scanHost: (host: string, port: string) => string,
): CredentialFiles {
  const files = new Map<string, string>();
  const needed = (secret: string, key: string): string =>
    read(secret, key) ?? invalid(`the Secret ${secret} has no key ${key}`);
  files.set('.docker/config.json', JSON.stringify({ auths: dockerAuths(sources, needed) }));
  const git = pairs(sources.basicGit);
  let config = '[credential]\n\thelper = store\n';
  let stored = '';
  for (const [url, secret] of git) {
    const username = needed(secret, 'username');
    if (/[\n"\\]/.test(url + username))
      invalid(`the git credentials of ${secret} hold a character that git cannot`);
    const target = URL.parse(url) ?? invalid(`${JSON.stringify(url)} of the Secret ${secret} is not a URL`);
    config += `[credential "${url}"]\n\tusername = ${username}\n`;
    target.username = encodeURIComponent(username);
    target.password = encodeURIComponent(needed(secret, 'password'));
    stored += `${target.href.replace(/\/$/, '')}\n`;
  }
  files.set('.gitconfig', config);
  files.set('.git-credentials', stored);
  addSsh(files, sources, read, needed, scanHost);
  return files;
}

type Needed = (secret: string, key: string) => string;

/** Precedence: dockercfg, then dockerconfigjson, then basic-auth. */
function dockerAuths(sources: CredentialSources, needed: Needed): { [url: string]: unknown } {
  const auths: { [url: string]: unknown } = {};
  const merge = (
    secret: string,
    text: string,
    part: (value: { auths?: object }) => object | undefined,
  ): void => {
    try {
      Object.assign(auths, part(JSON.parse(text) as { auths?: object }));
    } catch {
      invalid(`the Docker config of the Secret ${secret} is not JSON`);
    }
  };
  for (const secret of sources.dockerCfg.slice(-1))
    merge(secret, needed(secret, '.dockercfg'), (value) => value);
  for (const secret of sources.dockerJson.slice(-1)) {
    merge(secret, needed(secret, '.dockerconfigjson'), (value) => value.auths);
  }
  for (const [url, secret] of pairs(sources.basicDocker)) {
    const username = needed(secret, 'username');
    const password = needed(secret, 'password');
    const auth = Buffer.from(`${username}:${password}`).toString('base64');
    auths[url] = { username, password, auth, email: 'not@val.id' };
  }
  return auths;
}

function addSsh(
  files: Map<string, string>,
  sources: CredentialSources,
  read: (secret: string, key: string) => string | undefined,
  needed: Needed,
  scanHost: (host: string, port: string) => string,
): void {
  const hosts = pairs(sources.sshGit);
  if (hosts.size === 0) return;
  let config = '';
  let known = '';
  for (const [place, secret] of hosts) {
    const [host = '', port = '22'] = place.split(':');
    if (!/^[\w.-]+$/.test(host) || !/^\d+$/.test(port))
      invalid(`${JSON.stringify(place)} is not HOST[:PORT]`);
    const key = `.ssh/id_${secret}`;
    files.set(key, needed(secret, 'ssh-privatekey'));
    config += `Host ${host}\n    HostName ${host}\n    IdentityFile ~/${key}\n    Port ${port}\n`;
    known += `${(read(secret, 'known_hosts') ?? scanHost(host, port)).trimEnd()}\n`;
  }
  files.set('.ssh/config', config);
  files.set('.ssh/known_hosts', known);
}

function scanWithSsh(host: string, port: string): string {
  const found = spawnSync('ssh-keyscan', ['-p', port, host], { encoding: 'utf8', timeout: 60_000 });
  if (found.status === 0 && found.stdout.trim() !== '') return found.stdout;
  return invalid(`the host key of ${host} could not be had; put it into the Secret as known_hosts`);
}

if (import.meta.main) {
  await runStep(async () => {
    const args = new StepArguments(['secret', 'home', ...kinds]);
    // Each secret's directory comes as a word of its own: a driver without containers has to translate the path.
    const directories = new Map(args.all('secret').map((pair) => splitPair(pair)));
    const home = args.required('home');
    const read = (secret: string, key: string): string | undefined => {
      const path = join(directories.get(secret) ?? invalid(`the Secret ${secret} is not mounted`), key);
      return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
    };
    const files = makeCredentialFiles(
      {
        basicDocker: args.all('basic-docker'),
        basicGit: args.all('basic-git'),
        sshGit: args.all('ssh-git'),
        dockerJson: args.all('docker-json'),
        dockerCfg: args.all('docker-cfg'),
      },
      read,
      scanWithSsh,
    );
    for (const [name, content] of files) {
      const path = join(home, name);
      await mkdir(join(path, '..'), { recursive: true, mode: 0o700 });
      // ssh does not expand the home that a container was told, only the one of the user's entry.
      await writeFile(path, content.replaceAll('IdentityFile ~/', `IdentityFile ${home}/`), { mode: 0o600 });
      await chmod(path, 0o600);
    }
    console.log(`credentials: ${sourcesText(args)}`);
  });
}

function sourcesText(args: StepArguments): string {
  const count = kinds.reduce((sum, kind) => sum + args.all(kind).length, 0);
  return count === 0 ? 'none' : `${count} from the ServiceAccount`;
}
