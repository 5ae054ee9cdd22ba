/** Asks one webhook about one request. */
import { randomUUID } from 'node:crypto';
import { messageOf } from '../../../base/errors.ts';
import type { Logger } from '../../../base/log.ts';
import { ApiError } from '../../api-error.ts';
import type { AccessSource } from '../cel/index.ts';
import type { AdmissionAttributes } from '../service/admission-plugin.ts';
import { badRequest } from '../service/errors.ts';
import type { WebhookClient } from './client.ts';
import type { ConfiguredWebhook } from './configurations.ts';
import {
  makeReview,
  readReview,
  refusalOf,
  reviewVersionOf,
  type ReviewRequest,
  type Verdict,
} from './review.ts';
import { targetOf } from './target.ts';

export interface Question {
  readonly hook: ConfiguredWebhook;
  readonly attributes: AdmissionAttributes;
  readonly request: ReviewRequest;
  readonly object: unknown;
  readonly oldObject: unknown;
  readonly mutating: boolean;
}

/** The call failed, so what it would have said is not known: the failure policy decides. */
export class WebhookCallError extends Error {
  override name = 'WebhookCallError';
}

/** 500 that tells which webhook could not be asked, as kube-apiserver words it. */
export function internalError(text: string): ApiError {
  return new ApiError('InternalError', `Internal error occurred: ${text}`, { causes: [{ message: text }] });
}

export class Asker {
  /** Answers what conditions ask `authorizer`. */
  readonly access: AccessSource | undefined;
  readonly #client: WebhookClient;
  readonly #log: Logger;

  constructor(client: WebhookClient, log: Logger, access: AccessSource | undefined) {
    this.#client = client;
    this.#log = log;
    this.access = access;
  }

  /**
   * The webhook's consent, or undefined when it could not be asked and its policy is to go on without. Warnings and audit
   * annotations count in either case of an answer. Throws ApiError: refused, or not to be asked.
   */
  async ask(question: Question, warn: (text: string) => void): Promise<Verdict | undefined> {
    const { hook, attributes } = question;
    const { sideEffects } = hook.webhook;
    if (attributes.dryRun && sideEffects !== 'None' && sideEffects !== 'NoneOnDryRun') {
      throw badRequest(`admission webhook ${JSON.stringify(hook.name)} does not support dry run`);
    }
    let verdict: Verdict;
    try {
      verdict = await this.#call(question);
    } catch (error) {
      const text = `failed calling webhook ${JSON.stringify(hook.name)}: ${messageOf(error)}`;
      const { configuration, failsOpen } = hook;
      this.#log.warn(
        { webhook: hook.name, configuration, failsOpen, error: messageOf(error) },
        'webhook failed',
      );
      if (failsOpen) return undefined;
      throw internalError(text);
    }
    for (const [key, value] of Object.entries(verdict.auditAnnotations)) {
      attributes.request.annotate?.(`${hook.name}/${key}`, value);
    }
    for (const text of verdict.warnings) warn(text);
    if (!verdict.allowed) throw refusalOf(hook.name, verdict.result);
    return verdict;
  }

  /** Throws an Error that says what went wrong. */
  async #call({ hook, attributes, request, object, oldObject, mutating }: Question): Promise<Verdict> {
    const { clientConfig, timeoutSeconds = 10 } = hook.webhook;
    const version = reviewVersionOf(hook);
    const uid = randomUUID();
    const body = makeReview(version, uid, request, { object, oldObject });
    let answer: unknown;
    try {
      answer = await this.#client.post(
        targetOf(clientConfig, attributes.stored),
        body,
        timeoutSeconds * 1000,
      );
    } catch (error) {
      throw new WebhookCallError(`failed to call webhook: ${messageOf(error)}`, { cause: error });
    }
    try {
      return readReview(answer, version, uid, mutating);
    } catch (error) {
      throw new WebhookCallError(`received invalid webhook response: ${messageOf(error)}`, { cause: error });
    }
  }
}
