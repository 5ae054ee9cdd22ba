/** Reads a log forward from an offset. Holds one open file and one chunk; never sees what is not yet durable. */
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { LogFile, OpenLogFile } from './files.ts';
import type { LogRecord } from './record.ts';
import { RecordScanner, type Segment } from './segment.ts';

/** What a cursor needs to know of its log. */
export interface CursorLog {
  /** The segment that has (or will have) the offset; the oldest one for offsets that are gone. */
  segmentOf(offset: number): Segment | undefined;
  readonly openFile: OpenLogFile;
  readonly log: Logger;
}

export class LogCursor {
  readonly #source: CursorLog;
  #offset: number;
  #open: { segment: Segment; file: LogFile; scanner: RecordScanner } | undefined;

  constructor(source: CursorLog, offset: number) {
    this.#source = source;
    this.#offset = offset;
  }

  /** Offset of the record that {@link next} gives first. */
  get offset(): number {
    return this.#offset;
  }

  /** The next records in order, about 256 KiB at most; empty at the end of the log. */
  async next(): Promise<LogRecord[]> {
    for (;;) {
      const segment = this.#source.segmentOf(this.#offset);
      if (!segment) return [];
      if (this.#offset < segment.base) this.#skipTo(segment.base, 'records are gone');
      if (this.#offset >= segment.base + segment.count) return [];
      const { scanner } = await this.#openSegment(segment);
      const end = segment.base + segment.count;
      const records = await scanner.read(segment.bytes);
      if (typeof records === 'string') {
        // Only records that were once whole are read here: this is damage to the disk, not a crash.
        this.#skipTo(end, 'records cannot be read');
        await this.close();
        continue;
      }
      const wanted = records.filter((record) => record.offset >= this.#offset && record.offset < end);
      const last = wanted.at(-1);
      if (!last) continue;
      this.#offset = last.offset + 1;
      return wanted;
    }
  }

  async close(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    await open?.file.close().catch((error: unknown) => {
      this.#source.log.debug({ error: messageOf(error) }, 'event log file did not close');
    });
  }

  async #openSegment(segment: Segment): Promise<{ scanner: RecordScanner }> {
    if (this.#open?.segment === segment && this.#open.scanner.offset <= this.#offset) return this.#open;
    await this.close();
    const file = await this.#source.openFile(segment.path, 'read');
    this.#open = { segment, file, scanner: new RecordScanner(file, 0, segment.base) };
    return this.#open;
  }

  #skipTo(offset: number, reason: string): void {
    this.#source.log.error({ from: this.#offset, to: offset, reason }, 'event log skips records');
    this.#offset = offset;
  }
}
