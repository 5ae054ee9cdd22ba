/** Manifests, indexes and image configs: media types, and parsing that trusts nothing (OCI image specification 1.1). */
import { KnapsackError, messageOf } from '../base/errors.ts';
import { parseDigest } from './digest.ts';

export const mediaTypes = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
} as const;

/** Largest manifest, index or config that is read into memory, bytes. The specification asks for at least 4 MiB. */
export const maxManifestSize = 8 << 20;
const maxLayers = 512;
const maxIndexEntries = 1024;

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  readonly platform?: Platform;
  readonly artifactType?: string;
  readonly annotations?: { readonly [key: string]: string };
}

export interface ImageManifest {
  readonly kind: 'image';
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly artifactType?: string;
  readonly annotations?: { readonly [key: string]: string };
}

export interface ImageIndex {
  readonly kind: 'index';
  readonly manifests: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly artifactType?: string;
  readonly annotations?: { readonly [key: string]: string };
}

/** The parts of an image's config that decide how a container of it runs. */
export interface RunConfig {
  readonly Env?: string[];
  readonly Entrypoint?: string[];
  readonly Cmd?: string[];
  readonly WorkingDir?: string;
  readonly User?: string;
  readonly StopSignal?: string;
}

export interface ImageConfig {
  readonly platform: Platform;
  readonly run: RunConfig;
  /** Digests of the uncompressed layers, lowest first. */
  readonly diffIds: readonly string[];
}

type Fields = { readonly [key: string]: unknown };

function invalid(what: string, why: string): never {
  throw new KnapsackError('IMAGE_MANIFEST_INVALID', `${what}: ${why}`);
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseJson(what: string, bytes: Uint8Array): Fields {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    return invalid(what, `not JSON: ${messageOf(error)}`);
  }
  return isFields(value) ? value : invalid(what, 'not a JSON object');
}

function textMap(value: unknown): { [key: string]: string } | undefined {
  if (!isFields(value)) return undefined;
  return Object.fromEntries(
    Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
  );
}

function textList(value: unknown): string[] | undefined {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : undefined;
}

/** Checks one descriptor; `what` names it in the error. */
export function parseDescriptor(what: string, value: unknown): Descriptor {
  if (!isFields(value)) return invalid(what, 'a descriptor is missing');
  const { mediaType, digest, size, platform, artifactType } = value;
  if (typeof mediaType !== 'string') return invalid(what, 'a descriptor has no mediaType');
  if (typeof digest !== 'string' || !parseDigest(digest)) {
    return invalid(what, `${JSON.stringify(digest)} is not a sha256 or sha512 digest`);
  }
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    return invalid(what, `descriptor ${digest} has no proper size`);
  }
  const annotations = textMap(value['annotations']);
  return {
    mediaType,
    digest,
    size,
    ...(isFields(platform) && { platform: parsePlatform(platform) }),
    ...(typeof artifactType === 'string' && { artifactType }),
    ...(annotations && { annotations }),
  };
}

function parsePlatform(value: Fields): Platform {
  const text = (key: string): string => (typeof value[key] === 'string' ? value[key] : '');
  const variant = text('variant');
  return { os: text('os'), architecture: text('architecture'), ...(variant && { variant }) };
}

/**
 * Parses a manifest or an index. Which of the two is told by its content, as its media type may be absent in the
 * document (OCI) and wrong in a header. Throws IMAGE_MANIFEST_INVALID.
 */
export function parseManifest(what: string, bytes: Uint8Array): ImageManifest | ImageIndex {
  if (bytes.length > maxManifestSize) {
    throw new KnapsackError(
      'IMAGE_TOO_LARGE',
      `${what} has ${bytes.length} bytes; the limit is ${maxManifestSize}`,
    );
  }
  const value = parseJson(what, bytes);
  if (value['schemaVersion'] !== 2) return invalid(what, 'schemaVersion is not 2');
  const annotations = textMap(value['annotations']);
  const artifactType = value['artifactType'];
  const common = {
    ...(value['subject'] !== undefined && { subject: parseDescriptor(what, value['subject']) }),
    ...(typeof artifactType === 'string' && { artifactType }),
    ...(annotations && { annotations }),
  };
  const { manifests, layers, config } = value;
  if (Array.isArray(manifests) && layers === undefined && config === undefined) {
    if (manifests.length > maxIndexEntries) return invalid(what, `more than ${maxIndexEntries} manifests`);
    return { kind: 'index', manifests: manifests.map((item) => parseDescriptor(what, item)), ...common };
  }
  if (!Array.isArray(layers) || manifests !== undefined) {
    return invalid(what, 'it needs either layers and config, or manifests');
  }
  if (layers.length > maxLayers) return invalid(what, `more than ${maxLayers} layers`);
  return {
    kind: 'image',
    config: parseDescriptor(what, config),
    layers: layers.map((item) => parseDescriptor(what, item)),
    ...common,
  };
}

/** The media type that a document states for itself, or the OCI one of its kind. */
export function mediaTypeOf(bytes: Uint8Array, parsed: ImageManifest | ImageIndex): string {
  const stated = (JSON.parse(new TextDecoder().decode(bytes)) as Fields)['mediaType'];
  if (typeof stated === 'string') return stated;
  return parsed.kind === 'index' ? mediaTypes.index : mediaTypes.manifest;
}

/** Parses an image config; unknown or wrongly typed run settings are left out. */
export function parseConfig(what: string, bytes: Uint8Array): ImageConfig {
  const value = parseJson(what, bytes);
  const rootfs = value['rootfs'];
  const diffIds = isFields(rootfs) ? textList(rootfs['diff_ids']) : undefined;
  if (!diffIds) return invalid(what, 'rootfs.diff_ids is missing');
  for (const id of diffIds) if (!parseDigest(id)) return invalid(what, `diff ID ${id} is not a digest`);
  const raw = isFields(value['config']) ? value['config'] : {};
  const run: { -readonly [K in keyof RunConfig]: RunConfig[K] } = {};
  for (const key of ['Env', 'Entrypoint', 'Cmd'] as const) {
    const list = textList(raw[key]);
    if (list) run[key] = list;
  }
  for (const key of ['WorkingDir', 'User', 'StopSignal'] as const) {
    const text = raw[key];
    if (typeof text === 'string' && text !== '') run[key] = text;
  }
  return { platform: parsePlatform(value), run, diffIds };
}

/** This machine in the vocabulary of image indexes. Containers are Linux also where the host is macOS. */
export function hostPlatform(): Platform {
  const architectures: { readonly [arch: string]: string } = { x64: 'amd64', ia32: '386', arm: 'arm' };
  return { os: 'linux', architecture: architectures[process.arch] ?? process.arch };
}

/** The entry of an index that runs on `platform`; the first of several (most specific first by convention). */
export function choosePlatform(index: ImageIndex, platform: Platform): Descriptor | undefined {
  return index.manifests.find(
    (entry) => entry.platform?.os === platform.os && entry.platform.architecture === platform.architecture,
  );
}
