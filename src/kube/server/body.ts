/** Request bodies: reading with a cap, and decoding by media type. */
import type { IncomingMessage } from 'node:http';
import { messageOf } from '../../base/errors.ts';
import type { ResourceDef } from '../../api/resource.ts';
import { isMembers } from '../../api/structural-members.ts';
import { ApiError } from '../api-error.ts';
import { checkExact, countMembers, inspectJson, repeatedMembers } from './json-text.ts';
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

/**
 * An object in a body, as JSON. `def` is the resource that the path names. `faults`, when given, gets what only a strict
 * decoder minds. Throws 400 and 415.
 */
export async function decodeObject(
  body: Buffer,
  contentType: string | undefined,
  def: ResourceDef,
  faults?: string[],
): Promise<unknown> {
  const type = contentType ? parseMediaType(contentType)?.type : 'application/json';
  const accepted = def.builtin ? builtinTypes : jsonTypes;
  if (type === undefined || !accepted.includes(type)) throw unknownFormat(accepted);
  try {
    if (type === 'application/json') return parseJson(body, faults);
    return type === 'application/yaml' ? await parseYaml(body, faults) : decodeKubernetesProtobuf(body);
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

/** A patch by its media type. `faults` as for {@link decodeObject}. Throws 415 for another type and 400 for a malformed body. */
export async function decodePatch(
  body: Buffer,
  contentType: string | undefined,
  def: ResourceDef,
  faults?: string[],
): Promise<PatchRequest> {
  const accepted = Object.keys(patchTypes).filter((type) => def.builtin || patchTypes[type] !== 'strategic');
  const media = contentType === undefined ? undefined : parseMediaType(contentType)?.type;
  const type = media !== undefined && accepted.includes(media) ? patchTypes[media] : undefined;
  if (!type) throw unknownFormat(accepted);
  try {
    return { type, body: type === 'apply' ? await parseApplied(body, faults) : parseJson(body, faults) };
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

function parseJson(body: Buffer, faults: string[] | undefined): unknown {
  const text = utf8(body);
  const { members } = inspectJson(body);
  const value = JSON.parse(text) as unknown;
  if (faults && members !== countMembers(value)) {
    faults.push(...repeatedMembers(text).map((path) => `duplicate field ${JSON.stringify(path)}`));
  }
  return value;
}

const decoder = new TextDecoder('utf-8', { fatal: true });

function utf8(body: Buffer): string {
  try {
    return decoder.decode(body);
  } catch {
    throw new Error('the body is not valid UTF-8');
  }
}

/** JSON is YAML, too, and what nearly every client sends to be applied: its own parser is many times quicker. */
async function parseApplied(body: Buffer, faults: string[] | undefined): Promise<unknown> {
  if (body[0] === openingBrace) {
    try {
      const repeated: string[] = [];
      const value = parseJson(body, repeated);
      if (repeated.length === 0) return value;
    } catch {
      // YAML in flow style, or a fault: either is for the other parser to tell.
    }
  }
  return parseYaml(body, faults);
}

const openingBrace = 0x7b;

/**
 * One YAML document, by the rules of YAML 1.1 that Kubernetes' decoder follows (`yes` is true), without the types that
 * JSON cannot hold. The parser is loaded when first needed: kubectl sends YAML only for server-side apply.
 */
async function parseYaml(body: Buffer, faults: string[] | undefined): Promise<unknown> {
  const { isMap, isScalar, LineCounter, parseDocument, visit } = await import('yaml');
  const lines = new LineCounter();
  const document = parseDocument(utf8(body), {
    version: '1.1',
    merge: true,
    customTags: (tags) =>
      tags.filter((tag) => typeof tag !== 'object' || !('tag' in tag) || !beyondJson.has(tag.tag)),
    // As Kubernetes' decoder: of members that repeat the last counts.
    uniqueKeys: false,
    intAsBigInt: true,
    lineCounter: lines,
    logLevel: 'error',
  });
  const [error] = document.errors;
  if (error) throw new Error(error.message.split('\n')[0]);
  const repeated: string[] = [];
  let aliases = 0;
  let nodes = 0;
  visit(document, {
    Alias: () => void aliases++,
    Node: () => void nodes++,
    Map(_key, map) {
      nodes++;
      const seen = new Set<unknown>();
      for (const { key } of isMap(map) ? map.items : []) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) {
          const { line } = lines.linePos(key.range?.[0] ?? 0);
          repeated.push(`  line ${line}: key ${JSON.stringify(key.value)} already set in map`);
        }
        seen.add(key.value);
      }
    },
  });
  if (repeated.length > 0) faults?.push(`yaml: unmarshal errors:\n${repeated.slice(0, 100).join('\n')}`);
  // For each alias the parser walks the document, and for those in what others stand for, again.
  if (aliases > maxAliases || (aliases > 0 && nodes > maxNodesWithAliases)) {
    throw new Error(
      `a document with aliases may have ${maxAliases} of them and ${maxNodesWithAliases} values at most`,
    );
  }
  const value: unknown = document.toJS({ maxAliasCount: 100 });
  if (aliases > 0 && writtenOut(value) > maxBodyBytes) {
    throw new Error('the document is too large once its aliases are written out');
  }
  return exactNumbers(value);
}

const maxAliases = 50;
const maxNodesWithAliases = 5000;

/** Characters and values that a document has without aliases, which may make a small text huge. */
function writtenOut(value: unknown): number {
  const known = new Map<object, number>();
  const sizeOf = (part: unknown): number => {
    if (typeof part === 'string') return part.length + 1;
    if (typeof part !== 'object' || part === null) return 1;
    const before = known.get(part);
    if (before !== undefined) return before;
    const size = Object.entries(part).reduce((sum, [key, member]) => sum + key.length + sizeOf(member), 1);
    known.set(part, size);
    return size;
  };
  return sizeOf(value);
}

/** Integers as numbers. Throws for those that would lose digits. */
function exactNumbers(value: unknown): unknown {
  if (typeof value === 'bigint') {
    checkExact(String(value));
    return Number(value);
  }
  if (Array.isArray(value)) return value.map(exactNumbers);
  if (!isMembers(value)) return value;
  for (const key of Object.keys(value)) {
    const member = value[key];
    if (typeof member === 'bigint' || typeof member === 'object') value[key] = exactNumbers(member);
  }
  return value;
}

const beyondJson = new Set(
  ['timestamp', 'binary', 'set', 'omap', 'pairs'].map((name) => `tag:yaml.org,2002:${name}`),
);
