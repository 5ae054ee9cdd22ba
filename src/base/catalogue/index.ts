import { buildErrors } from './build.ts';
import { cliErrors } from './cli.ts';
import { eventingErrors } from './eventing.ts';
import { gatewayErrors } from './gateway.ts';
import { imageErrors } from './image.ts';
import { nodeErrors } from './node.ts';
import { storeErrors } from './store.ts';

/** The error catalogue. Codes are unique across areas: a duplicate would be lost here, and a test counts them. */
export const catalogue = {
  ...buildErrors,
  ...cliErrors,
  ...eventingErrors,
  ...gatewayErrors,
  ...imageErrors,
  ...nodeErrors,
  ...storeErrors,
} as const;

export type ErrorCode = keyof typeof catalogue;

/** The areas, for the documentation page and the uniqueness test. */
export const areas = {
  gateway: gatewayErrors,
  eventing: eventingErrors,
  build: buildErrors,
  image: imageErrors,
  node: nodeErrors,
  store: storeErrors,
  cli: cliErrors,
} as const;
