/**
 * Blobs. All repositories share one blob store, so a mount never copies; a blob that an image still needs cannot be
 * deleted.
 */
import { pipeline } from 'node:stream/promises';
import { RegistryError } from './errors.ts';
import { answerEmpty, requireDigestText, type Exchange } from './exchange.ts';

/** GET and HEAD /v2/NAME/blobs/DIGEST, with single byte ranges. */
export async function getBlob(exchange: Exchange): Promise<void> {
  const { store, request, response } = exchange;
  const digest = requireDigestText(exchange.reference);
  const size = await store.blobSize(digest);
  if (size === undefined) throw new RegistryError('BLOB_UNKNOWN', `blob ${digest} is not known`);
  const headers = {
    'content-type': 'application/octet-stream',
    'docker-content-digest': digest,
    'accept-ranges': 'bytes',
    etag: `"${digest}"`,
  };
  const range = parseRange(request.headers.range, size);
  if (range === 'unsatisfiable') {
    answerEmpty(exchange, 416, { 'content-range': `bytes */${size}` });
    return;
  }
  const length = range ? range.end - range.start + 1 : size;
  response.writeHead(range ? 206 : 200, {
    ...headers,
    'content-length': String(length),
    ...(range && { 'content-range': `bytes ${range.start}-${range.end}/${size}` }),
  });
  if (request.method === 'HEAD' || length === 0) response.end();
  else await pipeline(store.openBlob(digest, range), response);
}

/** Only `bytes=FIRST-LAST` and `bytes=FIRST-`: clients resume with these; anything else is refused, not guessed at. */
function parseRange(
  header: string | undefined,
  size: number,
): { start: number; end: number } | 'unsatisfiable' | undefined {
  if (header === undefined) return undefined;
  const match = /^bytes=(\d{1,15})-(\d{0,15})$/.exec(header);
  if (!match) return 'unsatisfiable';
  const start = Number(match[1]);
  const end = match[2] ? Math.min(Number(match[2]), size - 1) : size - 1;
  return start >= size || end < start ? 'unsatisfiable' : { start, end };
}

/** DELETE /v2/NAME/blobs/DIGEST. */
export async function deleteBlob(exchange: Exchange): Promise<void> {
  const digest = requireDigestText(exchange.reference);
  const { store } = exchange;
  if ((await store.reachable()).has(digest)) {
    throw new RegistryError(
      'UNSUPPORTED',
      `blob ${digest} is part of a stored image; delete its manifests first`,
    );
  }
  if (!(await store.deleteBlob(digest))) {
    throw new RegistryError('BLOB_UNKNOWN', `blob ${digest} is not known`);
  }
  answerEmpty(exchange, 202);
}
