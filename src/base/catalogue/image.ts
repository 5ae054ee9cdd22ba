import type { CatalogueEntry } from './entry.ts';

export const imageErrors = {
  IMAGE_NOT_FOUND: {
    cause: 'An image is neither in the local store nor in the registry that its name says.',
    status: 0,
    remedy: 'Check the name, or build it with `knapsack image build DIR -t NAME`.',
    blame: 'user',
  },
  IMAGE_NAME_INVALID: {
    cause: 'An image name does not follow the grammar [HOST[:PORT]/]PATH[:TAG][@DIGEST].',
    status: 0,
    remedy: 'Correct the name: lower-case path, tag of at most 128 characters, digest as sha256:HEX.',
    blame: 'user',
  },
  IMAGE_DIGEST_MISMATCH: {
    cause: 'Bytes do not have the digest that was promised for them.',
    status: 0,
    remedy: 'Fetch or build the image again; when it repeats, the registry or the disk is damaged.',
    blame: 'system',
  },
  IMAGE_TOO_LARGE: {
    cause: 'A part of an image is larger than the limit for it.',
    status: 0,
    remedy: 'Make the image smaller: exclude files with .dockerignore, split data from code.',
    blame: 'user',
  },
  IMAGE_MANIFEST_INVALID: {
    cause: 'The manifest or config of an image is not one that the OCI image specification describes.',
    status: 0,
    remedy: 'Build the image again with a tool that writes OCI or Docker schema 2 images.',
    blame: 'user',
  },
  IMAGE_ARCHIVE_UNSAFE: {
    cause: 'A layer holds an entry that would be written outside of the image, or is not a readable archive.',
    status: 0,
    remedy: 'Do not use this image; build it again from a source that you trust.',
    blame: 'user',
  },
  IMAGE_PLATFORM_MISSING: {
    cause: 'An image has no variant for this machine.',
    status: 0,
    remedy: 'Choose an image for this operating system and processor, or build one.',
    blame: 'user',
  },
  IMAGE_REGISTRY_UNREACHABLE: {
    cause: 'The registry that an image name says cannot be reached.',
    status: 0,
    remedy: 'Check the network, or build the image locally under that name with `knapsack image build`.',
    blame: 'system',
  },
  IMAGE_REGISTRY_REFUSED: {
    cause: 'A registry refused a request, most often for want of credentials.',
    status: 0,
    remedy: 'Give credentials with an image pull secret, and check that they may read the repository.',
    blame: 'user',
  },
  IMAGE_STORE_BUSY: {
    cause: 'Another process holds the lock of the image store for too long.',
    status: 0,
    remedy: 'Wait for the other `knapsack image` command, or end it, and try again.',
    blame: 'system',
  },
  IMAGE_BUILD_NO_PROJECT: {
    cause: 'The directory to build an image from does not hold a Node.js project.',
    status: 0,
    remedy: 'Name a directory with a package.json, or with an index.js or server.js.',
    blame: 'user',
  },
  IMAGE_BUILD_NO_COMMAND: {
    cause: 'It is not clear how the project is started.',
    status: 0,
    remedy: 'Give package.json a script "start" of the form "node FILE", or a "main".',
    blame: 'user',
  },
  IMAGE_BUILD_DEPENDENCIES: {
    cause: 'The dependencies of a project could not be installed.',
    status: 0,
    remedy: 'Run `npm install` in the project and look at what it says, then build again.',
    blame: 'user',
  },
  IMAGE_BUILD_UNSAFE_LINK: {
    cause: 'A symbolic link of the project points outside of it.',
    status: 0,
    remedy: 'Copy the target into the project, or exclude the link with .dockerignore.',
    blame: 'user',
  },
} as const satisfies Record<string, CatalogueEntry>;
