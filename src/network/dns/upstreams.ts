/** The name servers of this machine, to which questions about the rest of the world go. */
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';

/** The C library reads no more (resolv.conf(5), MAXNS). */
const maxServers = 3;

/** Addresses on the `nameserver` lines, each once, without those to `leaveOut`. Pure. */
export function parseNameServers(text: string, leaveOut: readonly string[]): string[] {
  const servers = text.split('\n').flatMap((line) => {
    const [word, address = ''] = line.trim().split(/\s+/);
    return word === 'nameserver' && isIP(address) !== 0 ? [address] : [];
  });
  return [...new Set(servers)].filter((address) => !leaveOut.includes(address)).slice(0, maxServers);
}

/** Reads the file anew when it has changed: a laptop changes networks. */
export class NameServers {
  readonly #file: string;
  readonly #leaveOut: readonly string[];
  #version = '';
  #servers: readonly string[] = [];

  /** `leaveOut`: this server's own addresses, or a question would go round for ever. */
  constructor(leaveOut: readonly string[], file = '/etc/resolv.conf') {
    this.#file = file;
    this.#leaveOut = leaveOut;
  }

  /** In the order of the file; empty when there is none. */
  current(): readonly string[] {
    try {
      const { mtimeMs, ino, size } = statSync(this.#file);
      const version = `${mtimeMs} ${ino} ${size}`;
      if (version !== this.#version) {
        this.#servers = parseNameServers(readFileSync(this.#file, 'utf8'), this.#leaveOut);
        this.#version = version;
      }
    } catch {
      this.#servers = [];
      this.#version = '';
    }
    return this.#servers;
  }
}
