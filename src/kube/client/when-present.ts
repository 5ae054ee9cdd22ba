import type { Clock } from '../../base/clock.ts';
import type { KubeObject } from '../../api/object.ts';
import type { Informer } from './informer.ts';

/** The object once the informer has it, or undefined when it does not come within the time. For what others make soon. */
export function whenPresent<T extends KubeObject>(
  informer: Informer<T>,
  key: string,
  clock: Clock,
  timeoutMs: number,
): Promise<T | undefined> {
  const present = informer.get(key);
  if (present) return Promise.resolve(present);
  return new Promise((resolve) => {
    const finish = (object: T | undefined): void => {
      stop();
      cancel();
      resolve(object);
    };
    const cancel = clock.after(timeoutMs, () => finish(undefined));
    const stop = informer.onChange(({ type }) => {
      const object = type === 'deleted' ? undefined : informer.get(key);
      // The replay of what exists comes before there is a way to unsubscribe; this object is not among it.
      if (object) finish(object);
    });
  });
}
