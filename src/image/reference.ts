/** Image names, normalised as Docker does (grammar of distribution/reference). */
import { KnapsackError } from '../base/errors.ts';
import { parseDigest } from './digest.ts';

/** A normalised image name: always a registry, and a tag, a digest or both. */
export interface Reference {
  /** `docker.io`, `localhost:5000`, `[::1]:5000`. */
  readonly registry: string;
  /** `library/node`. */
  readonly repository: string;
  readonly tag?: string;
  /** `sha256:…`. Decides over the tag where both are given. */
  readonly digest?: string;
}

const dockerHub = 'docker.io';
const domainLabel = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const registryPattern = new RegExp(
  `^(?:${domainLabel}(?:\\.${domainLabel})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`,
);
const pathPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const tagPattern = /^\w[\w.-]{0,127}$/;
/** Longest `registry/repository`, as Docker's. */
const maxNameLength = 255;

/** True for a tag that the distribution specification allows. */
export const isTag = (text: string): boolean => tagPattern.test(text);

/** True for a repository path that the distribution specification allows. */
export const isRepository = (text: string): boolean => text.length <= maxNameLength && pathPattern.test(text);

/**
 * Parses what a user writes: `node` → `docker.io/library/node:latest`. Throws IMAGE_NAME_INVALID with what is wrong.
 * The first component is a registry when it holds a dot, a colon or an upper-case letter, or is `localhost`.
 */
export function parseReference(text: string): Reference {
  const fail = (why: string): never => {
    const shown = text.length > 300 ? `${text.slice(0, 300)}…` : text;
    throw new KnapsackError('IMAGE_NAME_INVALID', `image name ${JSON.stringify(shown)}: ${why}`);
  };
  if (text.length > 1024) fail('it is longer than 1024 characters');
  let rest = text;
  let digest: string | undefined;
  const at = rest.indexOf('@');
  if (at >= 0) {
    digest = rest.slice(at + 1);
    rest = rest.slice(0, at);
    if (!parseDigest(digest)) fail(`${JSON.stringify(digest)} is not a sha256 or sha512 digest`);
  }
  let tag: string | undefined;
  const colon = rest.lastIndexOf(':');
  if (colon > rest.lastIndexOf('/')) {
    tag = rest.slice(colon + 1);
    rest = rest.slice(0, colon);
    if (!tagPattern.test(tag)) fail(`${JSON.stringify(tag)} is not a tag`);
  }
  if (/^[0-9a-f]{64}$/.test(rest)) fail('64 hex digits are an image ID, not a name');
  const { registry, repository } = splitRegistry(rest);
  if (!registryPattern.test(registry)) fail(`${JSON.stringify(registry)} is not a host name`);
  if (!pathPattern.test(repository)) {
    fail(
      repository === repository.toLowerCase()
        ? `${JSON.stringify(repository)} is not a repository path`
        : 'the repository path must be lower-case',
    );
  }
  if (registry.length + 1 + repository.length > maxNameLength) {
    fail(`registry and repository are longer than ${maxNameLength} characters`);
  }
  if (tag === undefined && digest === undefined) tag = 'latest';
  return { registry, repository, ...(tag && { tag }), ...(digest && { digest }) };
}

function splitRegistry(name: string): { registry: string; repository: string } {
  const slash = name.indexOf('/');
  const first = name.slice(0, slash);
  const isRegistry =
    slash >= 0 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
  let registry = isRegistry ? first : dockerHub;
  let repository = isRegistry ? name.slice(slash + 1) : name;
  if (registry === 'index.docker.io') registry = dockerHub;
  if (registry === dockerHub && !repository.includes('/')) repository = `library/${repository}`;
  return { registry, repository };
}

/** `registry/repository`. */
export function repositoryName(reference: Reference): string {
  return `${reference.registry}/${reference.repository}`;
}

/** The full name again: `docker.io/library/node:latest`, `…@sha256:…`, or both parts. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`;
  const digest = reference.digest === undefined ? '' : `@${reference.digest}`;
  return repositoryName(reference) + tag + digest;
}
