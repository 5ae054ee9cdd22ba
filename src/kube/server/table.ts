/** Server-side printing: what `kubectl get` shows, as meta.k8s.io/v1 Table. */
import type { KubeObject } from '../../api/object.ts';
import type { Cell, Column, ResourceDef } from '../../api/resource.ts';
import { formatAge } from '../../api/kubernetes/cells.ts';
import { compileJsonPath } from './jsonpath.ts';

export type IncludeObject = 'None' | 'Metadata' | 'Object';

export interface TableColumn {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly description: string;
  readonly priority: number;
}

export interface TableRow {
  readonly cells: readonly Cell[];
  readonly object?: object;
}

/** Columns and rows of one resource. */
export interface TablePrinter {
  readonly columns: readonly TableColumn[];
  /** `now` is milliseconds since the epoch. */
  cells(object: KubeObject, now: number): Cell[];
}

const nameColumn: TableColumn = {
  name: 'Name',
  type: 'string',
  format: 'name',
  description: 'Unique within its namespace, or in the cluster for objects without one.',
  priority: 0,
};
const ageColumn: Column = {
  name: 'Age',
  type: 'date',
  description: 'Time since the object was created.',
  jsonPath: '.metadata.creationTimestamp',
};

/**
 * Name comes first and Age last, unless the definition names them itself; a definition that computes its cells says all
 * there is after Name.
 */
export function makePrinter(def: ResourceDef): TablePrinter {
  const names = new Set(def.columns.map((column) => column.name));
  const custom = def.columnsComplete === true;
  const addsName = custom || !names.has('Name');
  const columns = names.has('Age') || def.cells || custom ? def.columns : [...def.columns, ageColumn];
  const own = columns.map((column) => (custom ? customCellOf(column) : cellOf(column)));
  return {
    columns: [...(addsName ? [nameColumn] : []), ...columns.map(tableColumn)],
    cells(object, now) {
      const row: Cell[] = addsName ? [object.metadata.name] : [];
      if (def.cells) {
        const cells = def.cells(object, now);
        columns.forEach((column, i) => row.push(formatCell(column, cells[i] ?? null, now)));
      } else {
        for (const cell of own) row.push(cell(object, now));
      }
      return row;
    },
  };
}

function tableColumn(column: Column): TableColumn {
  return {
    name: column.name,
    type: column.type,
    format: column.format ?? '',
    description: column.description ?? '',
    priority: column.priority ?? 0,
  };
}

function cellOf(column: Column): (object: KubeObject, now: number) => Cell {
  if (column.jsonPath === undefined) return () => null;
  const path = compileJsonPath(column.jsonPath);
  return (object, now) => formatCell(column, path(object)[0], now);
}

/** A column of a user's definition: what is not of its type stays empty (apiextensions-apiserver `tableconvertor`). */
function customCellOf(column: Column): (object: KubeObject, now: number) => Cell {
  const path = compileJsonPath(column.jsonPath ?? '');
  return (object, now) => {
    const values = path(object);
    const [value] = values;
    if (value === undefined || value === null) return null;
    switch (column.type) {
      case 'string':
        return values.length === 1 && typeof value === 'string' ? value : values.map(shown).join(' ');
      case 'integer':
        return typeof value === 'number' ? Math.trunc(value) : null;
      case 'date':
        return typeof value === 'string' && Number.isNaN(Date.parse(value))
          ? '<invalid>'
          : ageCell(value, now);
      default:
        return typeof value === column.type ? (value as Cell) : null;
    }
  };
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** A value found by a path, as its column's type shows it; null prints as `<none>`. */
function formatCell(column: Column, value: unknown, now: number): Cell {
  if (value === undefined || value === null) return column.type === 'date' ? '<unknown>' : null;
  if (column.type === 'date') return ageCell(value, now);
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'boolean':
      return value;
    default:
      return JSON.stringify(value);
  }
}

function ageCell(value: unknown, now: number): Cell {
  if (typeof value !== 'string') return '<unknown>';
  const at = Date.parse(value);
  // A computed cell may hold a finished age already.
  return Number.isNaN(at) ? value : formatAge(now - at);
}

/** One row; `apiVersion` is that of the meta.k8s.io group the client asked for. */
export function tableRow(
  printer: TablePrinter,
  object: KubeObject,
  options: { include: IncludeObject; apiVersion: string; now: number },
): TableRow {
  const cells = printer.cells(object, options.now);
  if (options.include === 'None') return { cells };
  if (options.include === 'Object') return { cells, object };
  return { cells, object: partialMetadata(object, options.apiVersion) };
}

/** `apiVersion`: `meta.k8s.io/v1` or `meta.k8s.io/v1beta1`. */
export function partialMetadata(object: KubeObject, apiVersion: string): object {
  return { kind: 'PartialObjectMetadata', apiVersion, metadata: object.metadata };
}
