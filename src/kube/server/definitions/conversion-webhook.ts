/** The strategy `Webhook`: somebody else converts objects between versions (apiextensions.k8s.io/v1 ConversionReview). */
import { randomUUID } from 'node:crypto';
import { messageOf } from '../../../base/errors.ts';
import type { KubeObject, UntypedObject } from '../../../api/object.ts';
import { apiVersionOf, qualifiedName, type Conversion, type ResourceDef } from '../../../api/resource.ts';
import { annotationIssues, labelIssues } from '../../../api/kubernetes/metadata.ts';
import { isMembers } from '../../../api/structural-members.ts';
import { ApiError } from '../../api-error.ts';
import type { Store } from '../../store/store.ts';
import { WebhookClient } from '../webhooks/client.ts';
import { targetOf, type Target } from '../webhooks/target.ts';
import { copyInput } from '../service/admission.ts';
import { reviewVersions } from './conversion-rules.ts';
import type { Definition } from './definition.ts';

/** As kube-apiserver. */
const timeoutMs = 30_000;
/** Objects in one question. A list of thousands is asked about in several. */
const batch = 500;
/** A batch of large objects, with room for what a conversion adds. */
const maxAnswerBytes = 64 * 1024 * 1024;

export class ConversionWebhooks {
  readonly #store: Store;
  readonly #client = new WebhookClient({ maxAnswerBytes, userAgent: 'knapsack-apiserver' });

  constructor(store: Store) {
    this.#store = store;
  }

  /** Converts objects of the definition by asking its webhook. Throws ApiError 500 with kube-apiserver's words. */
  converter(definition: Definition): Conversion['convert'] {
    return async (objects, to) => {
      const out: UntypedObject[] = [];
      for (let i = 0; i < objects.length; i += batch) {
        out.push(...(await this.#ask(definition, objects.slice(i, i + batch), to)));
      }
      return out;
    };
  }

  async #ask(
    definition: Definition,
    objects: readonly UntypedObject[],
    to: ResourceDef,
  ): Promise<UntypedObject[]> {
    const what = `conversion webhook for ${objects[0]?.apiVersion ?? ''}, Kind=${to.kind}`;
    const uid = randomUUID();
    const apiVersion = reviewVersionOf(definition);
    const desiredAPIVersion = apiVersionOf(to);
    const body = JSON.stringify({
      kind: 'ConversionReview',
      apiVersion,
      request: { uid, desiredAPIVersion, objects },
    });
    let answer: unknown;
    try {
      answer = await this.#client.post(this.#target(definition), body, timeoutMs);
    } catch (error) {
      throw failure(`${what} failed: ${messageOf(error)}`, error);
    }
    const converted = readAnswer(answer, apiVersion, uid, what);
    if (converted.length !== objects.length) {
      throw failure(`${what} returned ${converted.length} objects, expected ${objects.length}`);
    }
    return converted.map((object, i) => {
      const original = objects[i];
      try {
        if (!original) throw new Error('nothing was asked about it');
        return accept(object, original, to, desiredAPIVersion);
      } catch (error) {
        const why = messageOf(error);
        throw failure(`${what} returned invalid converted object at index ${i}: ${why}`, error);
      }
    });
  }

  #target({ spec }: Definition): Target {
    const config = spec.conversion?.webhook?.clientConfig;
    if (!config) throw new Error('no client configuration');
    return targetOf(config, <T extends KubeObject>(def: ResourceDef<T>, namespace?: string) =>
      this.#store
        .table(qualifiedName(def))
        .records(namespace)
        .map(({ object }) => object as T),
    );
  }
}

/** The first version that the webhook understands and that is spoken here. */
function reviewVersionOf({ spec }: Definition): string {
  const understood = spec.conversion?.webhook?.conversionReviewVersions ?? [];
  const version = understood.find((name) => reviewVersions.includes(name)) ?? 'v1';
  return `apiextensions.k8s.io/${version}`;
}

function failure(message: string, cause?: unknown): ApiError {
  const error = new ApiError('InternalError', message);
  if (cause !== undefined) error.cause = cause;
  return error;
}

function readAnswer(answer: unknown, reviewVersion: string, uid: string, what: string): readonly unknown[] {
  const review = isMembers(answer) ? answer : {};
  if (review['kind'] !== 'ConversionReview' || review['apiVersion'] !== reviewVersion) {
    const shown = `${JSON.stringify(review['apiVersion'])}, Kind=${JSON.stringify(review['kind'])}`;
    throw failure(`${what} failed: expected ${reviewVersion}, Kind=ConversionReview, got ${shown}`);
  }
  const response = review['response'];
  if (!isMembers(response)) throw failure(`${what} failed: no response provided`);
  if (response['uid'] !== uid) {
    const shown = JSON.stringify(response['uid']);
    throw failure(`${what} failed: expected response.uid=${JSON.stringify(uid)}, got ${shown}`);
  }
  const result = isMembers(response['result']) ? response['result'] : {};
  if (result['status'] !== 'Success') {
    const message = typeof result['message'] === 'string' ? result['message'] : '';
    throw failure(
      result['status'] === 'Failure' && message !== ''
        ? `${what} failed: ${message}`
        : `${what} failed: response.result.status was '${String(result['status'])}', expected 'Success'`,
    );
  }
  const objects = response['convertedObjects'];
  return Array.isArray(objects) ? (objects as unknown[]) : [];
}

/** What a webhook may have changed: everything but the identity of the object. Of metadata only labels and annotations. */
function accept(given: unknown, original: UntypedObject, to: ResourceDef, apiVersion: string): UntypedObject {
  if (!isMembers(given)) throw new Error('not an object');
  const object = copyInput(given) as Record<string, unknown>;
  if (object['apiVersion'] !== apiVersion) {
    const shown = JSON.stringify(object['apiVersion']);
    throw new Error(`invalid groupVersion (expected ${apiVersion}, got ${shown})`);
  }
  if (object['kind'] !== to.kind) {
    throw new Error(`invalid kind (expected ${to.kind}, got ${JSON.stringify(object['kind'])})`);
  }
  const { metadata } = object;
  if (!isMembers(metadata)) throw new Error('missing metadata in converted object');
  for (const field of ['name', 'namespace', 'uid'] as const) {
    if ((metadata[field] ?? '') === (original.metadata[field] ?? '')) continue;
    throw new Error(`must have the same ${field === 'uid' ? 'UID' : field}`);
  }
  const { labels: _labels, annotations: _annotations, ...kept } = original.metadata;
  const labels = texts(metadata['labels'], 'labels');
  const annotations = texts(metadata['annotations'], 'annotations');
  const [fault] = [
    ...labelIssues(labels, 'metadata.labels'),
    ...annotationIssues(annotations, 'metadata.annotations'),
  ];
  if (fault) throw new Error(`${fault.path}: ${fault.detail}`);
  const next = {
    ...structuredClone(kept),
    ...(labels ? { labels } : {}),
    ...(annotations ? { annotations } : {}),
  };
  const { apiVersion: _version, kind: _kind, metadata: _metadata, ...rest } = object;
  return { apiVersion, kind: to.kind, metadata: next, ...rest };
}

function texts(value: unknown, what: string): { [key: string]: string } | undefined {
  if (value === undefined || value === null) return undefined;
  const entries = isMembers(value) ? Object.entries(value) : undefined;
  if (!entries?.every((entry): entry is [string, string] => typeof entry[1] === 'string')) {
    throw new Error(`metadata.${what} must be a map of strings`);
  }
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}
