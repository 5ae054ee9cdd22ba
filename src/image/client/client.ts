/** A client of the OCI distribution API: what pulling and pushing need. */
import { isIP } from 'node:net';
import type { Readable } from 'node:stream';
import { KnapsackError } from '../../base/errors.ts';
import { digestOf, requireDigest } from '../digest.ts';
import { maxManifestSize, mediaTypes, type Descriptor } from '../manifest.ts';
import type { RegistryCredentials } from '../provider.ts';
import { formatReference, type Reference } from '../reference.ts';
import { embeddedRegistry } from '../store.ts';
import { answerChallenge, parseChallenge } from './auth.ts';
import { readBody, send, type HttpLimits, type RegistryRequest, type RegistryResponse } from './http.ts';

export interface RegistryClientOptions {
  /** Where a registry is reached, when not at https://NAME: `registry.knapsack.local` → `http://127.0.0.1:41234`. */
  readonly endpoints?: ReadonlyMap<string, URL>;
  /** Registries that are spoken to without TLS, besides the loopback ones. */
  readonly plainHttp?: ReadonlySet<string>;
  /** By registry name; the argument of a call decides over this. */
  readonly credentials?: (registry: string) => RegistryCredentials | undefined;
  readonly limits?: HttpLimits;
}

const accept = [
  mediaTypes.manifest,
  mediaTypes.index,
  mediaTypes.dockerManifest,
  mediaTypes.dockerIndex,
].join(', ');
const maxErrorSize = 1 << 16;

/** Statuses outside of these are failures. */
type Expected = readonly number[];

export class RegistryClient {
  readonly #options: RegistryClientOptions;
  readonly #limits: HttpLimits;
  /** Authorization headers that worked, by registry, repository, action and user. */
  readonly #authorizations = new Map<string, string>();

  constructor(options: RegistryClientOptions = {}) {
    this.#options = options;
    this.#limits = options.limits ?? { idleMs: 60_000 };
  }

  /** Loopback registries are plain http, as in Docker; Docker Hub's API has its own host. */
  endpoint(registry: string): URL {
    const configured = this.#options.endpoints?.get(registry);
    if (configured) return configured;
    if (registry === 'docker.io') return new URL('https://registry-1.docker.io');
    const host = registry.replace(/:\d+$/, '');
    const address = host.replace(/^\[|\]$/g, '');
    const loopback =
      host === 'localhost' || address === '::1' || (isIP(address) === 4 && address.startsWith('127.'));
    const plain = loopback || registry === embeddedRegistry || this.#options.plainHttp?.has(registry);
    return new URL(`${plain ? 'http' : 'https'}://${registry}`);
  }

