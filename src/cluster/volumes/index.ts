/** Controllers of storage. */
import type { Controller, ControllerEnv } from '../../kube/controller/controller.ts';
import type { EventRecorder } from '../../kube/controller/recorder.ts';
import { claimController } from './claim.ts';
import { ephemeralVolumeController } from './ephemeral.ts';
import { HostPathVolumes } from './host-path.ts';
import { volumeController } from './volume.ts';

export interface VolumeOptions {
  /** Where volumes are made; without it nobody acts for the provisioner `knapsack.dev/host-path`. */
  readonly volumesDir?: string;
}

export function volumeControllers(
  env: ControllerEnv,
  recorder: (component: string) => EventRecorder,
  { volumesDir }: VolumeOptions,
): Controller[] {
  const provisioner = volumesDir === undefined ? undefined : new HostPathVolumes(volumesDir);
  const events = recorder('persistentvolume-controller');
  return [
    claimController(env, events, provisioner),
    volumeController(env, events, provisioner),
    ephemeralVolumeController(env, recorder('ephemeral_volume')),
  ];
}
