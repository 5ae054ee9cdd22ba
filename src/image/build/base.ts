/** Images made of this machine's own programs: the Node.js base, and tools for builds. */
import { KnapsackError } from '../../base/errors.ts';
import { digestOf } from '../digest.ts';
import type { Descriptor, RunConfig } from '../manifest.ts';
import { formatReference, parseReference, type Reference } from '../reference.ts';
import { embeddedRegistry, type ImageStore } from '../store.ts';
import { assembleImage, type BaseImage } from './assemble.ts';
import { addExecutables, addSkeleton, fingerprint } from './host-files.ts';
import { sharedLibraries } from './elf.ts';
import { Layer } from './layer.ts';

/** The base of every image that Knapsack builds. The tag is the major version of the Node.js that runs Knapsack. */
export const baseImageName = `${embeddedRegistry}/base/node:${process.versions.node.split('.')[0]}`;

const nodePath = 'usr/local/bin/node';

/** In `index.json`: what the image was made from, to tell when it must be made again. */
const madeFromAnnotation = 'dev.knapsack.made-from';
/** Raise when the content of made images changes for the same input. */
const formatVersion = 1;

export const baseRun: RunConfig = {
  Env: [
    'PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin',
    'SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt',
    `NODE_VERSION=${process.versions.node}`,
  ],
  Cmd: ['node'],
  WorkingDir: '/',
};

/**
 * Makes an image unless the store holds one of the same input. `inputs` are the files and words that decide its content.
 */
export async function makeOnce(
  store: ImageStore,
  reference: Reference,
  inputs: string,
  make: (annotations: { readonly [key: string]: string }) => Promise<Descriptor>,
): Promise<Descriptor> {
  const madeFrom = digestOf(`${formatVersion}|${inputs}`);
  const name = formatReference(reference);
  const found = (await store.list()).find((ref) => ref.name === name)?.descriptor;
  if (found?.annotations?.[madeFromAnnotation] === madeFrom && (await isWhole(store, found))) return found;
  return await make({ [madeFromAnnotation]: madeFrom });
}

async function isWhole(store: ImageStore, descriptor: Descriptor): Promise<boolean> {
  if ((await store.blobSize(descriptor.digest)) === undefined) return false;
  const { manifest } = await store.manifest(descriptor);
  if (manifest.kind === 'index') return false;
  const blobs = [manifest.config, ...manifest.layers];
  const sizes = await Promise.all(blobs.map((blob) => store.blobSize(blob.digest)));
  return blobs.every((blob, i) => sizes[i] === blob.size);
}

/** Makes sure that the store has the Node.js base image: this machine's node, its libraries, certificates, users. */
export async function ensureBase(store: ImageStore, node = process.execPath): Promise<Descriptor> {
  const reference = parseReference(baseImageName);
  const libraries = await sharedLibraries([node]);
  const inputs = fingerprint([node, '/etc/ssl/certs/ca-certificates.crt', ...libraries.values()]);
  return await makeOnce(store, reference, inputs, async (annotations) => {
    const layer = new Layer();
    await addSkeleton(layer);
    await addExecutables(layer, new Map([[nodePath, node]]));
    const descriptor = await layer.write(store);
    return await assembleImage(
      store,
      reference,
      { layers: [{ descriptor, createdBy: `node ${process.version} of the build machine` }], run: baseRun },
      annotations,
    );
  });
}

/** An image of the store as a base to build upon. Throws IMAGE_NOT_FOUND. */
export async function loadBase(store: ImageStore, name: string): Promise<BaseImage> {
  const reference = parseReference(name);
  const descriptor = name === baseImageName ? await ensureBase(store) : await store.resolve(reference);
  if (!descriptor) {
    throw new KnapsackError(
      'IMAGE_NOT_FOUND',
      `base image ${formatReference(reference)} is not in the store`,
    );
  }
  const { manifest } = await store.manifest(descriptor);
  if (manifest.kind === 'index') {
    throw new KnapsackError('IMAGE_MANIFEST_INVALID', `base image ${name} is an index, not one image`);
  }
  const { diffIds, run } = await store.config(manifest);
  return { reference, layers: manifest.layers, diffIds, run };
}
