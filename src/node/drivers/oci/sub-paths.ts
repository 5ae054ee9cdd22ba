/**
 * Sub-paths of volumes, mounted so that containers, which may change them at any moment, cannot make a runtime mount
 * another file of this machine. A runtime mounts by path; so each sub-path is first mounted beside the bundle, where no
 * container reaches, and only goes on to the runtime when it is what was found in the volume.
 */
import { closeSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainerMount } from '../driver.ts';
import { openInside, type OpenedPath } from '../../safe-path.ts';
import { quote } from '../shell.ts';

interface Pin {
  readonly subPath: string;
  readonly found: OpenedPath;
  /** Where it is mounted. */
  readonly place: string;
}

export class SubPaths {
  /** The mounts for the runtime. */
  readonly mounts: readonly ContainerMount[];
  readonly #pins: Pin[] = [];

  /** Looks for the sub-paths; what is found is held until {@link release}. `dir`: the container's own. */
  constructor(mounts: readonly ContainerMount[], dir: string) {
    try {
      this.mounts = mounts.map((mount) => this.#pinned(mount, dir));
    } catch (error) {
      this.release();
      throw error;
    }
  }

  #pinned({ subPath, ...mount }: ContainerMount, dir: string): ContainerMount {
    if (subPath === undefined || mount.source === undefined) return mount;
    const place = join(dir, 'sub-paths', String(this.#pins.length));
    const found = openInside(mount.source, subPath);
    this.#pins.push({ subPath, found, place });
    if (found.isDirectory) mkdirSync(place, { recursive: true });
    else {
      mkdirSync(join(dir, 'sub-paths'), { recursive: true });
      writeFileSync(place, '');
    }
    return { ...mount, source: place };
  }

  /**
   * Shell commands that mount them, one after the other. They fail, with words, when something else lies at a path by the
   * time that it is mounted: a mount stays what it is, so that the look at it afterwards settles the matter. To mount the
   * open descriptor itself is not possible, as it comes from another mount namespace.
   */
  get mountCommands(): string[] {
    return this.#pins.map(({ subPath, found, place }) => {
      const isFound = `[ ${quote(place)} -ef /proc/${process.pid}/fd/${found.fd} ]`;
      const words = `echo ${quote(`subPath ${JSON.stringify(subPath)} was changed while it was being mounted`)}`;
      return `mount --bind ${quote(found.path)} ${quote(place)} && { ${isFound} || { ${words}; false; }; }`;
    });
  }

  get unmountCommands(): string[] {
    return this.#pins.map(({ place }) => `umount -l ${quote(place)}`);
  }

  release(): void {
    for (const { found } of this.#pins.splice(0)) closeSync(found.fd);
  }
}
