/** The tables of docs/kubernetes.md: what a running server says that it serves, by aggregated discovery. */

/** The part of an APIGroupDiscoveryList that the tables show. */
export interface Discovery {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly versions: readonly {
      readonly version: string;
      readonly resources: readonly {
        readonly resource: string;
        readonly responseKind: { readonly kind: string };
        readonly scope: string;
        readonly verbs: readonly string[];
        readonly subresources?: readonly { readonly subresource: string }[];
      }[];
    }[];
  }[];
}

export const tablesBegin = '<!-- resources: node scripts/docs-kubernetes.ts -->';
export const tablesEnd = '<!-- end of resources -->';

interface Row {
  readonly kind: string;
  readonly versions: string[];
  readonly scope: string;
  readonly verbs: readonly string[];
  readonly subresources: Set<string>;
}

const everything = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

/** One table a group, the core group first, then by name; one row a resource, whatever its versions. */
export function resourceTables(...documents: readonly Discovery[]): string {
  return documents
    .flatMap(({ items }) => items)
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    .map((group) => {
      const rows = new Map<string, Row>();
      for (const { version, resources } of group.versions) {
        for (const { resource, responseKind, scope, verbs, subresources = [] } of resources) {
          const row = rows.get(resource) ?? {
            kind: responseKind.kind,
            versions: [],
            scope,
            verbs,
            subresources: new Set<string>(),
          };
          row.versions.push(version);
          for (const { subresource } of subresources) row.subresources.add(subresource);
          rows.set(resource, row);
        }
      }
      const lines = [...rows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, row]) => line(name, row));
      return [
        `### ${group.metadata.name === '' ? 'Core group' : group.metadata.name}`,
        '',
        '| Resource | Kind | Versions | Scope | Verbs | Subresources |',
        '| --- | --- | --- | --- | --- | --- |',
        ...lines,
        '',
      ].join('\n');
    })
    .join('\n');
}

function line(name: string, { kind, versions, scope, verbs, subresources }: Row): string {
  const all = everything.every((verb) => verbs.includes(verb));
  const others = verbs.filter((verb) => !everything.includes(verb));
  const shown = all ? ['all', ...others] : [...verbs].sort();
  const cells = [
    `\`${name}\``,
    kind,
    versions.join(', '),
    scope === 'Namespaced' ? 'namespace' : 'cluster',
    shown.join(', '),
    [...subresources].sort().join(', '),
  ];
  return `| ${cells.join(' | ')} |`;
}

/** The page with its tables replaced. Throws when it has no place for them. */
export function withTables(page: string, tables: string): string {
  const from = page.indexOf(tablesBegin);
  const to = page.indexOf(tablesEnd);
  if (from < 0 || to < from) throw new Error('the page has no place for the tables');
  return `${page.slice(0, from)}${tablesBegin}\n\n${tables}\n${page.slice(to)}`;
}
