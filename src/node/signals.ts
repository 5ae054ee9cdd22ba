/** Signals that end a container politely. */

const politeSignals = new Set([
  'SIGTERM',
  'SIGINT',
  'SIGQUIT',
  'SIGHUP',
  'SIGUSR1',
  'SIGUSR2',
  'SIGWINCH',
  'SIGKILL',
]);

/** An image's StopSignal (`SIGQUIT`, `QUIT`, `3`) as Node.js names signals; SIGTERM for anything unusual. */
export function signalOf(text: string | undefined): NodeJS.Signals {
  if (!text) return 'SIGTERM';
  const numbers: Record<string, string> = {
    1: 'SIGHUP',
    2: 'SIGINT',
    3: 'SIGQUIT',
    9: 'SIGKILL',
    10: 'SIGUSR1',
    12: 'SIGUSR2',
    28: 'SIGWINCH',
  };
  const upper = text.toUpperCase();
  const name = numbers[upper] ?? (upper.startsWith('SIG') ? upper : `SIG${upper}`);
  return politeSignals.has(name) ? (name as NodeJS.Signals) : 'SIGTERM';
}
