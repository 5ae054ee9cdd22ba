/**
 * A look at SQLite's write-ahead log before SQLite recovers it (sqlite.org/fileformat2.html#walformat). Recovery stops at the
 * first frame whose checksum is wrong, and drops the rest without a word. For the end of a torn write that is right, since it
 * was never acknowledged. In the middle of the log it would lose acknowledged writes, so that is found here.
 */
import { readFileSync } from 'node:fs';
import { systemCode } from '../../base/errors.ts';

const headerBytes = 32;
const frameHeaderBytes = 24;
const magicLittleEndian = 0x377f0682;
const magicBigEndian = 0x377f0683;

/** What recovery would make of a log. */
export interface LogVerdict {
  /** Transactions that can be read. */
  readonly kept: number;
  /** Transactions behind the first unreadable frame. One may be a torn write; of two the first was acknowledged. */
  readonly behind: number;
}

/** Reads the log at `path`; a missing one holds nothing. Throws what reading the file throws. */
export function inspectLog(path: string): LogVerdict {
  let log: Buffer;
  try {
    log = readFileSync(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return { kept: 0, behind: 0 };
    throw error;
  }
  return judgeLog(log);
}

/** The same for the bytes of a log. Pure. */
export function judgeLog(log: Buffer): LogVerdict {
  const pageSize = log.length >= headerBytes ? log.readUInt32BE(8) : 0;
  if (pageSize < 512 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0) return { kept: 0, behind: 0 };
  const magic = log.readUInt32BE(0);
  const littleEndian = magic === magicLittleEndian;
  let sums: Sums = [0, 0];
  sums = checksum(sums, log.subarray(0, 24), littleEndian);
  let intact = (littleEndian || magic === magicBigEndian) && matches(sums, log, 24);
  // With a broken head the frames still say which of them belong together.
  const salt = intact ? log.subarray(16, 24) : log.subarray(headerBytes + 8, headerBytes + 16);
  let kept = 0;
  let behind = 0;
  const step = frameHeaderBytes + pageSize;
  for (let at = headerBytes; at + step <= log.length; at += step) {
    if (!log.subarray(at + 8, at + 16).equals(salt)) {
      // Frames of an earlier round of the log, which are in the file already.
      intact = false;
      continue;
    }
    if (intact) {
      sums = checksum(sums, log.subarray(at, at + 8), littleEndian);
      sums = checksum(sums, log.subarray(at + frameHeaderBytes, at + step), littleEndian);
      intact = matches(sums, log, at + 16);
    }
    // The size of the database after the commit; 0 in frames that do not end a transaction.
    if (log.readUInt32BE(at + 4) === 0) continue;
    if (intact) kept++;
    else behind++;
  }
  return { kept, behind };
}

type Sums = readonly [number, number];

function checksum([first, second]: Sums, bytes: Buffer, littleEndian: boolean): Sums {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let s0 = first;
  let s1 = second;
  for (let at = 0; at < bytes.length; at += 8) {
    s0 = (s0 + view.getUint32(at, littleEndian) + s1) >>> 0;
    s1 = (s1 + view.getUint32(at + 4, littleEndian) + s0) >>> 0;
  }
  return [s0, s1];
}

function matches([s0, s1]: Sums, log: Buffer, at: number): boolean {
  return log.readUInt32BE(at) === s0 && log.readUInt32BE(at + 4) === s1;
}
