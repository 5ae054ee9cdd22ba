/** What the node agent asks for: an image by name, ready to run. */
import { existsSync } from 'node:fs';
import { KnapsackError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import {
  choosePlatform,
  hostPlatform,
  type Descriptor,
  type ImageManifest,
  type RunConfig,
} from './manifest.ts';
import { formatReference, parseReference, type Reference } from './reference.ts';
import { pulledAnnotation, type ImageStore } from './store.ts';
import type { Unpacker } from './unpack.ts';

/** core/v1 `imagePullPolicy`. */
export type PullPolicy = 'Always' | 'IfNotPresent' | 'Never';

/** An image that is ready to run. */
export interface UnpackedImage {
  /** The name as it was asked for. */
  readonly reference: string;
  /** `sha256:…` of what the name means: an image's or an index's manifest. */
  readonly digest: string;
  /** Root directory, shared among containers: to be mounted read-only or as a lower layer. */
  readonly rootfs: string;
  readonly config: RunConfig;
}

/** Names and passwords for registries. */
export interface RegistryCredentials {
  readonly username: string;
  readonly password: string;
}

/** Fetches images that the store does not have. */
export interface ImagePuller {
  /** The digest that the registry has for a name. Throws IMAGE_NOT_FOUND, IMAGE_REGISTRY_UNREACHABLE, IMAGE_REGISTRY_REFUSED. */
  resolve(reference: Reference, credentials?: RegistryCredentials): Promise<string>;
  /** Copies an image into the store. Throws as `resolve`, and for content that is not as promised. */
  pull(reference: Reference, credentials?: RegistryCredentials): Promise<Descriptor>;
}

export interface EnsureOptions {
  readonly policy?: PullPolicy;
  readonly credentials?: RegistryCredentials;
}

export class ImageProvider {
  readonly #store: ImageStore;
  readonly #unpacker: Unpacker;
  readonly #puller: ImagePuller | undefined;
  readonly #log: Logger;
  readonly #pulling = new Map<string, Promise<Descriptor>>();
  /** By digest: what was unpacked since the start. */
  readonly #unpacked = new Map<string, Pick<UnpackedImage, 'rootfs' | 'config'>>();

  /** Without a puller, only images of the store can be had. */
  constructor(parts: { store: ImageStore; unpacker: Unpacker; puller?: ImagePuller; log: Logger }) {
    this.#store = parts.store;
    this.#unpacker = parts.unpacker;
    this.#puller = parts.puller;
    this.#log = parts.log;
  }

  /**
   * Finds the image by the pull policy and unpacks it. An image that was built or tagged here is an original and is never
   * replaced by a pull; a pulled one is looked up again with `Always`, as a kubelet does.
   */
  async ensure(name: string, policy: PullPolicy | EnsureOptions = 'IfNotPresent'): Promise<UnpackedImage> {
    const options = typeof policy === 'string' ? { policy } : policy;
    const reference = parseReference(name);
    const { digest, ...descriptor } = await this.#find(reference, options);
    // A pod that starts must not wait for manifest and config to be read and verified again: a digest's content is fixed.
    const known = this.#unpacked.get(digest);
    if (known && existsSync(known.rootfs)) return { reference: name, digest, ...known };
    const manifest = await this.#imageOf(reference, { digest, ...descriptor });
    const { run, diffIds } = await this.#store.config(manifest);
    const unpacked = { rootfs: await this.#unpacker.unpack(manifest.layers, diffIds), config: run };
    this.#unpacked.set(digest, unpacked);
    return { reference: name, digest, ...unpacked };
  }

  /**
   * The digest that a name means now. A name with a digest means that one, whether it exists or not. When the registry
   * cannot be reached, the copy that was pulled last decides.
   */
  async resolveDigest(name: string, credentials?: RegistryCredentials): Promise<string> {
    const reference = parseReference(name);
    if (reference.digest !== undefined) return reference.digest;
    const local = await this.#store.resolve(reference);
    if (local && !isCopy(local)) return local.digest;
    if (!this.#puller || this.#store.isEmbedded(reference)) {
      if (local) return local.digest;
      throw this.#notFound(reference);
    }
    try {
      return await this.#puller.resolve(reference, credentials);
    } catch (error) {
      if (!local || !(error instanceof KnapsackError) || error.code !== 'IMAGE_REGISTRY_UNREACHABLE')
        throw error;
      this.#log.warn({ image: name, err: error }, 'registry unreachable, using the digest of the local copy');
      return local.digest;
    }
  }

  async #find(reference: Reference, options: EnsureOptions): Promise<Descriptor> {
    const local = await this.#store.resolve(reference);
    const mayMove = local && isCopy(local) && reference.digest === undefined && options.policy === 'Always';
    if (local && !mayMove) return local;
    if (options.policy === 'Never') {
      throw new KnapsackError(
        'IMAGE_NOT_FOUND',
        `image ${formatReference(reference)} is not in the store, and its pull policy is Never`,
      );
    }
    if (!this.#puller || this.#store.isEmbedded(reference)) throw this.#notFound(reference);
    return await this.#pull(this.#puller, reference, options.credentials);
  }

  /** Pods that start together share one pull; with other credentials they do not. */
  async #pull(
    puller: ImagePuller,
    reference: Reference,
    credentials: RegistryCredentials | undefined,
  ): Promise<Descriptor> {
    const key = JSON.stringify([formatReference(reference), credentials]);
    const running = this.#pulling.get(key);
    if (running) return await running;
    this.#log.info({ image: formatReference(reference) }, 'pulling image');
    const pulling = puller.pull(reference, credentials).finally(() => this.#pulling.delete(key));
    this.#pulling.set(key, pulling);
    return await pulling;
  }

  async #imageOf(reference: Reference, descriptor: Descriptor): Promise<ImageManifest> {
    const { manifest } = await this.#store.manifest(descriptor);
    if (manifest.kind === 'image') return manifest;
    const platform = hostPlatform();
    const entry = choosePlatform(manifest, platform);
    const image = entry && (await this.#store.manifest(entry)).manifest;
    if (image?.kind === 'image') return image;
    throw new KnapsackError(
      'IMAGE_PLATFORM_MISSING',
      `image ${formatReference(reference)} has no variant for ${platform.os}/${platform.architecture}`,
    );
  }

  #notFound(reference: Reference): KnapsackError {
    const where = this.#store.isEmbedded(reference) ? 'the embedded registry' : 'the local image store';
    return new KnapsackError('IMAGE_NOT_FOUND', `image ${formatReference(reference)} is not in ${where}`);
  }
}

function isCopy(descriptor: Descriptor): boolean {
  return descriptor.annotations?.[pulledAnnotation] !== undefined;
}
