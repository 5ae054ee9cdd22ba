import type { Command } from '../command.ts';
import { backup } from './backup.ts';
import { down } from './down.ts';
import { imageBuild, imageList } from './image.ts';
import { reset } from './reset.ts';
import { restore } from './restore.ts';
import { status } from './status.ts';
import { up } from './up.ts';
import { version } from './version.ts';

/** Every command, in the order of the help page. */
export const commands: readonly Command[] = [
  up,
  status,
  down,
  backup,
  restore,
  reset,
  imageBuild,
  imageList,
  version,
];
