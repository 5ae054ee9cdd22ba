/**
 * Knative Serving: its controllers, and the two parts that sit between them and the gateway. How it is put together:
 *
 * ```ts
 * const serving = servingControllers(env, { requestPath, images, gateway });
 * await serving.start();                                    // settings, routing snapshot, statistics
 * const kernel = await startControllers(serving.controllers, env);
 * …
 * await kernel.stop();
 * serving.close();
 * ```
 */
import type { Pod } from '../api/pods.ts';
import type { RequestPath } from '../api/routing.ts';
import type { Controller, ControllerEnv } from '../kube/controller/controller.ts';
import { Autoscaler } from './autoscaler/autoscaler.ts';
import { ensureConfigMaps, ServingConfigStore } from './config-store.ts';
import { configurationController } from './configuration/configuration.ts';
import type { GatewayAddress, ImageResolver, ServingEnv } from './env.ts';
import { garbageCollectorController } from './garbage-collector/garbage-collector.ts';
import { ingressController } from './ingress/ingress.ts';
import { hpaController } from './pod-autoscaler/hpa.ts';
import { podAutoscalerController } from './pod-autoscaler/pod-autoscaler.ts';
import { revisionController } from './revision/revision.ts';
import { labelerController } from './route/labeler.ts';
import { routeController } from './route/route.ts';
import { RoutePublisher } from './routing/publisher.ts';
import { serverlessServiceController } from './serverless-service/serverless-service.ts';
import { serviceController } from './service/service.ts';

export type { GatewayAddress, ImageResolver } from './env.ts';

export interface ServingOptions {
  readonly requestPath: RequestPath;
  readonly images: ImageResolver;
  /** Where programs inside find the gateway; placeholder Services lead there. */
  readonly gateway: { readonly public: GatewayAddress; readonly private: GatewayAddress };
}

export interface Serving {
  readonly controllers: readonly Controller[];
  /** Live settings. */
  readonly config: ServingConfigStore;
  /** A pod's new status, told before it is in the API. Optional: without it a waiting request waits one write longer. */
  announce(pod: Pod): void;
  /** Creates missing settings, reads them, publishes the routes that exist and listens to the gateway. */
  start(): Promise<void>;
  /** Stop the kernel first. */
  close(): void;
}

export function servingControllers(controllerEnv: ControllerEnv, options: ServingOptions): Serving {
  const config = new ServingConfigStore(controllerEnv.log);
  const env: ServingEnv = { ...controllerEnv, config };
  const { requestPath, images, gateway } = options;
  const publisher = new RoutePublisher(env.informers, requestPath, env.log);
  const autoscaler = new Autoscaler(env);
  return {
    config,
    controllers: [
      serviceController(env),
      configurationController(env),
      revisionController(env, images),
      routeController(env),
      labelerController(env),
      ingressController(env, publisher, gateway),
      podAutoscalerController(env, { autoscaler, publisher, requestPath }),
      hpaController(env),
      serverlessServiceController(env),
      garbageCollectorController(env),
    ],
    announce: (pod) => publisher.announce(pod),
    async start() {
      await ensureConfigMaps(env.client);
      await config.start(env.informers);
      await publisher.start();
      autoscaler.start(requestPath);
    },
    close() {
      autoscaler.close();
      publisher.close();
      config.close();
    },
  };
}
