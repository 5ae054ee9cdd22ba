import type { CatalogueEntry } from './entry.ts';

export const nodeErrors = {
  NODE_NO_DRIVER: {
    cause: 'The pod driver that was asked for cannot run on this machine.',
    status: 0,
    remedy: 'Install what the message names, or start with --driver process.',
    blame: 'user',
  },
  NODE_NETWORK_FAILED: {
    cause: 'The network of pods (a bridge, or the veth pair of one pod) could not be set up.',
    status: 0,
    remedy: 'Read the message of `ip` in the error; check that no other program uses the same address range.',
    blame: 'system',
  },
  NODE_RUNTIME_FAILED: {
    cause: 'The container runtime, or the shell that runs it, failed outside of any one container.',
    status: 0,
    remedy: 'Read the message of the runtime in the error; check disk space, mounts and cgroups.',
    blame: 'system',
  },
  NODE_VOLUME_UNSAFE: {
    cause: 'A volume path or sub-path leads out of its volume.',
    status: 0,
    remedy: 'Use relative paths without `..`, and no symbolic links that leave the volume.',
    blame: 'user',
  },
  NODE_CONTAINER_CONFIG: {
    cause:
      'A container cannot be configured: something that its pod names does not exist or has a wrong form.',
    status: 0,
    remedy:
      'Read the message of the waiting container in `kubectl describe pod`, and create or mend what it names.',
    blame: 'user',
  },
} as const satisfies Record<string, CatalogueEntry>;
