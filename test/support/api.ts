/** The real embedded API on a memory store, for tests of everything that talks to an API. */
import { systemClock, type Clock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { resources as allResources } from '../../src/api/registry.ts';
import type { ResourceDef } from '../../src/api/resource.ts';
import type { Client } from '../../src/kube/client/client.ts';
import { inProcessClient } from '../../src/kube/client/in-process.ts';
import type { AdmissionPlugin } from '../../src/kube/server/service/admission-plugin.ts';
import { admissionPlugins } from '../../src/kube/server/admission/index.ts';
import { Authorizer } from '../../src/kube/server/authorization/authorizer.ts';
import { RoleIndex } from '../../src/kube/server/authorization/role-index.ts';
import { AdmissionPolicies } from '../../src/kube/server/policies/index.ts';
import { ApiService } from '../../src/kube/server/service/service.ts';
import { AdmissionWebhooks } from '../../src/kube/server/webhooks/index.ts';
import { memoryBackend } from '../../src/kube/store/backend.ts';
import { Store } from '../../src/kube/store/store.ts';

export interface TestApi {
  readonly service: ApiService;
  readonly client: Client;
  readonly store: Store;
  readonly close: () => Promise<void>;
}

const namespaces = ['default', 'kube-system', 'knative-serving', 'knative-eventing'];

/** `resources` are served besides those of the registry. The namespaces that a real platform has exist. */
export async function startTestApi(
  options: {
    resources?: readonly ResourceDef[];
    clock?: Clock;
    user?: string;
    /** Default: a new one in memory. */
    store?: Store;
    /** Before those that every server has. */
    plugins?: readonly AdmissionPlugin[];
  } = {},
): Promise<TestApi> {
  const resources = [...new Set([...allResources, ...(options.resources ?? [])])];
  const store = options.store ?? (await Store.open(memoryBackend()));
  const access = new Authorizer(new RoleIndex(store));
  const hooks = new AdmissionWebhooks({ store, log: silentLogger, access });
  const webhooks = new AdmissionPolicies({ store, access }, hooks);
  const service = new ApiService({
    store,
    resources,
    clock: options.clock ?? systemClock,
    plugins: [...(options.plugins ?? []), ...admissionPlugins],
    webhooks,
  });
  const user = options.user ?? 'system:admin';
  const def = resources.find(({ group, plural }) => group === '' && plural === 'namespaces');
  if (def) {
    for (const name of namespaces) {
      const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
      await service.create(def, undefined, namespace, { user });
    }
  }
  return {
    service,
    client: inProcessClient(service, { user }),
    store,
    close: async () => {
      hooks.close();
      await store.close();
    },
  };
}
