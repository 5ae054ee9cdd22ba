/** What a pod asks for as a whole (kubernetes component-helpers `resource.PodRequests`, `PodLimits`). Pure. */
import type { Container, Pod } from '../pods.ts';
import { add, exact, larger, type ExactQuantity } from './exact-quantity.ts';

/** Exact amounts by resource name. */
export type Amounts = ReadonlyMap<string, ExactQuantity>;

export function addAmounts(a: Amounts, b: Amounts): Amounts {
  if (a.size === 0) return b;
  if (b.size === 0) return a;
  const sum = new Map(a);
  for (const [name, value] of b) {
    const before = sum.get(name);
    sum.set(name, before ? add(before, value) : value);
  }
  return sum;
}

function largerAmounts(a: Amounts, b: Amounts): Amounts {
  const most = new Map(a);
  for (const [name, value] of b) {
    const before = most.get(name);
    most.set(name, before ? larger(before, value) : value);
  }
  return most;
}

/** The quantities of a list, exact. */
export function amountsOf(list: { readonly [name: string]: string } | undefined): Amounts {
  return new Map(Object.entries(list ?? {}).map(([name, value]) => [name, exact(value)]));
}

/**
 * Containers run together; init containers one after the other, so that the most demanding counts; those of them that
 * restart always stay beside everything that follows. `overhead` is what the pod's runtime class adds.
 */
export function podAmounts(pod: Pod, list: 'requests' | 'limits', overhead = true): Amounts {
  const of = (container: Container): Amounts => amountsOf(container.resources?.[list]);
  let running: Amounts = new Map();
  for (const container of pod.spec?.containers ?? []) running = addAmounts(running, of(container));
  let sidecars: Amounts = new Map();
  let initial: Amounts = new Map();
  for (const container of pod.spec?.initContainers ?? []) {
    const own = of(container);
    if (container.restartPolicy === 'Always') {
      sidecars = addAmounts(sidecars, own);
      running = addAmounts(running, own);
      initial = largerAmounts(initial, sidecars);
    } else {
      initial = largerAmounts(initial, addAmounts(sidecars, own));
    }
  }
  const total = largerAmounts(running, initial);
  if (!overhead || !pod.spec?.overhead) return total;
  const extra = amountsOf(pod.spec.overhead);
  if (list === 'requests') return addAmounts(total, extra);
  // A limit that was not set stays unset.
  return addAmounts(total, new Map([...extra].filter(([name]) => total.has(name))));
}
