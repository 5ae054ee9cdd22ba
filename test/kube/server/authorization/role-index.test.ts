import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import {
  clusterRoleBindings,
  clusterRoles,
  roleBindings,
  roles,
} from '../../../../src/api/kubernetes/index.ts';
import type { KubeObject } from '../../../../src/api/object.ts';
import { qualifiedName, type ResourceDef } from '../../../../src/api/resource.ts';
import { Authorizer } from '../../../../src/kube/server/authorization/authorizer.ts';
import { RoleIndex } from '../../../../src/kube/server/authorization/role-index.ts';
import { memoryBackend } from '../../../../src/kube/store/backend.ts';
import { Store } from '../../../../src/kube/store/store.ts';

type Subject = { kind: string; name: string; namespace?: string };

/** A write: a role whose rules allow one verb each, a binding, or the end of either. */
interface Step {
  readonly def: ResourceDef;
  readonly namespace: string;
  readonly name: string;
  readonly verbs: readonly string[];
  readonly ref: { kind: string; name: string };
  readonly subjects: readonly Subject[];
  readonly removed: boolean;
}

const names = fc.constantFrom('a', 'b');
const namespaces = fc.constantFrom('n1', 'n2');
const verbs = ['get', 'list', 'watch'];
const subject: fc.Arbitrary<Subject> = fc.oneof(
  fc.record({ kind: fc.constant('User'), name: fc.constantFrom('u', 'v') }),
  fc.record({ kind: fc.constant('Group'), name: fc.constantFrom('g', 'h') }),
  fc.record(
    { kind: fc.constant('ServiceAccount'), name: fc.constant('s'), namespace: namespaces },
    { requiredKeys: ['kind', 'name'] },
  ),
);
const step: fc.Arbitrary<Step> = fc.record({
  def: fc.constantFrom<ResourceDef>(roles, clusterRoles, roleBindings, clusterRoleBindings),
  namespace: namespaces,
  name: names,
  verbs: fc.subarray(verbs),
  ref: fc.record({ kind: fc.constantFrom('Role', 'ClusterRole'), name: names }),
  subjects: fc.array(subject, { maxLength: 3 }),
  removed: fc.boolean(),
});

const users = [
  { name: 'u', groups: ['g'] },
  { name: 'v', groups: [] },
  { name: 'w', groups: ['g', 'h'] },
  { name: 'system:serviceaccount:n1:s', groups: [] },
];

/** Role-based access control read literally: every binding looked at for every question. */
function allowedNaively(
  state: ReadonlyMap<string, Step>,
  user: (typeof users)[number],
  namespace: string,
  verb: string,
): boolean {
  return [...state.values()].some((binding) => {
    const isCluster = binding.def === clusterRoleBindings;
    if (!isCluster && binding.def !== roleBindings) return false;
    if (!isCluster && binding.namespace !== namespace) return false;
    if (isCluster && binding.ref.kind === 'Role') return false;
    const isMeant = binding.subjects.some(({ kind, name, namespace: own }) => {
      if (kind === 'User') return name === user.name;
      if (kind === 'Group') return user.groups.includes(name);
      const place = own ?? (isCluster ? undefined : binding.namespace);
      return place !== undefined && user.name === `system:serviceaccount:${place}:${name}`;
    });
    const role = [...state.values()].find(
      ({ def, name, namespace: place }) =>
        name === binding.ref.name &&
        (binding.ref.kind === 'ClusterRole'
          ? def === clusterRoles
          : def === roles && place === binding.namespace),
    );
    return isMeant && role?.verbs.includes(verb) === true;
  });
}

function objectOf({ def, namespace, name, verbs: allowed, ref, subjects }: Step): KubeObject {
  const isRole = def === roles || def === clusterRoles;
  const rules = allowed.map((verb) => ({ verbs: [verb], apiGroups: [''], resources: ['pods'] }));
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: def.kind,
    metadata: { name, ...(def.namespaced ? { namespace } : {}) },
    ...(isRole ? { rules } : { roleRef: { apiGroup: 'rbac.authorization.k8s.io', ...ref }, subjects }),
  };
}

describe('the index of roles', () => {
  it('says what reading all bindings would, after every write and after a start', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const store = await Store.open(memoryBackend());
        const followed = new Authorizer(new RoleIndex(store));
        const state = new Map<string, Step>();
        for (const one of steps) {
          const table = store.table(qualifiedName(one.def));
          const key = one.def.namespaced ? `${one.namespace}/${one.name}` : one.name;
          const id = `${one.def.plural} ${key}`;
          if (!one.removed) {
            await store.put(table, key, objectOf(one));
            state.set(id, one);
          } else if (state.delete(id)) {
            await store.remove(table, key, objectOf(one));
          }
          check(followed, state);
        }
        check(new Authorizer(new RoleIndex(store)), state);
        await store.close();
      }),
      { numRuns: 150 },
    );
  });

  function check(authorizer: Authorizer, state: ReadonlyMap<string, Step>): void {
    for (const user of users) {
      for (const namespace of ['', 'n1', 'n2']) {
        for (const verb of verbs) {
          const asked = {
            verb,
            group: '',
            version: 'v1',
            resource: 'pods',
            subresource: '',
            namespace,
            name: '',
          };
          assert.equal(
            authorizer.decide(user, asked).allowed,
            allowedNaively(state, user, namespace, verb),
            `${user.name} ${verb} in ${JSON.stringify(namespace)}`,
          );
        }
      }
    }
  }
});
