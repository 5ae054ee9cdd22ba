/** All functions that an expression may call. */
import { addressFunctions } from './functions/addresses.ts';
import { authorizerFunctions } from './functions/authorizer.ts';
import { conversions } from './functions/conversions.ts';
import { kubernetesFunctions } from './functions/kubernetes.ts';
import { listFunctions } from './functions/lists.ts';
import { operators } from './functions/operators.ts';
import { versionFunctions } from './functions/semver.ts';
import type { Overload } from './functions/signature.ts';
import { stringFunctions } from './functions/strings.ts';

const byName = new Map<string, Overload[]>();
for (const overload of [
  ...operators,
  ...conversions,
  ...stringFunctions,
  ...listFunctions,
  ...kubernetesFunctions,
  ...addressFunctions,
  ...versionFunctions,
  ...authorizerFunctions,
]) {
  const list = byName.get(overload.name);
  if (list) list.push(overload);
  else byName.set(overload.name, [overload]);
}

/** The overloads of a function or method, by its name alone. */
export function overloadsOf(name: string): readonly Overload[] {
  return byName.get(name) ?? [];
}

/** Names that stand for types: `type(x) == string`. */
export const typeNames: ReadonlySet<string> = new Set([
  'bool',
  'bytes',
  'double',
  'duration',
  'int',
  'list',
  'map',
  'null_type',
  'string',
  'timestamp',
  'type',
  'uint',
]);
