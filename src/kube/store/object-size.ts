/** How large an object may be: as large as etcd takes it (`--max-request-bytes`). */

/** Bytes. */
export const maxObjectBytes = 1.5 * 1024 * 1024;

export class ObjectTooLarge extends Error {
  override name = 'ObjectTooLarge';

  constructor() {
    super(`Request entity too large: limit is ${maxObjectBytes}`);
  }
}

/**
 * Bytes of an object without what JSON adds to texts: etcd has Kubernetes' own kinds as protobuf, where a mebibyte of
 * quotation marks is one.
 */
export function plainBytes(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (typeof value !== 'object' || value === null) return 1;
  let bytes = 2;
  if (Array.isArray(value)) for (const item of value) bytes += 1 + plainBytes(item);
  else {
    const members = value as Readonly<Record<string, unknown>>;
    for (const key of Object.keys(members)) {
      if (members[key] !== undefined) bytes += 2 + Buffer.byteLength(key) + plainBytes(members[key]);
    }
  }
  return bytes;
}
