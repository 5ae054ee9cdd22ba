/** JSON patch (RFC 6902) with the failures of Go's implementation (evanphx/json-patch), which Kubernetes uses. */
import jsonPatchLibrary, { type Operation } from 'fast-json-patch';
import { isMembers } from '../../../../api/structural-members.ts';
import { ApiError } from '../../../api-error.ts';
import { badRequest } from '../errors.ts';
import { isUnsafeKey } from './merge.ts';

/** As in Kubernetes: more would let one request hold the server for long. */
const maxOperations = 10_000;
/** Copies may double a document each time: their sum is bounded like a request body. */
const maxCopied = 3 * 1024 * 1024;
const operations = new Set(['add', 'remove', 'replace', 'move', 'copy', 'test']);

/** Applies all operations or none; the target is not changed. */
export function jsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) {
    throw badRequest('json: cannot unmarshal object into Go value of type jsonpatch.Patch');
  }
  if (patch.length > maxOperations) {
    throw new ApiError(
      'RequestEntityTooLarge',
      `The allowed maximum operations in a JSON patch is ${maxOperations}, got ${patch.length}`,
    );
  }
  // Copied once; the operations then work in place, on values of their own.
  let document: unknown = structuredClone(target);
  let copied = 0;
  for (const given of structuredClone(patch) as unknown[]) {
    const operation = placed(document, checkOperation(given));
    if (operation.op === 'test' && operation.value === null && isMissing(document, operation.path)) continue;
    if (operation.op === 'copy') {
      copied += copySize(document, operation.from);
      if (copied > maxCopied) {
        throw refused(
          `Unable to complete the copy, the accumulated size increase of copy is ${copied}, exceeding the limit ${maxCopied}`,
        );
      }
    }
    document = step(document, operation);
  }
  return document;
}

/** Bytes of JSON at a pointer; 0 when there is nothing, which the operation itself will report. */
function copySize(document: unknown, pointer: string): number {
  try {
    const value: unknown = jsonPatchLibrary.getValueByPointer(document, pointer);
    return JSON.stringify(value)?.length ?? 0;
  } catch {
    return 0;
  }
}

function checkOperation(operation: unknown): Operation {
  if (!isMembers(operation))
    throw badRequest('json: cannot unmarshal patch operation into Go value of type jsonpatch.Operation');
  const { op, path, from } = operation;
  if (typeof op !== 'string' || !operations.has(op)) throw refused(`Unexpected kind: ${String(op)}`);
  if (typeof path !== 'string') throw refused(`${op} operation does not apply: doc is missing path`);
  if ((op === 'move' || op === 'copy') && typeof from !== 'string') {
    throw refused(`${op} operation does not apply: doc is missing from path: missing value`);
  }
  for (const pointer of [path, from]) {
    if (typeof pointer === 'string' && pointer.split('/').some(isUnsafeKey)) {
      throw refused(`${op} operation does not apply: path ${pointer} is not allowed`);
    }
  }
  return operation as unknown as Operation;
}

/**
 * The operation with plain indices, and a value. As in Go's implementation a negative index counts from the end (`-1` is
 * the last item, or the place behind it for `add`), and an operation without a value means null.
 */
function placed(document: unknown, operation: Operation): Operation {
  const { op } = operation;
  const inserts = op === 'add' || op === 'move' || op === 'copy';
  const result = { ...operation, path: plainPointer(document, operation.path, inserts) } as Operation;
  if ((result.op === 'move' || result.op === 'copy') && 'from' in operation) {
    result.from = plainPointer(document, operation.from, false);
  }
  if (
    (result.op === 'add' || result.op === 'replace' || result.op === 'test') &&
    result.value === undefined
  ) {
    result.value = null;
  }
  return result;
}

function plainPointer(document: unknown, pointer: string, inserts: boolean): string {
  if (!/\/-\d/.test(pointer)) return pointer;
  const tokens = pointer.split('/');
  let at: unknown = document;
  for (const [i, token] of tokens.entries()) {
    if (i === 0) continue;
    if (Array.isArray(at) && /^-\d{1,9}$/.test(token)) {
      const length = inserts && i === tokens.length - 1 ? at.length + 1 : at.length;
      const index = length + Number(token);
      // Before the first: left as it is, for the operation to refuse.
      if (index < 0) return pointer;
      tokens[i] = String(index);
    }
    at = childOf(at, tokens[i] ?? '');
  }
  return tokens.join('/');
}

function childOf(value: unknown, token: string): unknown {
  if (Array.isArray(value)) return /^\d+$/.test(token) ? (value[Number(token)] as unknown) : undefined;
  const name = token.replaceAll('~1', '/').replaceAll('~0', '~');
  return isMembers(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

/** Whether a member is absent from a map that is there. */
function isMissing(document: unknown, pointer: string): boolean {
  const [, ...tokens] = pointer.split('/');
  const last = tokens.pop();
  const parent = tokens.reduce(childOf, document);
  return last !== undefined && isMembers(parent) && childOf(parent, last) === undefined;
}

function step(document: unknown, operation: Operation): unknown {
  try {
    return jsonPatchLibrary.applyPatch(document, [operation], true, true, true).newDocument;
  } catch (error) {
    const name = error instanceof Error ? error.name : '';
    throw refused(goWords(operation, name));
  }
}

function goWords(operation: Operation, errorName: string): string {
  const { op, path } = operation;
  const last = path.slice(path.lastIndexOf('/') + 1);
  if (op === 'test') return `testing value ${path} failed: test failed`;
  if (errorName === 'OPERATION_VALUE_OUT_OF_BOUNDS' || errorName === 'OPERATION_PATH_ILLEGAL_ARRAY_INDEX') {
    return `${op} operation does not apply: doc is missing path: ${JSON.stringify(path)}: invalid index referenced`;
  }
  if (op === 'remove') {
    return `error in remove for path: '${path}': Unable to remove nonexistent key: ${last}: missing value`;
  }
  if (op === 'replace') return `replace operation does not apply: doc is missing key: ${path}: missing value`;
  return `${op} operation does not apply: doc is missing path: ${JSON.stringify(path)}: missing value`;
}

/** Kubernetes answers 422 with a general text; the cause tells which operation it was. */
function refused(why: string): ApiError {
  return new ApiError('Invalid', 'the server rejected our request due to an error in our request', {
    causes: [{ reason: 'UnexpectedServerResponse', message: why }],
  });
}
