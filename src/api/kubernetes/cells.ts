/** Pieces of table rows, worded as kubectl's server-side printer does (kubernetes pkg/printers). */
import type { KubernetesTypes } from '../generated/kubernetes-types.ts';
import type { KubeObject } from '../object.ts';
import type { Column } from '../resource.ts';

/** A rounded duration: `45s`, `3m20s`, `5h`, `2d4h`, `3y` (apimachinery `duration.HumanDuration`). */
export function formatAge(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return two(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return two(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (days < 8) return two(days, 'd', hours % 24, 'h');
  if (days < 730) return `${days}d`;
  const years = Math.floor(days / 365);
  return days < 2920 ? two(years, 'y', days % 365, 'd') : `${years}y`;
}

function two(big: number, bigUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${big}${bigUnit}` : `${big}${bigUnit}${small}${smallUnit}`;
}

/** Age since an RFC 3339 time; `<unknown>` when there is none. */
export function ageSince(time: string | undefined, now: number): string {
  const at = time ? Date.parse(time) : Number.NaN;
  return Number.isNaN(at) ? '<unknown>' : formatAge(now - at);
}

export function ageOf(object: KubeObject, now: number): string {
  return ageSince(object.metadata.creationTimestamp, now);
}

/** A text column; `wide` columns show with `-o wide`. */
export function column(name: string, wide?: 'wide'): Column {
  return { name, type: 'string', ...(wide ? { priority: 1 } : {}) };
}

export function integerColumn(name: string): Column {
  return { name, type: 'integer' };
}

/** For tables that do not end with Age, and so have to name their whole row. */
export const nameColumn: Column = { name: 'Name', type: 'string', format: 'name' };
export const ageColumn = column('Age');
/** Containers, Images and Selector: the wide columns of every workload. */
export const workloadColumns = [
  column('Containers', 'wide'),
  column('Images', 'wide'),
  column('Selector', 'wide'),
];

type PodSpec = KubernetesTypes['core.v1.PodSpec'];

/** The names and the images of a template's containers, joined with commas. */
export function containerCells(spec: PodSpec | undefined): [string, string] {
  const containers = spec?.containers ?? [];
  return [containers.map((c) => c.name).join(','), containers.map((c) => c.image ?? '').join(',')];
}

/** At most `max` entries, then ` + 3 more...`. */
export function abbreviate(entries: readonly string[], max: number, empty: string): string {
  if (entries.length === 0) return empty;
  if (entries.length <= max) return entries.join(',');
  return `${entries.slice(0, max).join(',')} + ${entries.length - max} more...`;
}
