/** Content negotiation: media types with the parameters that Kubernetes gives a meaning (`as`, `g`, `v`, `stream`). */
import { ApiError } from '../api-error.ts';

export interface MediaType {
  /** Lower case, without parameters: `application/json`. */
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/** The form of an answer. */
export interface AnswerForm {
  readonly format: 'json' | 'yaml';
  /** A transformation that the client asked for. */
  readonly as?: { readonly kind: string; readonly group: string; readonly version: string };
}

/** A media type, or undefined when the text is not one. */
export function parseMediaType(text: string): MediaType | undefined {
  const [head = '', ...rest] = text.split(';');
  const type = head.trim().toLowerCase();
  // `@` is no token character, but Kubernetes' OpenAPI media types have one.
  if (!/^[\w!#$&^.+*@-]+\/[\w!#$&^.+*@-]+$/.test(type)) return undefined;
  const parameters = new Map<string, string>();
  for (const part of rest) {
    const at = part.indexOf('=');
    if (at < 0) continue;
    parameters.set(
      part.slice(0, at).trim().toLowerCase(),
      part
        .slice(at + 1)
        .trim()
        .replace(/^"(.*)"$/, '$1'),
    );
  }
  return { type, parameters };
}

/** The clauses of an Accept header, best quality first; equals stay in order. */
export function parseAccept(header: string | undefined): MediaType[] {
  const clauses = (header ?? '').split(',').flatMap((clause) => parseMediaType(clause) ?? []);
  const quality = (clause: MediaType): number => {
    const value = Number(clause.parameters.get('q') ?? 1);
    return Number.isNaN(value) ? 1 : value;
  };
  return clauses.filter((clause) => quality(clause) > 0).sort((a, b) => quality(b) - quality(a));
}

const jsonTypes = new Set(['application/json', 'application/*', '*/*']);

/**
 * The first form in the Accept header that can be served. `transforms` names the `as` kinds that the endpoint knows,
 * each with its group and versions. A clause with another transformation is passed over, as kube-apiserver does.
 * Throws 406 when nothing fits.
 */
export function negotiate(
  header: string | undefined,
  transforms: Readonly<Record<string, { readonly group: string; readonly versions: readonly string[] }>> = {},
): AnswerForm {
  if (header === undefined || header.trim() === '') return { format: 'json' };
  for (const { type, parameters } of parseAccept(header)) {
    const format = jsonTypes.has(type) ? 'json' : type === 'application/yaml' ? 'yaml' : undefined;
    if (!format) continue;
    const kind = parameters.get('as');
    if (kind === undefined) return { format };
    const known = Object.hasOwn(transforms, kind) ? transforms[kind] : undefined;
    const group = parameters.get('g') ?? '';
    const version = parameters.get('v') ?? '';
    if (known?.group === group && known.versions.includes(version)) {
      return { format, as: { kind, group, version } };
    }
  }
  throw notAcceptable(['application/json', 'application/yaml']);
}

export function notAcceptable(served: readonly string[]): ApiError {
  return new ApiError('NotAcceptable', `only the following media types are accepted: ${served.join(', ')}`);
}

/** Transformations of objects and lists. */
export const objectTransforms = {
  Table: { group: 'meta.k8s.io', versions: ['v1', 'v1beta1'] },
  PartialObjectMetadata: { group: 'meta.k8s.io', versions: ['v1', 'v1beta1'] },
  PartialObjectMetadataList: { group: 'meta.k8s.io', versions: ['v1', 'v1beta1'] },
} as const;

export const discoveryTransforms = {
  APIGroupDiscoveryList: { group: 'apidiscovery.k8s.io', versions: ['v2', 'v2beta1'] },
} as const;
