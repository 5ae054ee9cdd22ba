import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { dataOption, outputOption, quietOption, type Command } from '../command.ts';
import { dataDirectory } from '../data-dir.ts';
import { printResult, progressTo } from '../output.ts';

export const imageBuild: Command = {
  path: ['image', 'build'],
  summary: 'Build an image of a Node.js project, without a daemon',
  description:
    'Makes a real OCI image of the project in DIR and stores it under NAME: the Node.js of this machine with its libraries\n' +
    'as the base layer, then dependencies, then the app. Nothing is pulled; the same input gives the same digest.\n' +
    'Works whether or not the platform runs.',
  positionals: ['DIR'],
  options: {
    tag: {
      type: 'string',
      short: 't',
      placeholder: 'NAME',
      description:
        'name of the image, e.g. docker.io/me/app:v1 (default: registry.knapsack.local/ and the name in package.json)',
    },
    data: dataOption,
    output: outputOption,
    quiet: quietOption,
  },
  examples: [
    {
      command: 'knapsack image build .',
      explains: 'as registry.knapsack.local/ and the name in package.json',
    },
    { command: 'knapsack image build . -t docker.io/me/hello', explains: 'then use that name in a manifest' },
    {
      command: 'knapsack image build app -t registry.knapsack.local/app:v2 -o json',
      explains: 'print the digest for a script',
    },
  ],
  async run([directory = '.'], options, io) {
    const progress = progressTo(io, options['quiet'] === true);
    const began = performance.now();
    const { embeddedRegistry, ImageStore } = await import('../../image/store.ts');
    const { projectName } = await import('../../image/build/node-project.ts');
    const { buildNodeImage } = await import('../../image/build/node-image.ts');
    const { shippedImages } = await import('../../image/build/tools.ts');
    const { formatReference } = await import('../../image/reference.ts');
    const directoryOfImages = join(dataDirectory(options, io.env), 'images');
    const store = await ImageStore.open(directoryOfImages, { shipped: shippedImages() });
    const tag = options['tag'];
    const name = typeof tag === 'string' ? tag : `${embeddedRegistry}/${projectName(directory)}`;
    const built = await buildNodeImage({ directory, name, store }, (line) => progress.note(`  ${line}`));
    const image = formatReference(built.reference);
    progress.done(`built ${image}`, performance.now() - began);
    const result = { image, digest: built.digest, command: built.command };
    await printResult(io, options, result, `${image}@${built.digest}`);
    return 0;
  },
};

export const imageList: Command = {
  path: ['image', 'list'],
  summary: 'List the images in the local store',
  description: 'Names and digests of all images that were built, pushed or pulled.',
  positionals: [],
  options: { data: dataOption, output: outputOption },
  examples: [{ command: 'knapsack image list', explains: 'what is there?' }],
  async run(_positionals, options, io) {
    const images = await listImages(join(dataDirectory(options, io.env), 'images'));
    const text = images.map(({ name, digest }) => `${name}  ${digest}`).join('\n');
    await printResult(
      io,
      options,
      { images },
      text || 'no images yet; make one with `knapsack image build DIR`',
    );
    return 0;
  },
};

/** Names by tag; asking makes no store where there is none. */
async function listImages(directory: string): Promise<{ name: string; digest: string }[]> {
  if (!existsSync(directory)) return [];
  const { ImageStore } = await import('../../image/store.ts');
  const store = await ImageStore.open(directory);
  return (await store.list())
    .filter(({ name }) => !name.includes('@'))
    .map(({ name, descriptor }) => ({ name, digest: descriptor.digest }));
}
