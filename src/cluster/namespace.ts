/**
 * Namespaces: each has a ServiceAccount `default` and a ConfigMap `kube-root-ca.crt`; one that is deleted is emptied and
 * then let go (kubernetes pkg/controller/namespace).
 */
import { timestamp, type KubeObject } from '../api/object.ts';
import { apiVersionOf, qualifiedName, storedAs, type ResourceDef } from '../api/resource.ts';
import {
  configMaps,
  namespaceFinalizer,
  namespaces,
  serviceAccounts,
  type Namespace,
} from '../api/kubernetes/core.ts';
import { hasReason, isAlreadyExists } from '../kube/api-error.ts';
import type { ObjectKey } from '../kube/client/client.ts';
import type { Informer } from '../kube/client/informer.ts';
import { asStored, type ResourceRegistry } from '../kube/resource-registry.ts';
import { watches, type Controller, type ControllerEnv, type Outcome } from '../kube/controller/controller.ts';
import { writeStatus } from '../kube/controller/write-status.ts';

const rootCertificateName = 'kube-root-ca.crt';
/** Deletes of one resource that are under way at once. */
const deleteBatch = 100;
/** How soon to look again whether custom resources have gone, ms. */
const customContentMs = 250;

export interface NamespaceOptions {
  /** What is served now: what a deleted namespace is emptied of. */
  readonly registry: ResourceRegistry;
  /** PEM certificate of the authority that signed the API's certificate. */
  readonly rootCertificate?: string;
}

function namespaced(resources: readonly ResourceDef[]): ResourceDef[] {
  return resources.filter((def) => def.namespaced && storedAs(def) === def);
}

export function namespaceController(env: ControllerEnv, options: NamespaceOptions): Controller {
  return new NamespaceController(env, options);
}

class NamespaceController implements Controller {
  readonly name = 'namespace';
  readonly root = namespaces;
  readonly watches;
  readonly #env: ControllerEnv;
  readonly #options: NamespaceOptions;
  readonly #namespaces: Informer<Namespace>;

  constructor(env: ControllerEnv, options: NamespaceOptions) {
    this.#env = env;
    this.#options = options;
    this.#namespaces = env.informers.for(namespaces);
    const keys = (object: KubeObject): string[] => this.#concerned(object);
    this.watches = namespaced(options.registry.fixed).map((def) => watches(def, keys));
  }

  /** One definition for each kind of object that a namespace may hold now. */
  get #contents(): readonly ResourceDef[] {
    return namespaced(this.#options.registry.stored);
  }

  async reconcile(key: ObjectKey): Promise<Outcome> {
    const namespace = this.#namespaces.get(key.name);
    if (!namespace) return;
    if (!namespace.metadata.deletionTimestamp) return this.#furnish(key.name);
    if (!namespace.spec?.finalizers?.includes(namespaceFinalizer)) return;
    await Promise.all(this.#contents.map((def) => this.#empty(def, key.name)));
    const remaining = await this.#remaining(key.name);
    if (remaining.length === 0) return this.#release(namespace);
    await writeStatus(this.#env.client, namespaces, namespace, {
      ...namespace.status,
      phase: 'Terminating',
      conditions: remainingConditions(namespace, remaining, this.#env.clock.now()),
    });
    // Kinds that come and go at run time are not watched here.
    const custom = remaining.some(({ def }) => this.#options.registry.isCustom(def));
    return custom ? { requeueAfter: customContentMs } : undefined;
  }

  /** A namespace is looked at again when its own two objects change, and, while it is going, when anything in it does. */
  #concerned({ metadata, kind }: KubeObject): string[] {
    const { namespace = '', name } = metadata;
    const own =
      (kind === 'ServiceAccount' && name === 'default') ||
      (kind === 'ConfigMap' && name === rootCertificateName);
    return own || this.#namespaces.get(namespace)?.metadata.deletionTimestamp ? [namespace] : [];
  }

  async #furnish(namespace: string): Promise<void> {
    const { informers } = this.#env;
    const { rootCertificate } = this.#options;
    if (!informers.for(serviceAccounts).get(`${namespace}/default`)) {
      await this.#create(serviceAccounts, { name: 'default', namespace });
    }
    if (rootCertificate === undefined) return;
    const data = { 'ca.crt': rootCertificate };
    const present = informers.for(configMaps).get(`${namespace}/${rootCertificateName}`);
    if (!present) {
      const annotations = {
        'kubernetes.io/description':
          'Contains a CA bundle that can be used to verify the API server when using internal endpoints such as the internal service IP or kubernetes.default.svc.',
      };
      await this.#create(configMaps, { name: rootCertificateName, namespace, annotations }, { data });
    } else if (present.data?.['ca.crt'] !== rootCertificate) {
      const key = { namespace, name: rootCertificateName };
      await this.#env.client.patch(configMaps, key, { type: 'merge', body: { data } });
    }
  }

