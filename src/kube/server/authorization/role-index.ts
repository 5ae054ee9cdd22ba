/**
 * The roles and bindings of the store, arranged by who they are for. Follows the store's commits synchronously: a grant
 * holds for the first request that comes after its acknowledgement, and so does its end.
 */
import {
  clusterRoleBindings,
  clusterRoles,
  roleBindings,
  roles,
  type ClusterRole,
  type ClusterRoleBinding,
  type Role,
  type RoleBinding,
} from '../../../api/kubernetes/index.ts';
import { qualifiedName, type ResourceDef } from '../../../api/resource.ts';
import type { StoredRecord } from '../../store/record.ts';
import type { Store } from '../../store/store.ts';
import { serviceAccountUser, type User } from '../authentication/user.ts';
import type { PolicyRule } from './rules.ts';

type Binding = RoleBinding | ClusterRoleBinding;
type Subject = NonNullable<Binding['subjects']>[number];
export type RoleRef = Binding['roleRef'];

/** A binding that names one of a user's subjects. */
export interface Grant {
  readonly binding: Binding;
  readonly subject: Subject;
}

/** Subject (`u:name`, `g:name`) → bindings by their key. */
type BySubject = Map<string, Map<string, Grant>>;

export class RoleIndex {
  readonly #roles = new Map<string, readonly PolicyRule[]>();
  readonly #clusterRoles = new Map<string, readonly PolicyRule[]>();
  readonly #clusterWide: BySubject = new Map();
  /** By namespace. */
  readonly #namespaced = new Map<string, BySubject>();

  /** Reads what is stored, and follows it from then on. */
  constructor(store: Store) {
    const follow = <T>(
      def: ResourceDef,
      apply: (next: T | undefined, before: T | undefined, key: string) => void,
    ): void => {
      const table = store.table(qualifiedName(def));
      const objectOf = (record: StoredRecord | undefined): T | undefined => record?.object as T | undefined;
      for (const record of table.records()) apply(objectOf(record), undefined, record.key);
      table.subscribe((events) => {
        for (const { type, record, prev } of events) {
          apply(type === 'DELETED' ? undefined : objectOf(record), objectOf(prev), record.key);
        }
      });
    };
    follow<Role>(roles, (role, _before, key) => setRules(this.#roles, key, role));
    follow<ClusterRole>(clusterRoles, (role, _before, key) => setRules(this.#clusterRoles, key, role));
    follow<ClusterRoleBinding>(clusterRoleBindings, (binding, before, key) =>
      replace(this.#clusterWide, key, before, binding),
    );
    follow<RoleBinding>(roleBindings, (binding, before, key) => {
      const [namespace = ''] = key.split('/');
      let bySubject = this.#namespaced.get(namespace);
      if (!bySubject) this.#namespaced.set(namespace, (bySubject = new Map()));
      replace(bySubject, key, before, binding);
      if (bySubject.size === 0) this.#namespaced.delete(namespace);
    });
  }

  /** Grants of the user for the whole cluster, then those in the namespace, where one is given. */
  *grants(user: User, namespace: string): Generator<Grant> {
    const subjects = [`u:${user.name}`, ...user.groups.map((group) => `g:${group}`)];
    const inNamespace = namespace === '' ? undefined : this.#namespaced.get(namespace);
    for (const bySubject of [this.#clusterWide, inNamespace]) {
      if (!bySubject) continue;
      for (const subject of subjects) {
        const grants = bySubject.get(subject);
        if (grants) yield* grants.values();
      }
    }
  }

  /** The rules of the role that a binding in `namespace` refers to; undefined when there is no such role. */
  rulesOf(ref: RoleRef, namespace: string): readonly PolicyRule[] | undefined {
    if (ref.kind === 'ClusterRole') return this.#clusterRoles.get(ref.name);
    return ref.kind === 'Role' ? this.#roles.get(`${namespace}/${ref.name}`) : undefined;
  }
}

function setRules(
  rules: Map<string, readonly PolicyRule[]>,
  key: string,
  role: Role | ClusterRole | undefined,
): void {
  if (role) rules.set(key, role.rules ?? []);
  else rules.delete(key);
}

function replace(
  index: BySubject,
  key: string,
  before: Binding | undefined,
  next: Binding | undefined,
): void {
  for (const subject of before?.subjects ?? []) {
    const name = subjectKey(subject, before?.metadata.namespace);
    const grants = name === undefined ? undefined : index.get(name);
    if (name === undefined || !grants) continue;
    grants.delete(key);
    if (grants.size === 0) index.delete(name);
  }
  for (const subject of next?.subjects ?? []) {
    const name = subjectKey(subject, next?.metadata.namespace);
    if (name === undefined || !next) continue;
    let grants = index.get(name);
    if (!grants) index.set(name, (grants = new Map()));
    grants.set(key, { binding: next, subject });
  }
}

/** A service account of a binding without a namespace of its own is one of the binding's namespace. */
function subjectKey(subject: Subject, namespace: string | undefined): string | undefined {
  switch (subject.kind) {
    case 'User':
      return `u:${subject.name}`;
    case 'Group':
      return `g:${subject.name}`;
    case 'ServiceAccount': {
      const own = subject.namespace || namespace;
      return own ? `u:${serviceAccountUser(own, subject.name)}` : undefined;
    }
    default:
      return undefined;
  }
}
