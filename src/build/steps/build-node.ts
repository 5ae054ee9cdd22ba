/**
 * Build step: makes an image of the Node.js project in the workspace and pushes it.
 * `--image NAME --directory DIR [--base NAME]`; the environment says where the embedded registry is.
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildNodeImage } from '../../image/build/node-image.ts';
import { baseImageName } from '../../image/build/base.ts';
import { RegistryClient } from '../../image/client/client.ts';
import { dockerCredentials } from '../../image/client/docker-config.ts';
import { pushImage, remoteBase } from '../../image/client/transfer.ts';
import { parseReference } from '../../image/reference.ts';
import { embeddedRegistry, ImageStore } from '../../image/store.ts';
import { runStep, StepArguments } from './step.ts';

export interface NodeBuild {
  readonly image: string;
  readonly directory: string;
  readonly base: string;
  /** Where build files may lie. */
  readonly scratch: string;
  /** Base URL of the embedded registry. */
  readonly registry?: string;
  /** Hosts that mean the embedded registry. */
  readonly aliases: readonly string[];
  /** Text of a Docker config.json. */
  readonly dockerConfig?: string;
}

/** Builds upon a base that stays in its registry: only the project's own layers are made and sent. Returns the digest. */
export async function buildAndPush(build: NodeBuild, print: (line: string) => void): Promise<string> {
  const endpoints = new Map<string, URL>();
  if (build.registry !== undefined) {
    for (const host of [embeddedRegistry, ...build.aliases]) endpoints.set(host, new URL(build.registry));
  }
  const client = new RegistryClient({ endpoints, credentials: dockerCredentials(build.dockerConfig) });
  const base = await remoteBase(client, parseReference(build.base));
  const scratch = await mkdtemp(join(build.scratch, 'images-'));
  try {
    const store = await ImageStore.open(scratch);
    const options = { directory: build.directory, name: build.image, store, base };
    const image = await buildNodeImage(options, print);
    const { reference, descriptor } = image;
    print(`pushing to ${client.endpoint(reference.registry).host}`);
    return await pushImage(client, store, { descriptor, reference, base: base.reference }, print);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function readOptional(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

if (import.meta.main) {
  await runStep(async () => {
    const args = new StepArguments(['image', 'directory', 'base']);
    const { env } = process;
    const home = env['HOME'] ?? tmpdir();
    const dockerConfig = readOptional(join(env['DOCKER_CONFIG'] ?? join(home, '.docker'), 'config.json'));
    const registry = env['KNAPSACK_REGISTRY'];
    const digest = await buildAndPush(
      {
        image: args.required('image'),
        directory: args.required('directory'),
        base: args.optional('base') ?? baseImageName,
        scratch: home,
        ...(registry && { registry }),
        aliases: (env['KNAPSACK_REGISTRY_ALIASES'] ?? '').split(',').filter((host) => host !== ''),
        ...(dockerConfig !== undefined && { dockerConfig }),
      },
      (line) => console.log(line),
    );
    return JSON.stringify([{ name: 'IMAGE_DIGEST', value: digest }]);
  });
}
