/** Request bodies: reading with a cap, and decoding by media type. */
import type { IncomingMessage } from 'node:http';
import { messageOf } from '../../base/errors.ts';
import type { ResourceDef } from '../../api/resource.ts';
import { ApiError } from '../api-error.ts';
import { parseMediaType } from './media-type.ts';
import { decodeKubernetesProtobuf } from './protobuf.ts';
import type { PatchRequest } from './service/requests.ts';

/** As kube-apiserver. */
const maxBodyBytes = 3 * 1024 * 1024;

/** The client went away before its request was complete: there is nobody to answer. */
export class ClientGone extends Error {}

/** The whole body. Throws 413 past the cap (the rest is left unread) and 415 for a content encoding. */
export function readBody(request: IncomingMessage): Promise<Buffer> {
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    return Promise.reject(
      new ApiError('UnsupportedMediaType', `content encoding ${JSON.stringify(encoding)} is not accepted`),
    );
  }
  const tooLarge = (): ApiError =>
    new ApiError('RequestEntityTooLarge', `Request entity too large: limit is ${maxBodyBytes}`);
  if (Number(request.headers['content-length'] ?? 0) > maxBodyBytes) return Promise.reject(tooLarge());
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const settle = (act: () => void): void => {
      request.off('data', onData).off('end', onEnd).off('close', onClose);
      act();
    };
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      if (size <= maxBodyBytes) chunks.push(chunk);
      else settle(() => reject(tooLarge()));
    };
    const onEnd = (): void =>
      settle(() => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)));
    const onClose = (): void => settle(() => reject(new ClientGone('request aborted')));
    request.on('data', onData).on('end', onEnd).on('close', onClose);
    request.on('error', onClose);
  });
}

const jsonTypes = ['application/json', 'application/yaml'];
const builtinTypes = [...jsonTypes, 'application/vnd.kubernetes.protobuf'];

/** An object in a body, as JSON. `def` is the resource that the path names. Throws 400 and 415. */
export async function decodeObject(
  body: Buffer,
  contentType: string | undefined,
  def: ResourceDef,
): Promise<unknown> {
  const type = contentType ? parseMediaType(contentType)?.type : 'application/json';
  const accepted = def.builtin ? builtinTypes : jsonTypes;
  if (type === undefined || !accepted.includes(type)) throw unknownFormat(accepted);
  try {
    if (type === 'application/json') return parseJson(body);
    return type === 'application/yaml' ? await parseYaml(body) : decodeKubernetesProtobuf(body);
  } catch (error) {
    throw unrecognized(def.kind, body, type, error);
  }
}

/** The options of a deletion, or undefined when the body is empty. Any encoding of a built-in type is taken. */
export async function decodeDeleteOptions(body: Buffer, contentType: string | undefined): Promise<unknown> {
  if (body.length === 0) return undefined;
  return decodeObject(body, contentType, deleteOptions);
}

/** Enough of a definition to decode by. */
const deleteOptions = { kind: 'DeleteOptions', builtin: true } as ResourceDef;

const patchTypes: Readonly<Record<string, PatchRequest['type']>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
  'application/apply-patch+yaml': 'apply',
};

/** Whether a patch is a configuration for server-side apply. */
export function isApply(request: IncomingMessage): boolean {
  return parseMediaType(request.headers['content-type'] ?? '')?.type === 'application/apply-patch+yaml';
}

/** A patch by its media type. Throws 415 for another type and 400 for a malformed body. */
export async function decodePatch(
  body: Buffer,
  contentType: string | undefined,
  def: ResourceDef,
): Promise<PatchRequest> {
  const accepted = Object.keys(patchTypes).filter((type) => def.builtin || patchTypes[type] !== 'strategic');
  const media = contentType === undefined ? undefined : parseMediaType(contentType)?.type;
  const type = media !== undefined && accepted.includes(media) ? patchTypes[media] : undefined;
  if (!type) throw unknownFormat(accepted);
  try {
    return { type, body: type === 'apply' ? await parseYaml(body) : parseJson(body) };
  } catch (error) {
    const what = type === 'apply' ? 'error decoding YAML' : 'error decoding patch';
    throw new ApiError('BadRequest', `${what}: ${messageOf(error)}`);
  }
}

function unknownFormat(accepted: readonly string[]): ApiError {
  return new ApiError(
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
  );
}

function unrecognized(kind: string, body: Buffer, type: string, error: unknown): ApiError {
  const start = body.subarray(0, 32).toString('hex');
  const shown = body.length > 32 ? `${start} ...` : start;
  const format = type === 'application/json' ? 'json' : type === 'application/yaml' ? 'yaml' : 'protobuf';
  return new ApiError(
    'BadRequest',
    `the object provided is unrecognized (must be of type ${kind}): couldn't get version/kind; ${format} parse error: ${messageOf(error)} (${shown})`,
  );
}

function parseJson(body: Buffer): unknown {
  return JSON.parse(utf8(body)) as unknown;
}

const decoder = new TextDecoder('utf-8', { fatal: true });

function utf8(body: Buffer): string {
  try {
    return decoder.decode(body);
  } catch {
    throw new Error('the body is not valid UTF-8');
  }
}

/**
 * One YAML document, by the rules of YAML 1.1 that Kubernetes' decoder follows (`yes` is true), without the types that
 * JSON cannot hold. The parser is loaded when first needed: kubectl sends YAML only for server-side apply.
 */
async function parseYaml(body: Buffer): Promise<unknown> {
  const { parseDocument } = await import('yaml');
  const document = parseDocument(utf8(body), {
    version: '1.1',
    merge: true,
    customTags: (tags) =>
      tags.filter((tag) => typeof tag !== 'object' || !('tag' in tag) || !beyondJson.has(tag.tag)),
    logLevel: 'error',
  });
  const [error] = document.errors;
  if (error) throw new Error(error.message.split('\n')[0]);
  // Aliases may make a small text huge.
  return document.toJS({ maxAliasCount: 100 }) as unknown;
}

const beyondJson = new Set(
  ['timestamp', 'binary', 'set', 'omap', 'pairs'].map((name) => `tag:yaml.org,2002:${name}`),
);
