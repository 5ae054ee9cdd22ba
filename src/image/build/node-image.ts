/** An OCI image of a Node.js project, made without a daemon and without pulling anything. */
import { existsSync } from 'node:fs';
import { dirname, join, posix, resolve } from 'node:path';
import { KnapsackError } from '../../base/errors.ts';
import type { Descriptor } from '../manifest.ts';
import { formatReference, parseReference, type Reference } from '../reference.ts';
import type { ImageStore } from '../store.ts';
import { assembleImage, type BaseImage, type NewLayer } from './assemble.ts';
import { baseImageName, loadBase } from './base.ts';
import { installDependencies, productionFilter } from './dependencies.ts';
import { projectFilter, type ProjectFilter } from './ignore.ts';
import { Layer } from './layer.ts';
import { dependenciesOf, readNodeProject, type NodeProject } from './node-project.ts';

/** Where a project lies in its image. */
const appDirectory = '/app';
/** The user `node` of the base image. */
const appUser = '1000:1000';

export interface NodeImageOptions {
  /** The project. */
  readonly directory: string;
  /** The image's name, as a user writes it. */
  readonly name: string;
  readonly store: ImageStore;
  /** A base image in the store; by default {@link baseImageName}. */
  readonly base?: string | BaseImage;
  /** Lets packages run their install scripts where dependencies have to be installed. */
  readonly allowScripts?: boolean;
}

export interface BuiltImage {
  readonly reference: Reference;
  /** `sha256:…` of the manifest. */
  readonly digest: string;
  readonly descriptor: Descriptor;
  /** Full command in the image. */
  readonly command: readonly string[];
}

/**
 * Builds the image and stores it under its name. The same project, Node.js and base give the same digest.
 * Layers from the lowest: base, dependencies, project; so a change of code makes one small new layer.
 * Throws the IMAGE_BUILD_* errors, IMAGE_NAME_INVALID, IMAGE_NOT_FOUND (base).
 */
export async function buildNodeImage(
  options: NodeImageOptions,
  onProgress: (line: string) => void = () => {},
): Promise<BuiltImage> {
  const { store } = options;
  const directory = resolve(options.directory);
  const reference = parseReference(options.name);
  const dependencies = dependenciesOf(directory);
  const ignore = await projectFilter(directory);
  if (existsSync(join(directory, 'Dockerfile'))) {
    onProgress('the Dockerfile is not executed: the image is made from package.json');
  }
  const base = options.base ?? baseImageName;
  const baseImage = typeof base === 'string' ? await loadBase(store, base) : base;
  onProgress(`base: ${formatReference(baseImage.reference)}`);

  const layers: NewLayer[] = [];
  await using installed = await installDependencies(
    { directory, dependencies },
    { allowScripts: options.allowScripts ?? false, filter: ignore.filter },
    onProgress,
  );
  const project = readNodeProject(directory, installed.nodeModules && dirname(installed.nodeModules));
  requireTaken(project, ignore);
  onProgress(`command: ${project.command.join(' ')} (from ${project.commandFrom})`);
  if (installed.nodeModules !== undefined) {
    const layer = new Layer();
    const filter = await productionFilter(installed.nodeModules);
    const count = await layer.tree(imagePath('node_modules'), installed.nodeModules, filter, (path, target) =>
      requireInside(`node_modules/${path}`, target),
    );
    if (count > 0) {
      const descriptor = await layer.write(store);
      layers.push({ descriptor, createdBy: 'node_modules' });
      onProgress(`dependencies: ${count} files, ${megabytes(descriptor)}`);
    }
  }

  const layer = new Layer();
  layer.directory(imagePath(''));
  const count = await layer.tree(
    imagePath(''),
    directory,
    (path, isDirectory) => (path === 'node_modules' ? 'leave' : ignore.filter(path, isDirectory)),
    requireInside,
  );
  const descriptor = await layer.write(store);
  layers.push({ descriptor, createdBy: 'project' });
  onProgress(`project: ${count} files, ${megabytes(descriptor)}`);

  const image = await assembleImage(store, reference, {
    base: baseImage,
    layers,
    run: {
      ...baseImage.run,
      Env: [...(baseImage.run.Env ?? []), 'NODE_ENV=production', ...project.env],
      Cmd: [...project.command],
      WorkingDir: appDirectory,
      User: appUser,
    },
  });
  onProgress(`image: ${formatReference(reference)} ${image.digest}`);
  return { reference, digest: image.digest, descriptor: image, command: project.command };
}

function imagePath(path: string): string {
  return posix.join(appDirectory, path).slice(1);
}

function megabytes(descriptor: Descriptor): string {
  return `${(descriptor.size / 1e6).toFixed(1)} MB`;
}

/** The file that is started must not be one that the ignore files leave out. */
function requireTaken(project: NodeProject, ignore: ProjectFilter): void {
  if (project.entry.startsWith('node_modules/')) return;
  const parts = project.entry.split('/');
  const left = parts.some((_, i) => {
    const path = parts.slice(0, i + 1).join('/');
    return ignore.filter(path, i < parts.length - 1) === 'leave';
  });
  if (!left) return;
  throw new KnapsackError(
    'IMAGE_BUILD_NO_COMMAND',
    `${project.entry}, which starts ${project.directory}, is left out of the image by ${ignore.files.join(' or ')}`,
  );
}

/** In the image the project lies elsewhere: a link out of it would point at nothing, or at another file. */
function requireInside(path: string, target: string): void {
  const resolved = posix.normalize(posix.join(posix.dirname(path), target));
  if (!target.startsWith('/') && resolved !== '..' && !resolved.startsWith('../')) return;
  throw new KnapsackError(
    'IMAGE_BUILD_UNSAFE_LINK',
    `${path} links to ${target}, which is outside of the project`,
  );
}
