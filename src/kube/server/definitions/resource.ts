/** The resource `customresourcedefinitions`: what writing a definition means. */
import { customResourceDefinitions } from '../../../api/crd.ts';
import type { AdmissionContext, ResourceDef } from '../../../api/resource.ts';
import { validateStructure } from '../../../api/structural.ts';
import { isMembers } from '../../../api/structural-members.ts';
import { cleanupFinalizer, type Definition } from './definition.ts';
import { defaultDefinition, setCondition, updateStatus, type TakenNames } from './status.ts';
import { definitionIssues, type RuleCheck } from './validation.ts';

export interface DefinitionResourceOptions {
  readonly checkRules: RuleCheck;
  /** Names that others hold in the definition's group. */
  readonly taken: (definition: Definition) => TakenNames;
  /** The definition of one of the platform's own kinds, which nobody else can change. */
  readonly own: (name: string) => Definition | undefined;
}

export function definitionResource(options: DefinitionResourceOptions): ResourceDef<Definition> {
  return {
    ...(customResourceDefinitions as ResourceDef<Definition>),
    subresources: { status: true },
    deletionFinalizers: [cleanupFinalizer],
    mutate(definition, context) {
      const own = options.own(definition.metadata.name);
      if (own) return restore(definition, own);
      defaultDefinition(definition);
      if (!isComplete(definition)) return;
      if (context.subresource === 'status') return;
      updateStatus(definition, options.taken(definition), context.now);
      if (definition.metadata.deletionTimestamp) markTerminating(definition, context.now);
    },
    validate(definition, context) {
      if (options.own(definition.metadata.name) || !isComplete(definition)) return [];
      return definitionIssues(definition, oldOf(context), options.checkRules);
    },
  };
}

function oldOf(context: AdmissionContext): Definition | undefined {
  return context.old as Definition | undefined;
}

/** What a client may add to a definition of ours are labels and annotations; what is served stays what it is. */
function restore(definition: Definition, own: Definition): void {
  definition.spec = structuredClone(own.spec);
  if (own.status) definition.status = structuredClone(own.status);
  definition.metadata.labels = { ...definition.metadata.labels, ...own.metadata.labels };
  if (Object.keys(definition.metadata.labels).length === 0) delete definition.metadata.labels;
}

/** Whether the object has the form that the types promise; what is missing is reported from the schema. */
function isComplete(definition: Definition): boolean {
  return (
    isMembers(definition.spec) &&
    validateStructure(customResourceDefinitions.schema, definition, true).length === 0
  );
}

/** Said of a definition whose objects are still being deleted. In place. */
export function markTerminating(definition: Definition, now: number): void {
  const conditions = [...(definition.status?.conditions ?? [])];
  setCondition(
    conditions,
    {
      type: 'Terminating',
      status: 'True',
      reason: 'InstanceDeletionInProgress',
      message: 'CustomResource deletion is in progress',
    },
    now,
  );
  definition.status = { ...definition.status, conditions };
}
