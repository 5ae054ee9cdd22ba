/** Controllers of what is reached by name: services, what is behind them, and Ingresses. */
import type { Controller, ControllerEnv } from '../kube/controller/controller.ts';
import type { EventRecorder } from '../kube/controller/recorder.ts';
import { endpointMirroringController } from './endpoint-mirroring.ts';
import { endpointsController } from './endpoints.ts';
import { ingressController, type IngressOptions } from './ingress/index.ts';

export interface NetworkOptions {
  /** How Ingresses are served; without it they are only stored. */
  readonly ingress?: IngressOptions;
}

export function networkControllers(
  env: ControllerEnv,
  recorder: (component: string) => EventRecorder,
  { ingress }: NetworkOptions,
): Controller[] {
  return [
    endpointsController(env),
    endpointMirroringController(env),
    ...(ingress ? [ingressController(env, recorder('ingress-controller'), ingress)] : []),
  ];
}
