/** Several publishers on one routing snapshot: a host that more than one of them wants belongs to the earliest layer. */
import type { HostRule, RequestPath, RoutingUpdate } from '../api/routing.ts';

export class RouteLayers {
  readonly #gateway: Pick<RequestPath, 'apply'>;
  readonly #layers: Map<string, HostRule>[] = [];

  constructor(gateway: Pick<RequestPath, 'apply'>) {
    this.#gateway = gateway;
  }

  /** A layer below all that were made before it. Backends are shared: their keys must differ. */
  add(): Pick<RequestPath, 'apply'> {
    const own = new Map<string, HostRule>();
    const above = [...this.#layers];
    this.#layers.push(own);
    return {
      apply: (update) => {
        const hosts: Record<string, HostRule | null> = {};
        for (const [name, rule] of Object.entries(update.hosts ?? {})) {
          if (rule === null) own.delete(name);
          else own.set(name, rule);
          if (above.some((layer) => layer.has(name))) continue;
          hosts[name] = rule ?? this.#ruleOf(name) ?? null;
        }
        const merged: RoutingUpdate = {
          ...(Object.keys(hosts).length > 0 ? { hosts } : {}),
          ...(update.backends ? { backends: update.backends } : {}),
        };
        return merged.hosts || merged.backends ? this.#gateway.apply(merged) : Promise.resolve();
      },
    };
  }

  #ruleOf(name: string): HostRule | undefined {
    for (const layer of this.#layers) {
      const rule = layer.get(name);
      if (rule) return rule;
    }
    return undefined;
  }
}
