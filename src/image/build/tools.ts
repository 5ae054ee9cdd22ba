/** Tool images for the steps of builds: Knapsack's own code on the Node.js base, with git, or with npm. */
import { existsSync, globSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { spawnSync } from 'node:child_process';
import { KnapsackError } from '../../base/errors.ts';
import { digestOf } from '../digest.ts';
import type { Descriptor } from '../manifest.ts';
import { parseReference } from '../reference.ts';
import { embeddedRegistry, type ImageMaker, type ImageStore } from '../store.ts';
import { assembleImage, type NewLayer } from './assemble.ts';
import { baseImageName, baseRun, ensureBase, loadBase, makeOnce } from './base.ts';
import { addExecutables, findOnPath, fingerprint, imagePath } from './host-files.ts';
import { Layer } from './layer.ts';

/** Fetches sources: git over http, https, ssh and from paths. */
export const gitToolsName = `${embeddedRegistry}/tools/git:latest`;
/** Builds Node.js projects into images. */
export const buildToolsName = `${embeddedRegistry}/tools/build:latest`;

/** For looking into pods (`kubectl debug --image=…`): a shell and the usual programs of this machine. */
export const debugToolsName = `${embeddedRegistry}/tools/debug:latest`;

/** Where Knapsack's code lies in tool images; steps run there, by relative paths. */
export const toolsDirectory = '/opt/knapsack';

/** `.ts` in a clone, `.js` in the published package. */
const extension = extname(import.meta.filename);
const sourceRoot = resolve(import.meta.dirname, '../..');
/** The folders that build steps need. */
const sourceFolders = ['base', 'image', 'build/steps'];

/** What git's transports and scripts call besides git; those that the machine has are taken. */
const shellPrograms = [
  'sh',
  'env',
  'cat',
  'sed',
  'uname',
  'basename',
  'dirname',
  'grep',
  'tr',
  'ls',
  'rm',
  'mkdir',
];

/** What people reach for when they look into a pod; those that the machine has are taken. */
const debugPrograms = [
  'sh bash env echo true false test sleep date id whoami hostname stty',
  'ls cat cp mv rm mkdir rmdir ln touch chmod chown stat du df find',
  'grep sed awk head tail cut sort uniq wc tr tee xargs less more vi',
  'base64 sha256sum md5sum od hexdump tar gzip dd diff',
  'ps top kill free uptime mount nproc uname strace lsof',
  'ip ss ping curl wget nc dig nslookup openssl getent',
].flatMap((line) => line.split(' '));

/** The path of a step's program, relative to {@link toolsDirectory}. */
export function stepProgram(name: string): string {
  return `src/build/steps/${name}${extension}`;
}

/** Images that come with Knapsack, for `ImageStore.open`: each is made when first asked for. */
export function shippedImages(): ReadonlyMap<string, ImageMaker> {
  return new Map<string, ImageMaker>([
    [baseImageName, (store) => ensureBase(store)],
    [gitToolsName, ensureGitTools],
    [buildToolsName, ensureBuildTools],
    [debugToolsName, ensureDebugTools],
  ]);
}

function ownSources(): string[] {
  return sourceFolders
    .flatMap((folder) => globSync(`${folder}/**/*${extension}`, { cwd: sourceRoot }))
    .filter((path) => !path.endsWith('.d.ts'))
    .sort();
}

function ownSourcesKey(): string {
  return digestOf(
    ownSources()
      .map((path) => `${path}\0${readFileSync(join(sourceRoot, path), 'utf8')}\0`)
      .join(''),
  );
}

async function ownSourcesLayer(store: ImageStore): Promise<NewLayer> {
  const layer = new Layer();
  const root = toolsDirectory.slice(1);
  for (const path of ownSources()) await layer.file(`${root}/src/${path}`, join(sourceRoot, path));
  layer.text(`${root}/package.json`, '{"type":"module"}\n');
  return { descriptor: await layer.write(store), createdBy: 'knapsack build steps' };
}

/** Programs of this machine by name → path in the image. */
function programs(names: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of names) {
    const path = findOnPath(name);
    if (path !== undefined) found.set(`usr/bin/${name}`, realpathSync(path));
  }
  return found;
}

