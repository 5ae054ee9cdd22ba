/** Conditions of webhook configurations must be valid expressions: what cannot be compiled would refuse every write. */
import {
  isWebhookConfiguration,
  type AnyWebhookConfiguration,
} from '../../../api/kubernetes/webhook-configurations.ts';
import { messageOf } from '../../../base/errors.ts';
import type { Issue } from '../../../api/resource.ts';
import { compileMatchCondition } from '../cel/index.ts';
import type { AdmissionPlugin } from '../service/admission-plugin.ts';
import { invalid } from '../service/errors.ts';

export const matchConditions: AdmissionPlugin = {
  name: 'MatchConditions',
  validate({ def, name, object }) {
    if (!object || !isWebhookConfiguration(def)) return;
    const issues: Issue[] = [];
    const { webhooks = [] } = object as AnyWebhookConfiguration & typeof object;
    for (const [i, webhook] of webhooks.entries()) {
      for (const [j, { expression }] of (webhook.matchConditions ?? []).entries()) {
        try {
          compileMatchCondition(expression);
        } catch (error) {
          const path = `webhooks[${i}].matchConditions[${j}].expression`;
          const detail = messageOf(error);
          issues.push({ type: 'Invalid', path, value: expression, detail });
        }
      }
    }
    if (issues.length > 0) throw invalid(def, name, issues);
  },
};
