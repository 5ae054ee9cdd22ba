/** What the build controller has to know about where it runs. */
import { baseImageName } from '../image/build/base.ts';
import { gitToolsName } from '../image/build/tools.ts';

export interface BuildConfig {
  /** Images of the containers that Knapsack itself adds to a build's pod. */
  readonly images: {
    /** Has git, and Knapsack's build steps under `toolsDirectory`. */
    readonly git: string;
    /** Has Knapsack's build steps. */
    readonly credentials: string;
    /** Has node. */
    readonly nop: string;
  };
  /** Base URL of the embedded registry as pods reach it; undefined when there is none. Asked for each new pod. */
  registryEndpoint?(): string | undefined;
  /** Other hosts under which users name the embedded registry (`localhost:41234`). */
  registryAliases?(): readonly string[];
  /** Lets git sources be paths and file URLs of the node's machine, mounted read-only. Only where node and user are one. */
  readonly localSources: boolean;
}

/** The images that Knapsack makes of the machine's own programs. */
export const defaultBuildImages: BuildConfig['images'] = {
  git: gitToolsName,
  credentials: gitToolsName,
  nop: baseImageName,
};
