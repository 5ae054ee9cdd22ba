/** Validating webhooks: all at once, each with the object as it will be stored (apiserver …/webhook/validating). */
import type { AdmissionAttributes } from '../service/admission-plugin.ts';
import type { Asker } from './ask.ts';
import type { ConfiguredWebhook } from './configurations.ts';
import { isSelected, meetsConditions } from './match.ts';
import { makeReviewRequest, shownObject } from './review.ts';

/** Warnings. Throws the ApiError of the first webhook, in the order of their configuration, that refuses or fails. */
export async function validate(
  asker: Asker,
  hooks: readonly ConfiguredWebhook[],
  attributes: AdmissionAttributes,
): Promise<string[]> {
  const request = makeReviewRequest(attributes);
  const object = shownObject(attributes, attributes.object);
  const oldObject = shownObject(attributes, attributes.old);
  const wanted = hooks.filter(
    (hook) =>
      isSelected(hook, attributes) &&
      meetsConditions(hook, attributes, () => ({ object, oldObject, request })),
  );
  const warnings = new Set<string>();
  const outcomes = await Promise.allSettled(
    wanted.map(async (hook, i) => {
      const question = { hook, attributes, request, object, oldObject, mutating: false };
      const verdict = await asker.ask(question, (text) => warnings.add(text));
      if (verdict) return;
      const place = `failed-open.validating.webhook.admission.k8s.io/round_0_index_${i}`;
      attributes.request.annotate?.(place, hook.name);
    }),
  );
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  return [...warnings];
}
