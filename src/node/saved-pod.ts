/** What survives a crash of the agent: a small file per pod, written when a container starts or ends. */
import { existsSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Json } from '../base/json.ts';
import type { SavedContainer } from './container-record.ts';

export interface SavedPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** The driver that started it. */
  readonly driver: string;
  readonly startTime?: string;
  /** The driver's state of the sandbox; absent before there is one, and after it was removed. */
  readonly sandbox?: Json;
  readonly containers: readonly SavedContainer[];
}

const fileName = 'state.json';

/** Synchronous on purpose: a process that runs must be on record before anything else happens. */
export function savePod(dir: string, pod: SavedPod): void {
  const file = join(dir, fileName);
  // It holds environments of containers, and these hold secrets.
  writeFileSync(`${file}.tmp`, JSON.stringify(pod), { mode: 0o600 });
  renameSync(`${file}.tmp`, file);
}

/** All pods on record: directory name and state, which is undefined when the pod never got that far. */
export function loadPods(podsDir: string): Map<string, SavedPod | undefined> {
  const result = new Map<string, SavedPod | undefined>();
  if (!existsSync(podsDir)) return result;
  for (const uid of readdirSync(podsDir)) {
    let saved: SavedPod | undefined;
    try {
      saved = JSON.parse(readFileSync(join(podsDir, uid, fileName), 'utf8')) as SavedPod;
    } catch {
      // Not written yet when the agent died: nothing had started.
    }
    result.set(uid, saved);
  }
  return result;
}
