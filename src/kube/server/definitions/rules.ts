/** `x-kubernetes-validations`: faults of the rules in a definition, and the rules at work on objects. */
import type { Issue } from '../../../api/resource.ts';
import type { RawSchema } from './definition.ts';
import type { RuleValidator } from './versions.ts';

export function ruleFaults(_schema: RawSchema, _path: string): readonly Issue[] {
  return [];
}

export function compileRules(_schema: RawSchema): RuleValidator | undefined {
  return undefined;
}
