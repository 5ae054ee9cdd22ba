import { pino, type Logger as PinoLogger } from 'pino';

/** Structured logger: a constant message plus fields, `log.info({ pod }, 'pod started')`. */
export type Logger = PinoLogger;

/** Makes the root logger. `level` is a pino level; `silent` for tests. `file` appends there instead of stderr. */
export function createLogger(options: { level?: string; file?: string } = {}): Logger {
  const destination = options.file
    ? pino.destination({ dest: options.file, append: true, mkdir: true, sync: false })
    : pino.destination({ dest: 2, sync: false });
  return pino({ level: options.level ?? 'info', base: null }, destination);
}

/** A logger that writes nothing. */
export const silentLogger: Logger = pino({ level: 'silent' });
