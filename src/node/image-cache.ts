/** Fetches and unpacks the images that `caching.internal.knative.dev` Images name, so that a cold start need not. */
import { messageOf } from '../base/errors.ts';
import { images as imageResource } from '../api/caching/index.ts';
import type { Controller, ControllerEnv } from '../kube/controller/controller.ts';
import type { ImageProvider } from './images.ts';

/** An image that cannot be had is tried again, ms: it may be pushed later. */
const retryMs = 60_000;

export function imageCacheController(env: ControllerEnv, images: ImageProvider): Controller {
  const informer = env.informers.for(imageResource);
  return {
    name: 'image-cache',
    root: imageResource,
    concurrency: 2,
    async reconcile({ namespace, name }, { log }) {
      const image = informer.get(`${namespace}/${name}`)?.spec?.image;
      if (image === undefined) return undefined;
      try {
        await images.ensure(image, 'IfNotPresent');
        return undefined;
      } catch (error) {
        log.info({ image, error: messageOf(error) }, 'image not cached');
        return { requeueAfter: retryMs };
      }
    },
  };
}
