/** Bodies of answers, read with a cap. */
import type { IncomingMessage } from 'node:http';
import { ApiError } from '../api-error.ts';

/** The largest list that is taken; clients page, so a page of 500 objects of the largest size stays below. */
const maxAnswerBytes = 256 * 1024 * 1024;
/** etcd limits an object to 1.5 MiB and kube-apiserver a request to 3 MiB; an event holds one object. */
const maxLineBytes = 16 * 1024 * 1024;

/** The whole body. */
export async function readAll(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxAnswerBytes) throw tooLarge('answer', maxAnswerBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

/** The lines of an endless body, without empty ones. A line without its end is dropped: the event was cut off. */
export async function* readLines(
  response: AsyncIterable<Buffer>,
  maxBytes = maxLineBytes,
): AsyncGenerator<string> {
  let parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      parts.push(chunk.subarray(start, end));
      if (size + end - start > maxBytes) throw tooLarge('watch event', maxBytes);
      const line = Buffer.concat(parts).toString();
      parts = [];
      size = 0;
      start = end + 1;
      if (line.trim() !== '') yield line;
    }
    if (start < chunk.length) {
      parts.push(chunk.subarray(start));
      size += chunk.length - start;
      if (size > maxBytes) throw tooLarge('watch event', maxBytes);
    }
  }
}

function tooLarge(what: string, limit: number): ApiError {
  return new ApiError('InternalError', `the ${what} is larger than ${limit} bytes`);
}