  async #create<T extends KubeObject>(
    def: ResourceDef<T>,
    metadata: KubeObject['metadata'],
    rest: object = {},
  ): Promise<void> {
    try {
      await this.#env.client.create(def, {
        apiVersion: apiVersionOf(def),
        kind: def.kind,
        metadata,
        ...rest,
      } as T);
    } catch (error) {
      // Made meanwhile, or the namespace is going.
      if (!isAlreadyExists(error) && !hasReason(error, 'NotFound', 'Forbidden')) throw error;
    }
  }

  async #empty(def: ResourceDef, namespace: string): Promise<void> {
    const { client } = this.#env;
    const { items } = await client.list(this.#seen(def), { namespace });
    const standing = items.filter((item) => !item.metadata.deletionTimestamp);
    for (let i = 0; i < standing.length; i += deleteBatch) {
      await Promise.all(
        standing.slice(i, i + deleteBatch).map(async ({ metadata: { name, uid } }) => {
          try {
            const preconditions = uid ? { preconditions: { uid } } : {};
            await client.delete(
              def,
              { namespace, name },
              { propagationPolicy: 'Background', ...preconditions },
            );
          } catch (error) {
            if (!hasReason(error, 'NotFound', 'Conflict')) throw error;
          }
        }),
      );
    }
  }

  /** What is left: pods in their grace period, objects with finalizers. */
  async #remaining(namespace: string): Promise<{ def: ResourceDef; items: readonly KubeObject[] }[]> {
    const lists = await Promise.all(
      this.#contents.map(async (def) => ({
        def,
        items: (await this.#env.client.list(this.#seen(def), { namespace })).items,
      })),
    );
    return lists.filter(({ items }) => items.length > 0);
  }

  /** How the objects of a kind are counted: a webhook that does not answer must not hold the namespace. */
  #seen(def: ResourceDef): ResourceDef {
    return this.#options.registry.isCustom(def) ? asStored(def) : def;
  }

  async #release(namespace: Namespace): Promise<void> {
    const finalizers = (namespace.spec?.finalizers ?? []).filter((name) => name !== namespaceFinalizer);
    const released: Namespace = { ...namespace, spec: { ...namespace.spec, finalizers } };
    try {
      await this.#env.client.update(namespaces, released, { subresource: 'finalize' });
    } catch (error) {
      if (!hasReason(error, 'NotFound')) throw error;
    }
  }
}

type Condition = NonNullable<NonNullable<Namespace['status']>['conditions']>[number];

/** What holds the namespace, in the words that `kubectl get namespace -o yaml` shows on any cluster. */
function remainingConditions(
  namespace: Namespace,
  remaining: readonly { def: ResourceDef; items: readonly KubeObject[] }[],
  now: number,
): Condition[] {
  const contents = remaining.map(
    ({ def, items }) => `${qualifiedName(def)} has ${items.length} resource instances`,
  );
  const finalizers = new Map<string, number>();
  for (const { items } of remaining) {
    for (const name of items.flatMap((item) => item.metadata.finalizers ?? [])) {
      finalizers.set(name, (finalizers.get(name) ?? 0) + 1);
    }
  }
  const holders = [...finalizers].map(([name, count]) => `${name} in ${count} resource instances`);
  const make = (type: string, reason: string, message: string): Condition => {
    const before = namespace.status?.conditions?.find((c) => c.type === type);
    const lastTransitionTime = before?.lastTransitionTime ?? timestamp(now);
    return { type, status: 'True', reason, message, lastTransitionTime };
  };
  return [
    make(
      'NamespaceContentRemaining',
      'SomeResourcesRemain',
      `Some resources are remaining: ${contents.sort().join(', ')}`,
    ),
    ...(holders.length
      ? [
          make(
            'NamespaceFinalizersRemaining',
            'SomeFinalizersRemain',
            `Some content in the namespace has finalizers remaining: ${holders.sort().join(', ')}`,
          ),
        ]
      : []),
  ];
}
