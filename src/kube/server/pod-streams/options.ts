/** The options of exec, attach and port-forward requests, worded and defaulted as kube-apiserver and kubelet do. Pure. */
import type { Pod } from '../../../api/pods.ts';
import { ApiError } from '../../api-error.ts';
import { chooseContainer } from '../container-choice.ts';
import { flag } from '../options.ts';
import type { ContainerStreams, ExecRequest, StreamOptions } from './source.ts';

/** Words of a command, and bytes of all together. */
const maxCommandWords = 4096;
const maxCommandBytes = 128 * 1024;

/** Throws 400 when the container is not one of the pod, or none of the streams is wanted. */
export function attachRequest(pod: Pod, query: URLSearchParams): ContainerStreams {
  const { namespace = '', name } = pod.metadata;
  const container = chooseContainer(pod, query.get('container') || undefined);
  return { namespace, pod: name, container, ...streamOptions(query) };
}

/** Throws 400 likewise, and without a command. */
export function execRequest(pod: Pod, query: URLSearchParams): ExecRequest {
  const streams = attachRequest(pod, query);
  const command = query.getAll('command');
  if (command.length === 0 || command[0] === '') {
    throw new ApiError('BadRequest', 'you must specify at least one command for the container');
  }
  const bytes = command.reduce((sum, word) => sum + word.length, 0);
  if (command.length > maxCommandWords || bytes > maxCommandBytes) {
    throw new ApiError('BadRequest', 'the command is too long');
  }
  if (command.some((word) => word.includes('\0'))) {
    throw new ApiError('BadRequest', 'a word of the command contains a null character');
  }
  return { ...streams, command };
}

function streamOptions(query: URLSearchParams): StreamOptions {
  const tty = flag(query, 'tty');
  const stdin = flag(query, 'stdin');
  const stdout = flag(query, 'stdout');
  // A terminal has one output.
  const stderr = flag(query, 'stderr') && !tty;
  if (!stdin && !stdout && !stderr) {
    throw new ApiError('BadRequest', 'you must specify at least 1 of stdin, stdout, stderr');
  }
  return { stdin, stdout, stderr, tty };
}

/** The ports of an old WebSocket client, in its order. Throws 400. */
export function forwardedPorts(query: URLSearchParams): number[] {
  const ports = query
    .getAll('ports')
    .concat(query.getAll('port'))
    .flatMap((value) => value.split(','))
    .map((text) => portOf(text));
  if (ports.length === 0) throw new ApiError('BadRequest', 'query parameter "port" is required');
  if (ports.length > 64) throw new ApiError('BadRequest', 'too many ports');
  return ports;
}

/** Throws 400. */
export function portOf(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port > 0 && port < 65_536) return port;
  throw new ApiError(
    'BadRequest',
    `port ${JSON.stringify(text)} is invalid: must be a number from 1 to 65535`,
  );
}
