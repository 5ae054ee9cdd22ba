/**
 * One record of the event log on disk, all numbers little-endian:
 *
 *     length u32 | crc32 u32 | time f64 | payload …
 *
 * `length` counts time and payload; the checksum covers length, time and payload, so that a length torn by a crash is
 * not believed. `time` is when the record was appended, milliseconds since the epoch.
 */
import { crc32 } from 'node:zlib';

export const headerBytes = 8;
const timeBytes = 8;

/** Largest payload of a record. Keeps a corrupt length from asking for the whole memory. */
export const maxPayloadBytes = 64 * 1024 * 1024;

export interface LogRecord {
  readonly offset: number;
  /** When it was appended, milliseconds since the epoch. */
  readonly time: number;
  readonly payload: Buffer;
}

export function encodeRecord(time: number, payload: Buffer): Buffer {
  const record = Buffer.allocUnsafe(headerBytes + timeBytes + payload.length);
  record.writeUInt32LE(timeBytes + payload.length, 0);
  record.writeDoubleLE(time, headerBytes);
  payload.copy(record, headerBytes + timeBytes);
  record.writeUInt32LE(checksum(record), 4);
  return record;
}

/** What stands at `position` of the bytes. */
export type Parsed =
  | { readonly kind: 'record'; readonly time: number; readonly payload: Buffer; readonly end: number }
  /** The bytes end before the record does; `need` is how many it takes from `position` on, as far as is known. */
  | { readonly kind: 'short'; readonly need: number }
  | { readonly kind: 'corrupt' };

/** Reads one record. The payload is a view into `bytes`. */
export function parseRecord(bytes: Buffer, position: number): Parsed {
  if (bytes.length - position < headerBytes) return { kind: 'short', need: headerBytes };
  const length = bytes.readUInt32LE(position);
  if (length < timeBytes || length > timeBytes + maxPayloadBytes) return { kind: 'corrupt' };
  const end = position + headerBytes + length;
  if (end > bytes.length) return { kind: 'short', need: headerBytes + length };
  const record = bytes.subarray(position, end);
  if (record.readUInt32LE(4) !== checksum(record)) return { kind: 'corrupt' };
  return {
    kind: 'record',
    time: record.readDoubleLE(headerBytes),
    payload: record.subarray(headerBytes + timeBytes),
    end,
  };
}

function checksum(record: Buffer): number {
  return crc32(record.subarray(headerBytes), crc32(record.subarray(0, 4)));
}
