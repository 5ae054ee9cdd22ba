/**
 * Keeps the FlowSchemas and PriorityLevelConfigurations that every server has, and tells of each FlowSchema whether its
 * level is there (apiserver pkg/util/flowcontrol and kubernetes pkg/registry/flowcontrol/ensurer).
 */
import { deepEqual } from '../base/json.ts';
import {
  flowSchemas,
  priorityLevelConfigurations,
  type FlowSchema,
  type PriorityLevelConfiguration,
} from '../api/kubernetes/flow-control.ts';
import {
  autoUpdateAnnotation,
  mandatoryFlowSchemas,
  mandatoryPriorityLevels,
  suggestedFlowSchemas,
  suggestedPriorityLevels,
} from '../api/kubernetes/flow-control-defaults.ts';
import { timestamp, type KubeObject } from '../api/object.ts';
import type { ResourceDef } from '../api/resource.ts';
import { hasReason, isConflict, isNotFound } from '../kube/api-error.ts';
import type { Client, ObjectKey } from '../kube/client/client.ts';
import { watches, type Controller, type ControllerEnv, type Outcome } from '../kube/controller/controller.ts';
import { writeStatus } from '../kube/controller/write-status.ts';

const levels = [...mandatoryPriorityLevels, ...suggestedPriorityLevels];
const schemas = [...mandatoryFlowSchemas, ...suggestedFlowSchemas];
const mandatory: ReadonlySet<KubeObject> = new Set([...mandatoryPriorityLevels, ...mandatoryFlowSchemas]);

export function flowControlControllers(env: ControllerEnv): Controller[] {
  return [levelController(env), schemaController(env)];
}

function levelController(env: ControllerEnv): Controller {
  const informer = env.informers.for(priorityLevelConfigurations);
  return {
    name: 'priority-level-configuration',
    root: priorityLevelConfigurations,
    async reconcile({ name }: ObjectKey): Promise<Outcome> {
      const wanted = levels.find(({ metadata }) => metadata.name === name);
      if (wanted) await keep(env.client, priorityLevelConfigurations, wanted, informer.get(name));
    },
  };
}

function schemaController(env: ControllerEnv): Controller {
  const informer = env.informers.for(flowSchemas);
  const levelInformer = env.informers.for(priorityLevelConfigurations);
  return {
    name: 'flow-schema',
    root: flowSchemas,
    watches: [
      watches(priorityLevelConfigurations, ({ metadata }) =>
        informer
          .list()
          .filter(({ spec }) => spec?.priorityLevelConfiguration.name === metadata.name)
          .map((schema) => schema.metadata.name),
      ),
    ],
    async reconcile({ name }: ObjectKey): Promise<Outcome> {
      const schema = informer.get(name);
      const wanted = schemas.find(({ metadata }) => metadata.name === name);
      if (wanted) await keep(env.client, flowSchemas, wanted, schema);
      if (!schema || schema.metadata.deletionTimestamp) return;
      const level = schema.spec?.priorityLevelConfiguration.name ?? '';
      const isDangling = !levelInformer.get(level);
      const status = decideStatus(schema, level, isDangling, env.clock.now());
      if (status) await writeStatus(env.client, flowSchemas, schema, status);
    },
  };
}

/** Makes the objects that are missing. The controllers do it later on, when one is deleted or changed. */
export async function ensureFlowControlDefaults({ client }: Pick<ControllerEnv, 'client'>): Promise<void> {
  await Promise.all([
    ...levels.map((level) => create(client, priorityLevelConfigurations, level)),
    ...schemas.map((schema) => create(client, flowSchemas, schema)),
  ]);
}

async function create<T extends KubeObject>(client: Client, def: ResourceDef<T>, object: T): Promise<void> {
  try {
    await client.create(def, object);
  } catch (error) {
    if (!hasReason(error, 'AlreadyExists')) throw error;
  }
}

/** A mandatory object is always as it should be; a suggested one is while nobody has taken it over. */
async function keep<T extends FlowSchema | PriorityLevelConfiguration>(
  client: Client,
  def: ResourceDef<T>,
  wanted: T,
  stored: T | undefined,
): Promise<void> {
  if (!stored) return create(client, def, wanted);
  if (stored.metadata.deletionTimestamp) return;
  const isOurs = mandatory.has(wanted) || stored.metadata.annotations?.[autoUpdateAnnotation] === 'true';
  // What is exempt may be tuned by an administrator.
  if (!isOurs || wanted.metadata.name === 'exempt' || deepEqual(stored.spec, wanted.spec)) return;
  try {
    await client.update(def, { ...stored, spec: wanted.spec });
  } catch (error) {
    // Written or deleted meanwhile: that change brings us back.
    if (!isConflict(error) && !isNotFound(error)) throw error;
  }
}

/** Undefined when the status says it already. Pure. */
export function decideStatus(
  { status }: FlowSchema,
  level: string,
  isDangling: boolean,
  now: number,
): NonNullable<FlowSchema['status']> | undefined {
  const condition = {
    type: 'Dangling',
    status: isDangling ? 'True' : 'False',
    reason: isDangling ? 'NotFound' : 'Found',
    message: isDangling
      ? `This FlowSchema references the PriorityLevelConfiguration object named ${JSON.stringify(level)} but there is no such object`
      : `This FlowSchema references the PriorityLevelConfiguration object named ${JSON.stringify(level)} and it exists`,
  };
  const others = (status?.conditions ?? []).filter(({ type }) => type !== 'Dangling');
  const before = status?.conditions?.find(({ type }) => type === 'Dangling');
  const { lastTransitionTime, ...said } = before ?? {};
  if (deepEqual(said, condition)) return undefined;
  const since =
    before?.status === condition.status && lastTransitionTime ? lastTransitionTime : timestamp(now);
  return { ...status, conditions: [...others, { ...condition, lastTransitionTime: since }] };
}
