/** Whole images between registries and the store. */
import { KnapsackError, messageOf } from '../../base/errors.ts';
import {
  choosePlatform,
  hostPlatform,
  parseConfig,
  parseManifest,
  type Descriptor,
  type ImageManifest,
} from '../manifest.ts';
import type { ImagePuller, RegistryCredentials } from '../provider.ts';
import { formatReference, type Reference } from '../reference.ts';
import { maxBlobSize, pulledAnnotation, type ImageStore } from '../store.ts';
import type { BaseImage } from '../build/assemble.ts';
import type { RegistryClient } from './client.ts';

/** Layers fetched at the same time. */
const parallelBlobs = 3;

/** A puller that copies images from their registries into the store. */
export function registryPuller(client: RegistryClient, store: ImageStore): ImagePuller {
  return {
    resolve: (reference, credentials) => client.resolve(reference, credentials),
    pull: (reference, credentials) => pullImage(client, store, reference, credentials),
  };
}

/**
 * Copies an image: of an index, the variant for this machine and the index itself. Names are set last, so that an image
 * that is found is whole.
 */
export async function pullImage(
  client: RegistryClient,
  store: ImageStore,
  reference: Reference,
  credentials?: RegistryCredentials,
): Promise<Descriptor> {
  const top = await client.manifest(reference, credentials);
  const image = await imageManifest(client, reference, top.bytes, credentials);
  const waiting = [image.manifest.config, ...image.manifest.layers];
  const fetchNext = async (): Promise<void> => {
    for (let blob = waiting.shift(); blob; blob = waiting.shift()) {
      await pullBlob(client, store, reference, blob, credentials);
    }
  };
  await Promise.all(Array.from({ length: parallelBlobs }, fetchNext));
  const annotations = { [pulledAnnotation]: 'true' };
  const { tag, ...untagged } = reference;
  if (image.bytes !== top.bytes) {
    await store.putManifest({ ...untagged, digest: image.digest }, image.bytes, { annotations });
  }
  // Beside a digest the tag is only a remark: what it means in the registry was not asked.
  const named = tag === undefined || reference.digest !== undefined ? untagged : reference;
  return await store.putManifest({ ...named, digest: top.descriptor.digest }, top.bytes, {
    mediaType: top.descriptor.mediaType,
    annotations,
  });
}

async function imageManifest(
  client: RegistryClient,
  reference: Reference,
  bytes: Uint8Array,
  credentials: RegistryCredentials | undefined,
): Promise<{ manifest: ImageManifest; bytes: Uint8Array; digest: string }> {
  const name = formatReference(reference);
  const manifest = parseManifest(`manifest of ${name}`, bytes);
  if (manifest.kind === 'image') return { manifest, bytes, digest: '' };
  const platform = hostPlatform();
  const entry = choosePlatform(manifest, platform);
  if (!entry) {
    throw new KnapsackError(
      'IMAGE_PLATFORM_MISSING',
      `image ${name} has no variant for ${platform.os}/${platform.architecture}`,
    );
  }
  const variant = await client.manifest({ ...reference, digest: entry.digest }, credentials);
  const parsed = parseManifest(`manifest ${entry.digest} of ${name}`, variant.bytes);
  if (parsed.kind === 'image') return { manifest: parsed, bytes: variant.bytes, digest: entry.digest };
  throw new KnapsackError('IMAGE_MANIFEST_INVALID', `image ${name}: an index inside of an index`);
}

async function pullBlob(
  client: RegistryClient,
  store: ImageStore,
  reference: Reference,
  blob: Descriptor,
  credentials: RegistryCredentials | undefined,
): Promise<void> {
  if ((await store.blobSize(blob.digest)) === blob.size) return;
  if (blob.size > maxBlobSize) {
    throw new KnapsackError(
      'IMAGE_TOO_LARGE',
      `blob ${blob.digest} of ${formatReference(reference)} has ${blob.size} bytes; the limit is ${maxBlobSize}`,
    );
  }
  const body = await client.blob(reference, blob.digest, credentials);
  const writer = await store.newBlob(blob.size);
  try {
    for await (const chunk of body) await writer.write(chunk as Buffer);
    await writer.commit(blob.digest);
  } catch (error) {
    await writer.abort();
    body.destroy();
    if (error instanceof KnapsackError) throw error;
    throw new KnapsackError(
      'IMAGE_REGISTRY_UNREACHABLE',
      `the download of blob ${blob.digest} of ${formatReference(reference)} broke off: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** A base image that stays in its registry: what is built upon it needs only the names of its layers. */
export async function remoteBase(client: RegistryClient, reference: Reference): Promise<BaseImage> {
  const { bytes } = await client.manifest(reference);
  const { manifest } = await imageManifest(client, reference, bytes, undefined);
  const what = `config of ${formatReference(reference)}`;
  const config = parseConfig(what, await client.smallBlob(reference, manifest.config.digest));
  return { reference, layers: manifest.layers, diffIds: config.diffIds, run: config.run };
}

/**
 * Pushes an image of the store. Blobs that the registry has are not sent; layers of `base` that the store does not hold are
 * mounted from its repository, or copied where that is in another registry. Returns the digest.
 */
export async function pushImage(
  client: RegistryClient,
  store: ImageStore,
  image: { descriptor: Descriptor; reference: Reference; base?: Reference },
  onProgress: (line: string) => void = () => {},
): Promise<string> {
  const { reference, base } = image;
  const { manifest, bytes, descriptor } = await store.manifest(image.descriptor);
  if (manifest.kind === 'index') {
    throw new KnapsackError(
      'IMAGE_MANIFEST_INVALID',
      `${formatReference(reference)} is an index, not one image`,
    );
  }
  for (const blob of [...manifest.layers, manifest.config]) {
    const how = await pushBlob(client, store, reference, blob, base);
    onProgress(`${blob.digest.slice(0, 19)} ${(blob.size / 1e6).toFixed(1)} MB: ${how}`);
  }
  await client.putManifest(reference, { bytes, mediaType: descriptor.mediaType });
  return descriptor.digest;
}

async function pushBlob(
  client: RegistryClient,
  store: ImageStore,
  reference: Reference,
  blob: Descriptor,
  base: Reference | undefined,
): Promise<string> {
  if (await client.hasBlob(reference, blob.digest)) return 'already there';
  const { digest, size } = blob;
  if ((await store.blobSize(digest)) !== undefined) {
    await client.uploadBlob(reference, { digest, size, open: () => store.openBlob(digest) });
    return 'pushed';
  }
  if (!base) throw new KnapsackError('IMAGE_NOT_FOUND', `blob ${digest} is not in the store`);
  const sameRegistry = client.endpoint(base.registry).origin === client.endpoint(reference.registry).origin;
  if (sameRegistry && (await client.mountBlob(reference, digest, base.repository))) {
    return `mounted from ${base.repository}`;
  }
  const body = await client.blob(base, digest);
  await client.uploadBlob(reference, { digest, size, open: () => body });
  return `copied from ${base.registry}`;
}
