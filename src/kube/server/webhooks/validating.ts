/** Validating webhooks: all at once, each with the object as it will be stored (apiserver …/webhook/validating). */
import type { AdmissionAttributes } from '../service/admission-plugin.ts';
import type { Asker, Question } from './ask.ts';
import type { ConfiguredWebhook } from './configurations.ts';
import { accessOf, meetsConditions, selectedAs, type Siblings } from './match.ts';
import { makeReviewRequest, shownObject } from './review.ts';

/** Warnings. Throws the ApiError of the first webhook, in the order of their configuration, that refuses or fails. */
export async function validate(
  asker: Asker,
  hooks: readonly ConfiguredWebhook[],
  attributes: AdmissionAttributes,
  siblings: Siblings,
): Promise<string[]> {
  const questions: Question[] = [];
  for (const hook of hooks) {
    const as = selectedAs(hook, attributes, siblings);
    if (!as) continue;
    const request = makeReviewRequest(attributes, as);
    const object = await shownObject(attributes, as, attributes.object);
    const oldObject = await shownObject(attributes, as, attributes.old);
    if (
      !meetsConditions(hook, attributes, () => ({
        object,
        oldObject,
        request,
        access: accessOf(asker.access, attributes),
      }))
    )
      continue;
    questions.push({ hook, attributes, request, object, oldObject, mutating: false });
  }
  const warnings = new Set<string>();
  const outcomes = await Promise.allSettled(
    questions.map(async (question, i) => {
      const verdict = await asker.ask(question, (text) => warnings.add(text));
      if (verdict) return;
      const place = `failed-open.validating.webhook.admission.k8s.io/round_0_index_${i}`;
      attributes.request.annotate?.(place, question.hook.name);
    }),
  );
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  return [...warnings];
}