/** Makes sure that the store has the image with git. Throws IMAGE_NOT_FOUND where the machine has no git. */
async function ensureGitTools(store: ImageStore): Promise<Descriptor> {
  const git = findOnPath('git');
  if (git === undefined) {
    throw new KnapsackError('IMAGE_NOT_FOUND', `${gitToolsName} cannot be made: this machine has no git`);
  }
  const base = await ensureBase(store);
  const core = spawnSync(git, ['--exec-path'], { encoding: 'utf8' }).stdout.trim();
  const executables = programs([...shellPrograms, 'git', 'ssh', 'ssh-keyscan']);
  for (const name of [
    'git-remote-http',
    'git-submodule',
    'git-sh-setup',
    'git-sh-i18n',
    'git-sh-i18n--envsubst',
  ]) {
    const path = join(core, name);
    if (existsSync(path)) executables.set(imagePath(path), realpathSync(path));
  }
  const inputs = [base.digest, ownSourcesKey(), fingerprint([...executables.values()])].join('|');
  const reference = parseReference(gitToolsName);
  return await makeOnce(store, reference, inputs, async (annotations) => {
    const layer = new Layer();
    await addExecutables(layer, executables);
    const corePath = imagePath(core);
    layer.symlink(`${corePath}/git`, '/usr/bin/git');
    layer.symlink(`${corePath}/git-remote-https`, 'git-remote-http');
    // The far end of a local clone is started by these names.
    for (const name of ['git-upload-pack', 'git-receive-pack']) {
      layer.symlink(`${corePath}/${name}`, 'git');
      layer.symlink(`usr/bin/${name}`, 'git');
    }
    const descriptor = await layer.write(store);
    const layers = [{ descriptor, createdBy: 'git of the build machine' }, await ownSourcesLayer(store)];
    return await assembleTools(store, gitToolsName, layers, annotations);
  });
}

/** Makes sure that the store has the image for looking into pods. */
async function ensureDebugTools(store: ImageStore): Promise<Descriptor> {
  const base = await ensureBase(store);
  const executables = programs(debugPrograms);
  const inputs = [base.digest, fingerprint([...executables.values()])].join('|');
  return await makeOnce(store, parseReference(debugToolsName), inputs, async (annotations) => {
    const layer = new Layer();
    await addExecutables(layer, executables);
    const descriptor = await layer.write(store);
    const layers = [{ descriptor, createdBy: 'programs of the build machine' }];
    return await assembleTools(store, debugToolsName, layers, annotations);
  });
}

/** Makes sure that the store has the image that builds Node.js projects; with npm where the machine has it. */
async function ensureBuildTools(store: ImageStore): Promise<Descriptor> {
  const base = await ensureBase(store);
  const npm = findOnPath('npm');
  const npmRoot = npm && dirname(dirname(realpathSync(npm)));
  const hasNpm =
    npmRoot !== undefined && basename(npmRoot) === 'npm' && existsSync(join(npmRoot, 'package.json'));
  const executables = programs(shellPrograms);
  const inputs = [
    base.digest,
    ownSourcesKey(),
    fingerprint([...executables.values(), ...(hasNpm ? [join(npmRoot, 'package.json')] : [])]),
  ].join('|');
  const reference = parseReference(buildToolsName);
  return await makeOnce(store, reference, inputs, async (annotations) => {
    const layer = new Layer();
    await addExecutables(layer, executables);
    if (hasNpm) {
      await layer.tree('usr/local/lib/node_modules/npm', npmRoot);
      layer.symlink('usr/local/bin/npm', '../lib/node_modules/npm/bin/npm-cli.js');
    }
    const descriptor = await layer.write(store);
    const layers = [
      { descriptor, createdBy: 'npm and a shell of the build machine' },
      await ownSourcesLayer(store),
    ];
    return await assembleTools(store, buildToolsName, layers, annotations);
  });
}

async function assembleTools(
  store: ImageStore,
  name: string,
  layers: readonly NewLayer[],
  annotations: { readonly [key: string]: string },
): Promise<Descriptor> {
  const base = await loadBase(store, baseImageName);
  const run = { ...baseRun, WorkingDir: toolsDirectory };
  return await assembleImage(store, parseReference(name), { base, layers, run }, annotations);
}
