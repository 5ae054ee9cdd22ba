/** Schedules of a PingSource: five fields, or six with seconds first, or a descriptor such as @hourly. */
import { Cron } from 'croner';
import { messageOf } from '../../base/errors.ts';

/** Computes when a schedule fires. */
export interface Schedule {
  /** The first firing after `after` (ms since the epoch), or undefined when there is none any more. */
  next(after: number): number | undefined;
}

/** Text that is no schedule, or a time zone that nobody knows. */
export class InvalidScheduleError extends Error {
  override name = 'InvalidScheduleError';
  readonly field: 'schedule' | 'timezone';
  constructor(field: 'schedule' | 'timezone', message: string) {
    super(message);
    this.field = field;
  }
}

const descriptors: Record<string, string> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};

/**
 * `timezone` is an IANA name; absent means UTC, and so does a schedule without the `CRON_TZ=…` or `TZ=…` prefix.
 * @throws InvalidScheduleError
 */
export function parseSchedule(schedule: string, timezone?: string): Schedule {
  const prefixed = /^(?:CRON_TZ|TZ)=(\S+)\s+(.*)$/s.exec(schedule.trim());
  if (prefixed && timezone) {
    throw new InvalidScheduleError('schedule', 'a time zone is set twice: in the schedule and in timezone');
  }
  const zone = timezone || prefixed?.[1] || 'UTC';
  if (!isTimeZone(zone)) throw new InvalidScheduleError('timezone', `provided bad location ${zone}`);
  const text = (prefixed?.[2] ?? schedule).trim();
  if (text.startsWith('@') && !(text in descriptors)) {
    const reason = text.startsWith('@every')
      ? 'unsupported descriptor @every'
      : `unrecognized descriptor: ${text}`;
    throw new InvalidScheduleError('schedule', reason);
  }
  // `?` is another way to say `*`; the library takes it for "now".
  const pattern = (descriptors[text] ?? text).replaceAll('?', '*');
  const fields = pattern.split(/\s+/).length;
  if (text === '' || fields < 5 || fields > 6) {
    throw new InvalidScheduleError(
      'schedule',
      `expected 5 to 6 fields, found ${text === '' ? 0 : fields}: ${schedule}`,
    );
  }
  let cron: Cron;
  try {
    cron = new Cron(pattern, { timezone: zone, paused: true });
  } catch (error) {
    throw new InvalidScheduleError('schedule', messageOf(error));
  }
  return { next: (after) => cron.nextRun(new Date(after))?.getTime() };
}

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}
