/** Objects and a backend under the test's control. */
import type { KubeObject } from '../../../src/api/object.ts';
import type { Backend, LogEntry } from '../../../src/kube/store/backend.ts';

export function configMap(name: string, value?: string): KubeObject & { data?: { value: string } } {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'default' },
    ...(value === undefined ? {} : { data: { value } }),
  };
}

/** Holds every batch until the test lets it through or fails it. */
export class HeldBackend implements Backend {
  readonly batches: (readonly LogEntry[])[] = [];
  #settle: { resolve: () => void; reject: (error: unknown) => void } | undefined;
  #arrived: (() => void) | undefined;

  load(): Promise<number> {
    return Promise.resolve(0);
  }

  commit(batch: readonly LogEntry[]): Promise<void> {
    this.batches.push(batch);
    this.#arrived?.();
    this.#arrived = undefined;
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Resolves when a batch waits. */
  async waiting(): Promise<void> {
    if (this.#settle) return;
    await new Promise<void>((resolve) => {
      this.#arrived = resolve;
    });
  }

  letThrough(): void {
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.resolve();
  }

  fail(error: unknown): void {
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.reject(error);
  }
}
