/** The first-run example: builds an image from source, deploys it at zero, and times the request that wakes it. */
import { fileURLToPath } from 'node:url';
import { http } from '../base/http.ts';
import { KnapsackError } from '../base/errors.ts';
import { isAlreadyExists } from '../kube/api-error.ts';
import { knativeServices, type KnativeService } from '../api/serving/index.ts';
import type { Platform } from '../main.ts';
import type { Progress } from './output.ts';

const { request } = http;

const image = 'registry.knapsack.local/examples/hello';
const readyTimeoutMs = 60_000;
/** Most bytes of the example's answer that are read. */
const maxAnswer = 64 * 1024;

/** Deploys `hello` in namespace default and shows its answer and cold start. Does nothing when it is there already. */
export async function deployHello(
  platform: Platform,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const began = performance.now();
  const directory = fileURLToPath(new URL('../../examples/helloworld-nodejs', import.meta.url));
  await platform.buildImage({ directory, name: image });
  progress.done('example image built from examples/helloworld-nodejs', performance.now() - began);

  const deployed = performance.now();
  try {
    await platform.client.create(knativeServices, makeHello());
  } catch (error) {
    if (isAlreadyExists(error)) return;
    throw error;
  }
  const url = await waitForUrl(platform, signal);
  progress.done(`service hello is ready at ${url}, with no pod running`, performance.now() - deployed);

  const cold = await timedGet(platform.gateway, new URL(url).host);
  const warm = await timedGet(platform.gateway, new URL(url).host);
  progress.done(`from zero it answered "${cold.body}"`, cold.ms);
  progress.done('and the next request, now warm, took', warm.ms);
}

/** Starts at zero, so that the first request shows a real cold start. */
function makeHello(): KnativeService {
  return {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name: 'hello', namespace: 'default' },
    spec: {
      template: {
        metadata: { annotations: { 'autoscaling.knative.dev/initial-scale': '0' } },
        spec: {
          containers: [{ name: 'user-container', image, env: [{ name: 'TARGET', value: 'Knapsack' }] }],
        },
      },
    },
  };
}

async function waitForUrl(platform: Platform, signal: AbortSignal): Promise<string> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(readyTimeoutMs)]);
  let last = 'no status yet';
  try {
    const watch = platform.client.watch(knativeServices, {
      namespace: 'default',
      fieldSelector: 'metadata.name=hello',
      signal: limit,
    });
    for await (const event of watch) {
      if (event.type === 'BOOKMARK') continue;
      const { status } = event.object;
      const ready = status?.conditions?.find((condition) => condition.type === 'Ready');
      if (ready?.status === 'True' && status?.url) return status.url;
      if (ready) last = `${ready.reason ?? ready.status}: ${ready.message ?? ''}`;
    }
  } catch (error) {
    if (!limit.aborted) throw error;
  }
  throw new KnapsackError('CLI_EXAMPLE_FAILED', `service hello did not become ready: ${last}`);
}

function timedGet(gateway: string, host: string): Promise<{ body: string; ms: number }> {
  const began = performance.now();
  return new Promise((resolve, reject) => {
    const call = request(gateway, { headers: { host } }, (response) => {
      const ms = performance.now() - began;
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
        if (body.length > maxAnswer) response.destroy();
      });
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode === 200) resolve({ body, ms });
        else
          reject(
            new KnapsackError(
              'CLI_EXAMPLE_FAILED',
              `the gateway answered ${response.statusCode}: ${body.trim()}`,
            ),
          );
      });
    });
    call.on('error', reject);
    call.end();
  });
}
