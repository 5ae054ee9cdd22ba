/** Manifests, tags and referrers. */
import { KnapsackError } from '../base/errors.ts';
import {
  maxManifestSize,
  mediaTypeOf,
  mediaTypes,
  parseManifest,
  type Descriptor,
  type ImageIndex,
  type ImageManifest,
} from '../image/manifest.ts';
import { isTag, type Reference } from '../image/reference.ts';
import type { ImageStore } from '../image/store.ts';
import { RegistryError } from './errors.ts';
import {
  answerEmpty,
  answerJson,
  readRequestBody,
  repositoryOf,
  requireDigestText,
  type Exchange,
} from './exchange.ts';

const maxTagsInOnePush = 64;
/** Largest page of a listing when the client names no size. */
const defaultPage = 1000;

function target({ name, reference }: Exchange): Reference {
  const repository = repositoryOf(name);
  if (reference.includes(':')) return { ...repository, digest: requireDigestText(reference) };
  if (!isTag(reference))
    throw new RegistryError('MANIFEST_INVALID', `${JSON.stringify(reference)} is not a tag`);
  return { ...repository, tag: reference };
}

/** GET and HEAD /v2/NAME/manifests/REFERENCE: the exact bytes that were pushed. */
export async function getManifest(exchange: Exchange): Promise<void> {
  const { store, request, response } = exchange;
  const found = await store.resolve(target(exchange));
  if (!found) {
    throw new RegistryError('MANIFEST_UNKNOWN', `${exchange.name} has no manifest ${exchange.reference}`);
  }
  const bytes = await store.readBlob(found.digest, maxManifestSize);
  response.writeHead(200, {
    'content-type': found.mediaType,
    'content-length': String(bytes.length),
    'docker-content-digest': found.digest,
    etag: `"${found.digest}"`,
  });
  response.end(request.method === 'HEAD' ? undefined : bytes);
}

/** PUT /v2/NAME/manifests/REFERENCE, also by digest with `?tag=` once or more. */
export async function putManifest(exchange: Exchange): Promise<void> {
  const { store, request, name, query } = exchange;
  const reference = target(exchange);
  const tags = reference.digest === undefined ? [] : query.getAll('tag');
  const bad = tags.find((tag) => !isTag(tag));
  if (bad !== undefined || tags.length > maxTagsInOnePush) {
    throw new RegistryError('MANIFEST_INVALID', `${JSON.stringify(bad ?? tags.length)}: wrong tags`);
  }
  const bytes = await readRequestBody(request, maxManifestSize);
  const manifest = parse(bytes);
  await requireBlobs(store, manifest);
  const mediaType = request.headers['content-type']?.split(';')[0]?.trim() || mediaTypeOf(bytes, manifest);
  let digest;
  try {
    ({ digest } = await store.putManifest(reference, bytes, { mediaType }));
    for (const tag of tags) await store.putManifest({ ...reference, tag }, bytes, { mediaType });
  } catch (error) {
    if (!(error instanceof KnapsackError) || error.code !== 'IMAGE_DIGEST_MISMATCH') throw error;
    throw new RegistryError('DIGEST_INVALID', error.message);
  }
  answerEmpty(exchange, 201, {
    location: `/v2/${name}/manifests/${digest}`,
    'docker-content-digest': digest,
    ...(manifest.subject && { 'oci-subject': manifest.subject.digest }),
    ...(tags.length > 0 && { 'oci-tag': tags }),
  });
}

function parse(bytes: Uint8Array): ImageManifest | ImageIndex {
  try {
    return parseManifest('the manifest', bytes);
  } catch (error) {
    if (!(error instanceof KnapsackError)) throw error;
    throw new RegistryError('MANIFEST_INVALID', error.message);
  }
}

/** An image must be whole; an index may list variants that were not pushed here. */
async function requireBlobs(store: ImageStore, manifest: ImageManifest | ImageIndex): Promise<void> {
  if (manifest.kind === 'index') return;
  for (const { digest } of [manifest.config, ...manifest.layers]) {
    if ((await store.blobSize(digest)) !== undefined) continue;
    throw new RegistryError('MANIFEST_BLOB_UNKNOWN', `blob ${digest} has not been pushed`, {
      detail: { digest },
    });
  }
}

/** DELETE /v2/NAME/manifests/REFERENCE: a tag, or a manifest with all its tags. */
export async function deleteManifest(exchange: Exchange): Promise<void> {
  if (!(await exchange.store.delete(target(exchange)))) {
    throw new RegistryError('MANIFEST_UNKNOWN', `${exchange.name} has no manifest ${exchange.reference}`);
  }
  answerEmpty(exchange, 202);
}

/** GET /v2/NAME/tags/list?n=&last= */
export async function listTags(exchange: Exchange): Promise<void> {
  const { store, name } = exchange;
  const tags = await store.tags(repositoryOf(name));
  if (!tags) throw new RegistryError('NAME_UNKNOWN', `repository ${name} is not known`);
  const { page, headers } = paginate(exchange, tags, `/v2/${name}/tags/list`);
  answerJson(exchange, { name, tags: page }, headers);
}

/** GET /v2/_catalog?n=&last= (Docker registry API; not part of the OCI specification). */
export async function listRepositories(exchange: Exchange): Promise<void> {
  const prefix = `${repositoryOf('').registry}/`;
  const names = (await exchange.store.list())
    .filter((ref) => ref.name.startsWith(prefix))
    .map((ref) => ref.name.slice(prefix.length).replace(/[:@].*$/, ''));
  const unique = [...new Set(names)].sort((a, b) => (a < b ? -1 : 1));
  const { page, headers } = paginate(exchange, unique, '/v2/_catalog');
  answerJson(exchange, { repositories: page }, headers);
}

function paginate(
  { query }: Exchange,
  sorted: readonly string[],
  path: string,
): { page: string[]; headers: { [name: string]: string } } {
  const last = query.get('last');
  const asked = query.get('n');
  const size = asked !== null && /^\d{1,6}$/.test(asked) ? Number(asked) : defaultPage;
  const after = last === null ? sorted : sorted.filter((item) => item > last);
  const page = after.slice(0, size);
  const end = page.at(-1);
  if (end === undefined || page.length === after.length) return { page, headers: {} };
  const next = `${path}?n=${size}&last=${encodeURIComponent(end)}`;
  return { page, headers: { link: `<${next}>; rel="next"` } };
}

/** GET /v2/NAME/referrers/DIGEST?artifactType=: manifests of the repository whose subject is DIGEST. */
export async function listReferrers(exchange: Exchange): Promise<void> {
  const { store, name, query } = exchange;
  const subject = requireDigestText(exchange.reference);
  const wanted = query.get('artifactType');
  const manifests: Descriptor[] = [];
  for (const descriptor of await store.manifestsOf(repositoryOf(name))) {
    const { manifest } = await store.manifest(descriptor);
    if (manifest.subject?.digest !== subject) continue;
    const artifactType =
      manifest.artifactType ?? (manifest.kind === 'image' ? manifest.config.mediaType : undefined);
    if (wanted !== null && artifactType !== wanted) continue;
    manifests.push({
      mediaType: descriptor.mediaType,
      digest: descriptor.digest,
      size: descriptor.size,
      ...(artifactType !== undefined && { artifactType }),
      ...(manifest.annotations && { annotations: manifest.annotations }),
    });
  }
  answerJson(
    exchange,
    { schemaVersion: 2, mediaType: mediaTypes.index, manifests },
    { 'content-type': mediaTypes.index, ...(wanted !== null && { 'oci-filters-applied': 'artifactType' }) },
  );
}
