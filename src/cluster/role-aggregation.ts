/** Fills ClusterRoles that gather the rules of others by their labels (kubernetes pkg/controller/clusterroleaggregation). */
import { deepEqual } from '../base/json.ts';
import { clusterRoles, type ClusterRole } from '../api/kubernetes/rbac.ts';
import { matchesSelector } from '../api/kubernetes/selectors.ts';
import { isConflict, isNotFound } from '../kube/api-error.ts';
import type { ObjectKey } from '../kube/client/client.ts';
import type { Informer } from '../kube/client/informer.ts';
import { watches, type Controller, type ControllerEnv, type Outcome } from '../kube/controller/controller.ts';

export function roleAggregationController(env: ControllerEnv): Controller {
  return new RoleAggregationController(env);
}

class RoleAggregationController implements Controller {
  readonly name = 'cluster-role-aggregation';
  readonly root = clusterRoles;
  readonly watches;
  readonly #env: ControllerEnv;
  readonly #roles: Informer<ClusterRole>;

  constructor(env: ControllerEnv) {
    this.#env = env;
    this.#roles = env.informers.for(clusterRoles);
    // A role that lost a label must be looked for where it was gathered: all that gather look again.
    this.watches = [watches(clusterRoles, () => this.#gathering())];
  }

  #gathering(): string[] {
    return this.#roles
      .list()
      .filter((role) => role.aggregationRule)
      .map((role) => role.metadata.name);
  }

  async reconcile({ name }: ObjectKey): Promise<Outcome> {
    const role = this.#roles.get(name);
    if (!role?.aggregationRule || role.metadata.deletionTimestamp) return;
    const rules = gatherRules(role, this.#roles.list());
    if (deepEqual(role.rules ?? [], rules)) return;
    try {
      await this.#env.client.update(clusterRoles, { ...role, rules });
    } catch (error) {
      // Written or deleted meanwhile: that change brings us back.
      if (!isConflict(error) && !isNotFound(error)) throw error;
    }
  }
}

/** The rules of all roles that one of the selectors matches, each once, in the order of the roles' names. */
export function gatherRules(
  role: ClusterRole,
  all: readonly ClusterRole[],
): NonNullable<ClusterRole['rules']> {
  const selectors = role.aggregationRule?.clusterRoleSelectors ?? [];
  const seen = new Map<string, NonNullable<ClusterRole['rules']>[number]>();
  const gathered = all
    .filter((other) => other.metadata.name !== role.metadata.name)
    .filter((other) => selectors.some((selector) => matchesSelector(selector, other.metadata.labels)))
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  for (const rule of gathered.flatMap((other) => other.rules ?? [])) {
    const { apiGroups, resources, resourceNames, nonResourceURLs, verbs } = rule;
    seen.set(JSON.stringify([apiGroups, resources, resourceNames, nonResourceURLs, verbs]), rule);
  }
  return [...seen.values()];
}
