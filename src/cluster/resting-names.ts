/** Names of pods that have only just become free. */
import type { Clock } from '../base/clock.ts';
import { controllerOf, keyOf } from '../api/object.ts';
import type { Pod } from '../api/pods.ts';
import type { Informer } from '../kube/client/informer.ts';

/**
 * How long a name rests before a new pod takes it. `kubectl delete pod` waits by looking at the name: within this time it
 * must see that the pod is gone, or it takes the next one for it and waits for ever. A kubelet is slow enough by itself.
 */
const restMs = 250;

export class RestingNames {
  readonly #clock: Clock;
  /** `namespace/name` → when it became free, oldest first. */
  readonly #freedAt = new Map<string, number>();

  /** Follows pods that are controlled by objects of this kind. */
  constructor(clock: Clock, pods: Informer<Pod>, ownerKind: string) {
    this.#clock = clock;
    pods.onChange(({ type, object }) => {
      if (type !== 'deleted' || controllerOf(object)?.kind !== ownerKind) return;
      this.#forget();
      this.#freedAt.delete(keyOf(object));
      this.#freedAt.set(keyOf(object), clock.now());
    });
  }

  /** Milliseconds for which the name still rests; 0 when it may be taken. */
  left(pod: Pod): number {
    const freedAt = this.#freedAt.get(keyOf(pod));
    if (freedAt === undefined) return 0;
    return Math.max(0, freedAt + restMs - this.#clock.now());
  }

  #forget(): void {
    const limit = this.#clock.now() - restMs;
    for (const [key, freedAt] of this.#freedAt) {
      if (freedAt > limit) return;
      this.#freedAt.delete(key);
    }
  }
}
