/** Configuration → Revision; knows which one was made last and which one became ready last. */
import {
  conditionFalse,
  conditionStatus,
  conditionTrue,
  conditionUnknown,
  findCondition,
  nextConditions,
  type ConditionSet,
  type ConditionValue,
} from '../../api/knative/conditions.ts';
import { labels } from '../../api/serving/labels.ts';
import { configurations, revisions, type Configuration, type Revision } from '../../api/serving/index.ts';
import { hasReason } from '../../kube/api-error.ts';
import { messageOf } from '../../base/errors.ts';
import { TerminalError, type Controller } from '../../kube/controller/controller.ts';
import { writeStatus } from '../../kube/controller/write-status.ts';
import { createOrGet, isControlledBy } from '../apply.ts';
import type { ServingEnv } from '../env.ts';
import { makeRevision } from './resources/revision.ts';
import { sameTemplate } from './template.ts';

const configurationConditions: ConditionSet = { happy: 'Ready', dependents: [] };

/** The Ready condition when the newest revision could not be made. */
function creationFailed(message: string): ConditionValue {
  return conditionFalse('RevisionFailed', `Revision creation failed with message: ${message}.`);
}

/** The Ready condition when the newest revision failed. */
function latestCreatedFailed(name: string, message: string): ConditionValue {
  return conditionFalse(
    'RevisionFailed',
    `Revision ${JSON.stringify(name)} failed with message: ${message}.`,
  );
}

export function configurationController(env: ServingEnv): Controller {
  const { client, clock, informers } = env;
  const configurationInformer = informers.for(configurations);
  const revisionInformer = informers.for(revisions);

  return {
    name: 'configuration',
    root: configurations,
    owns: [revisions],
    concurrency: 16,
    async reconcile({ namespace, name }) {
      const configuration = configurationInformer.get(`${namespace}/${name}`);
      if (!configuration || configuration.metadata.deletionTimestamp) return;
      const desired = makeRevision(configuration, clock.now());
      let latest: Revision | undefined;
      let failure: string | undefined;
      try {
        latest =
          revisionInformer.get(`${namespace}/${desired.metadata.name}`) ??
          (await createOrGet(client, revisions, desired));
        failure = collision(configuration, latest, desired);
      } catch (error) {
        if (!hasReason(error, 'BadRequest', 'Invalid', 'Forbidden')) throw error;
        failure = messageOf(error);
      }
      await writeStatus(client, configurations, configuration, nextStatus(configuration, latest, failure));
      // Trying the same again cannot help; a change of the configuration or of its revisions brings us back.
      if (failure !== undefined && !latest) throw new TerminalError(failure);
    },
  };

  function nextStatus(
    configuration: Configuration,
    latest: Revision | undefined,
    failure: string | undefined,
  ): NonNullable<Configuration['status']> {
    const { generation } = configuration.metadata;
    const old = configuration.status;
    const created = failure === undefined ? latest?.metadata.name : old?.latestCreatedRevisionName;
    const ready = latestReady(configuration, failure === undefined ? latest : undefined);
    let says: ConditionValue;
    if (failure !== undefined) says = creationFailed(failure);
    else if (latest && conditionStatus(latest.status?.conditions, 'Ready') === 'False') {
      const condition = findCondition(latest.status?.conditions, 'Ready');
      says = latestCreatedFailed(latest.metadata.name, condition?.message ?? '');
    } else says = created !== undefined && created === ready ? conditionTrue : conditionUnknown();
    return {
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      conditions: nextConditions(configurationConditions, old?.conditions, { Ready: says }, clock.now()),
      ...(created ? { latestCreatedRevisionName: created } : {}),
      ...(ready ? { latestReadyRevisionName: ready } : {}),
    };
  }

  /** The newest ready revision that is not older than the one that was the newest ready one before. */
  function latestReady(configuration: Configuration, latest: Revision | undefined): string | undefined {
    const before = configuration.status?.latestReadyRevisionName;
    if (latest && isReady(latest)) return latest.metadata.name;
    const own = revisionInformer
      .ownedBy(configuration.metadata.uid ?? '')
      .filter((revision) => isReady(revision) && !revision.metadata.deletionTimestamp)
      .sort((a, b) => generationOf(b) - generationOf(a));
    const previous = own.find((revision) => revision.metadata.name === before);
    const newest = own[0];
    // A ready revision that has since failed stays the answer until a newer one is ready.
    if (!newest) return before;
    if (before !== undefined && !previous) {
      const floor = revisionInformer.get(`${configuration.metadata.namespace}/${before}`);
      return floor && generationOf(floor) > generationOf(newest) ? before : newest.metadata.name;
    }
    // Going back to an older chosen name makes an older revision the newest ready one on purpose.
    return previous && latest && generationOf(latest) < generationOf(newest) ? before : newest.metadata.name;
  }
}

function isReady(revision: Revision): boolean {
  return conditionStatus(revision.status?.conditions, 'Ready') === 'True';
}

function generationOf(revision: Revision): number {
  return Number(revision.metadata.labels?.[labels.configurationGeneration] ?? 0);
}

/**
 * Why the revision that has the wanted name is not the wanted one: another owner, or another generation with another
 * spec. An equal spec is the same revision: that is how one goes back to an earlier chosen name.
 */
function collision(configuration: Configuration, found: Revision, desired: Revision): string | undefined {
  const taken = `revisions.serving.knative.dev ${JSON.stringify(found.metadata.name)} already exists`;
  if (!isControlledBy(found, configuration)) return taken;
  if (generationOf(found) === generationOf(desired)) return undefined;
  return sameTemplate({ spec: found.spec ?? {} }, { spec: desired.spec ?? {} }) ? undefined : taken;
}
