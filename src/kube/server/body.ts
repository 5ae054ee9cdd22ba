/** Request bodies: reading with a cap, and decoding by media type. */
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { messageOf } from '../../base/errors.ts';
import type { ResourceDef } from '../../api/resource.ts';
import { ApiError } from '../api-error.ts';
import { countMembers, inspectJson, memberPositions, repeatedMembers } from './json-text.ts';
import { parseMediaType } from './media-type.ts';
import { decodeKubernetesProtobuf } from './protobuf.ts';
import type { BodyFaults, PatchRequest } from './service/requests.ts';
import type { YamlThread } from './yaml/thread.ts';

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

/** Faults that a decoder adds to. */
export interface FoundFaults extends BodyFaults {
  readonly texts: string[];
  inOrder?: NonNullable<BodyFaults['inOrder']>;
}

/**
 * An object in a body, as JSON. `def` is the resource that the path names. `faults`, when given, gets what only a strict
 * decoder minds. Throws 400 and 415, and what {@link YamlThread.decode} throws.
 */
export async function decodeObject(
  yaml: YamlThread,
  body: Buffer,
  contentType: string | undefined,
  def: ResourceDef,
  faults?: FoundFaults,
): Promise<unknown> {
  const type = contentType ? parseMediaType(contentType)?.type : 'application/json';
  const accepted = def.builtin ? builtinTypes : jsonTypes;
  if (type === undefined || !accepted.includes(type)) throw unknownFormat(accepted);
  try {
    if (type === 'application/json') return parseJson(body, faults, def.builtin);
    return type === 'application/yaml' ? await parseYaml(yaml, body, faults) : decodeKubernetesProtobuf(body);
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw unrecognized(def.kind, body, type, error);
  }
}

/** The options of a deletion, or undefined when the body is empty. Any encoding of a built-in type is taken. */
export async function decodeDeleteOptions(
  yaml: YamlThread,
  body: Buffer,
  contentType: string | undefined,
): Promise<unknown> {
  if (body.length === 0) return undefined;
  return decodeObject(yaml, body, contentType, deleteOptions);
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

/** A patch by its media type. `faults` as for {@link decodeObject}. Throws 415 for another type and 400 for a malformed body. */
export async function decodePatch(
  yaml: YamlThread,
  body: Buffer,
  contentType: string | undefined,
  def: ResourceDef,
  faults?: FoundFaults,
): Promise<PatchRequest> {
  const accepted = Object.keys(patchTypes).filter((type) => def.builtin || patchTypes[type] !== 'strategic');
  const media = contentType === undefined ? undefined : parseMediaType(contentType)?.type;
  const type = media !== undefined && accepted.includes(media) ? patchTypes[media] : undefined;
  if (!type) throw unknownFormat(accepted);
  try {
    return {
      type,
      body: type === 'apply' ? await parseApplied(yaml, body, faults) : parseJson(body, faults),
    };
  } catch (error) {
    if (error instanceof ApiError) throw error;
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

/**
 * `typed`: Kubernetes decodes the body into a type, and so meets repeated and unknown members in one pass. Elsewhere it
 * tells the repeated ones first.
 */
function parseJson(body: Buffer, faults: FoundFaults | undefined, typed = false): unknown {
  checkUtf8(body);
  const text = body.toString();
  const { members } = inspectJson(body);
  const value = JSON.parse(text) as unknown;
  if (faults && members !== countMembers(value)) {
    faults.texts.push(...repeatedMembers(text).map(duplicateField));
    if (typed) faults.inOrder = (found) => inOrderOf(text, found);
  }
  return value;
}

const duplicateField = (path: string): string => `duplicate field ${JSON.stringify(path)}`;
const unknownField = (path: string): string => `unknown field ${JSON.stringify(path)}`;

function inOrderOf(text: string, faults: readonly string[]): readonly string[] {
  const { first, repeated } = memberPositions(text);
  const positions = new Map<string, number>();
  for (const [path, position] of first) positions.set(unknownField(path), position);
  for (const [path, position] of repeated) positions.set(duplicateField(path), position);
  const positionOf = (fault: string): number => positions.get(fault) ?? positions.size;
  return [...faults].sort((a, b) => positionOf(a) - positionOf(b));
}

function checkUtf8(body: Buffer): void {
  if (!isUtf8(body)) throw new Error('the body is not valid UTF-8');
}

/** JSON is YAML, too, and what nearly every client sends to be applied: its own parser is many times quicker. */
async function parseApplied(
  yaml: YamlThread,
  body: Buffer,
  faults: FoundFaults | undefined,
): Promise<unknown> {
  if (body[0] === openingBrace) {
    try {
      const repeated: FoundFaults = { texts: [] };
      const value = parseJson(body, repeated);
      if (repeated.texts.length === 0) return value;
    } catch {
      // YAML in flow style, or a fault: either is for the other parser to tell.
    }
  }
  return parseYaml(yaml, body, faults);
}

const openingBrace = 0x7b;

async function parseYaml(yaml: YamlThread, body: Buffer, faults: FoundFaults | undefined): Promise<unknown> {
  checkUtf8(body);
  const { value, faults: found } = await yaml.decode(body);
  faults?.texts.push(...found);
  return value;
}
