/** Keeps account of who did what through the API (kubernetes apiserver `pkg/audit`). */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../../../base/clock.ts';
import type { AuditLog } from './log.ts';
import { isAudited, isLasting, type AuditChoice } from './policy.ts';
import { AuditRecord } from './record.ts';

export interface AuditOptions {
  readonly choice: AuditChoice;
  readonly log: Pick<AuditLog, 'append'>;
  readonly clock: Clock;
}

export class Audit {
  readonly #options: AuditOptions;

  constructor(options: AuditOptions) {
    this.#options = options;
  }

  /** Begins the account of a request, and tells its client the id that it has in the log. */
  begin(request: IncomingMessage, response: ServerResponse): AuditRecord {
    const record = new AuditRecord(request, this.#options.clock.now());
    response.setHeader('audit-id', record.id);
    return record;
  }

  /** The request is let through. Those that may last for hours are written down now and at their end. */
  allowed(record: AuditRecord): void {
    if (!isLasting(record.attributes)) return;
    const { choice, log, clock } = this.#options;
    if (isAudited(choice, record.attributes, 0)) log.append(record.event('RequestReceived', 0, clock.now()));
  }

  /** The request has ended, with the answer's code. */
  end(record: AuditRecord, code: number): void {
    const { choice, log, clock } = this.#options;
    if (!isAudited(choice, record.attributes, code)) return;
    log.append(record.event('ResponseComplete', code, clock.now()));
  }
}