  /** The digest that a tag or digest means. Throws IMAGE_NOT_FOUND. */
  async resolve(reference: Reference, credentials?: RegistryCredentials): Promise<string> {
    const path = `manifests/${reference.digest ?? reference.tag ?? 'latest'}`;
    const response = await this.#call(
      reference,
      { method: 'HEAD', path, headers: { accept }, credentials },
      [200],
    );
    response.body.resume();
    const digest = response.headers['docker-content-digest'];
    if (typeof digest === 'string') return reference.digest ?? digest;
    return (await this.manifest(reference, credentials)).descriptor.digest;
  }

  /** A manifest's exact bytes, digest verified. Throws IMAGE_NOT_FOUND, IMAGE_TOO_LARGE, IMAGE_DIGEST_MISMATCH. */
  async manifest(
    reference: Reference,
    credentials?: RegistryCredentials,
  ): Promise<{ descriptor: Descriptor; bytes: Uint8Array }> {
    const path = `manifests/${reference.digest ?? reference.tag ?? 'latest'}`;
    const response = await this.#call(
      reference,
      { method: 'GET', path, headers: { accept }, credentials },
      [200],
    );
    const bytes = await readBody(response, maxManifestSize);
    const promised = reference.digest ?? response.headers['docker-content-digest'];
    const algorithm = typeof promised === 'string' && promised.startsWith('sha512:') ? 'sha512' : 'sha256';
    const digest = digestOf(bytes, algorithm);
    if (typeof promised === 'string')
      requireDigest(`manifest ${formatReference(reference)}`, promised, digest);
    const mediaType = response.headers['content-type']?.split(';')[0]?.trim() ?? mediaTypes.manifest;
    return { descriptor: { mediaType, digest, size: bytes.length }, bytes };
  }

  /** A blob's content as a stream; size and digest are the caller's to check. */
  async blob(reference: Reference, digest: string, credentials?: RegistryCredentials): Promise<Readable> {
    const response = await this.#call(
      reference,
      { method: 'GET', path: `blobs/${digest}`, credentials },
      [200],
    );
    return response.body;
  }

  /** A small blob (an image config), digest verified. */
  async smallBlob(
    reference: Reference,
    digest: string,
    credentials?: RegistryCredentials,
  ): Promise<Uint8Array> {
    const response = await this.#call(
      reference,
      { method: 'GET', path: `blobs/${digest}`, credentials },
      [200],
    );
    const bytes = await readBody(response, maxManifestSize);
    requireDigest(`blob ${digest}`, digest, digestOf(bytes, digest.slice(0, digest.indexOf(':'))));
    return bytes;
  }

  async hasBlob(reference: Reference, digest: string, credentials?: RegistryCredentials): Promise<boolean> {
    const response = await this.#call(
      reference,
      { method: 'HEAD', path: `blobs/${digest}`, credentials, push: true },
      [200, 404],
    );
    response.body.resume();
    return response.status === 200;
  }

  /** Uploads a blob in one piece. */
  async uploadBlob(
    reference: Reference,
    blob: { digest: string; size: number; open: () => Readable },
    credentials?: RegistryCredentials,
  ): Promise<void> {
    const started = await this.#call(
      reference,
      { method: 'POST', path: 'blobs/uploads/', credentials, push: true },
      [202],
    );
    started.body.resume();
    await this.#finish(reference, started, blob, credentials);
  }

  /**
   * Makes a blob of another repository of the same registry appear in this one. False when the registry has to be sent the
   * bytes instead.
   */
  async mountBlob(
    reference: Reference,
    digest: string,
    from: string,
    credentials?: RegistryCredentials,
  ): Promise<boolean> {
    const query = `?mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(from)}`;
    const response = await this.#call(
      reference,
      { method: 'POST', path: `blobs/uploads/${query}`, credentials, push: true },
      [201, 202],
    );
    response.body.resume();
    return response.status === 201;
  }

  /** Stores a manifest under the reference's tag, or its digest. */
  async putManifest(
    reference: Reference,
    manifest: { bytes: Uint8Array; mediaType: string },
    credentials?: RegistryCredentials,
  ): Promise<string> {
    const digest = digestOf(manifest.bytes);
    const response = await this.#call(
      reference,
      {
        method: 'PUT',
        path: `manifests/${reference.tag ?? reference.digest ?? digest}`,
        headers: { 'content-type': manifest.mediaType },
        body: manifest.bytes,
        credentials,
        push: true,
      },
      [201],
    );
    response.body.resume();
    return digest;
  }

  async #finish(
    reference: Reference,
    started: RegistryResponse,
    blob: { digest: string; size: number; open: () => Readable },
    credentials: RegistryCredentials | undefined,
  ): Promise<void> {
    const { location } = started.headers;
    if (location === undefined) throw refused(reference, started, 'it opened an upload without a location');
    const url = new URL(location, started.url);
    url.searchParams.set('digest', blob.digest);
    const response = await this.#call(
      reference,
      {
        method: 'PUT',
        url,
        headers: { 'content-type': 'application/octet-stream', 'content-length': String(blob.size) },
        body: blob.open(),
        credentials,
        push: true,
      },
      [201],
    );
    response.body.resume();
  }

  async #call(
    reference: Reference,
    call: Omit<RegistryRequest, 'url'> & {
      readonly path?: string;
      readonly url?: URL;
      readonly credentials?: RegistryCredentials | undefined;
      readonly push?: boolean;
    },
    expected: Expected,
  ): Promise<RegistryResponse> {
    const endpoint = this.endpoint(reference.registry);
    const url = call.url ?? new URL(`/v2/${reference.repository}/${call.path ?? ''}`, endpoint);
    const credentials = call.credentials ?? this.#options.credentials?.(reference.registry);
    const key = [endpoint.host, reference.repository, call.push ?? false, credentials?.username ?? ''].join(
      ' ',
    );
    // An upload may be sent to another host; what opens the registry is not for that one.
    const known = url.origin === endpoint.origin ? this.#authorizations.get(key) : undefined;
    const attempt = async (authorization: string | undefined): Promise<RegistryResponse> =>
      await send(
        {
          method: call.method,
          url,
          headers: { ...call.headers, ...(authorization && { authorization }) },
          ...(call.body && { body: call.body }),
        },
        this.#limits,
      );
    let response = await attempt(known);
    const header = response.headers['www-authenticate'];
    const repeatable = !call.body || call.body instanceof Uint8Array;
    if (response.status === 401 && header !== undefined && repeatable) {
      response.body.resume();
      const challenge = parseChallenge(header);
      const answer = challenge && (await answerChallenge(challenge, endpoint, credentials, this.#limits));
      if (answer !== undefined) {
        response = await attempt(answer);
        if (response.status !== 401) this.#authorizations.set(key, answer);
      }
    }
    if (expected.includes(response.status)) return response;
    throw await this.#failure(reference, call.method, response);
  }

  async #failure(reference: Reference, method: string, response: RegistryResponse): Promise<KnapsackError> {
    const said = registryMessage(await readBody(response, maxErrorSize).catch(() => Buffer.alloc(0)));
    const name = formatReference(reference);
    if (response.status === 404) {
      return new KnapsackError(
        'IMAGE_NOT_FOUND',
        `image ${name} is neither in the local store nor in the registry at ${response.url.host}${said}`,
      );
    }
    if (response.status === 401 || response.status === 403) {
      return refused(reference, response, `${method} of ${name} needs other credentials${said}`);
    }
    return response.status >= 500
      ? new KnapsackError(
          'IMAGE_REGISTRY_UNREACHABLE',
          `registry ${response.url.host} answered ${response.status} to ${method} of ${name}${said}`,
        )
      : refused(reference, response, `${method} of ${name}${said}`);
  }
}

function refused(reference: Reference, response: RegistryResponse, why: string): KnapsackError {
  return new KnapsackError(
    'IMAGE_REGISTRY_REFUSED',
    `registry ${reference.registry} (${response.url.host}) answered ${response.status}: ${why}`,
  );
}

/** `: CODE message` of the first error that a registry reports. */
function registryMessage(body: Buffer): string {
  try {
    const { errors } = JSON.parse(body.toString('utf8')) as {
      errors?: { code?: unknown; message?: unknown }[];
    };
    const first = errors?.[0];
    if (!first) return '';
    return `: ${[first.code, first.message].filter((part) => typeof part === 'string').join(' ')}`.slice(
      0,
      300,
    );
  } catch {
    return '';
  }
}
