/** From layers to an image: config and manifest, reproducible to the byte. */
import { hostPlatform, mediaTypes, type Descriptor, type RunConfig } from '../manifest.ts';
import { repositoryName, type Reference } from '../reference.ts';
import type { ImageStore } from '../store.ts';

/** The image that another is built upon. */
export interface BaseImage {
  readonly reference: Reference;
  readonly layers: readonly Descriptor[];
  readonly diffIds: readonly string[];
  readonly run: RunConfig;
}

export interface NewLayer {
  readonly descriptor: Descriptor;
  /** What made it, for the image's history. */
  readonly createdBy: string;
}

/** Image times would make each build differ; the epoch is what reproducible builders write. */
const epoch = '1970-01-01T00:00:00Z';

/** Stores config and manifest and names the image. New layers are uncompressed: digest and diff ID are the same. */
export async function assembleImage(
  store: ImageStore,
  reference: Reference,
  image: {
    readonly base?: BaseImage;
    readonly layers: readonly NewLayer[];
    readonly run: RunConfig;
    readonly labels?: { readonly [key: string]: string };
  },
  annotations?: { readonly [key: string]: string },
): Promise<Descriptor> {
  const { base, layers, run, labels } = image;
  const config = {
    created: epoch,
    ...hostPlatform(),
    config: { ...run, ...(labels && { Labels: labels }) },
    rootfs: {
      type: 'layers',
      diff_ids: [...(base?.diffIds ?? []), ...layers.map((layer) => layer.descriptor.digest)],
    },
    history: [
      ...(base?.layers ?? []).map(() => ({
        created: epoch,
        created_by: base ? `FROM ${repositoryName(base.reference)}` : '',
      })),
      ...layers.map((layer) => ({ created: epoch, created_by: layer.createdBy })),
    ],
  };
  const blob = await store.putBlob(JSON.stringify(config));
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: { mediaType: mediaTypes.config, ...blob },
    layers: [...(base?.layers ?? []), ...layers.map((layer) => layer.descriptor)],
  };
  return await store.putManifest(reference, Buffer.from(JSON.stringify(manifest)), {
    ...(annotations && { annotations }),
  });
}
