/** How a command ended, as clients read it on the error channel. Wording of kubelet's remotecommand. Pure. */
import type { CommandEnd } from './source.ts';

/** The forms that the error channel has had: JSON of a metav1.Status from version 4 on, words before. */
export type ErrorForm = 'status' | 'text';

/** What is written to the error channel; nothing for a success in the old form. */
export function errorChannelText(end: CommandEnd, action: string, form: ErrorForm): string {
  return form === 'status' ? JSON.stringify(statusOf(end, action)) : words(end, action);
}

function words(end: CommandEnd, action: string): string {
  if (end.kind === 'failed') return `error ${action}: ${end.message}`;
  return end.code === 0 ? '' : `error ${action}: ${nonZero(end.code)}`;
}

function nonZero(code: number): string {
  return `command terminated with non-zero exit code: exit status ${code}`;
}

function statusOf(end: CommandEnd, action: string): object {
  if (end.kind === 'failed') {
    const message = `error ${action}: ${end.message}`;
    return {
      metadata: {},
      status: 'Failure',
      message: `Internal error occurred: ${message}`,
      reason: 'InternalError',
      details: { causes: [{ message }] },
      code: 500,
    };
  }
  if (end.code === 0) return { metadata: {}, status: 'Success' };
  return {
    metadata: {},
    status: 'Failure',
    message: nonZero(end.code),
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(end.code) }] },
  };
}
