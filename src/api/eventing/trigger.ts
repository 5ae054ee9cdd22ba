/** eventing.knative.dev/v1 Trigger: which events of a broker go to which subscriber. */
import { ageColumn, readyColumns } from '../knative/columns.ts';
import { statusProperties } from '../knative/conditions.ts';
import { destinationSchema } from '../knative/duck.ts';
import { fault, missingField, webhookDenial } from '../knative/field-errors.ts';
import { setUserAnnotations } from '../knative/users.ts';
import { defineResource, type AdmissionContext, type Issue, type ObjectOf } from '../resource.ts';
import type { Schema } from '../schema.ts';
import {
  defaultDestination,
  deliverySchema,
  deliveryStatusProperties,
  eventingGroup,
  eventingWebhook,
  isSpecWrite,
  textChanged,
  validateDelivery,
  validateDestination,
} from './ducks.ts';
import { filtersSchema, validateAttributeNames, validateFilters } from './filters.ts';

/** Names the broker of a trigger, so that triggers can be listed by broker. */
const brokerLabel = 'eventing.knative.dev/broker';
/** JSON of an ObjectReference in the same namespace: the trigger is not Ready before that object is. */
export const dependencyAnnotation = 'knative.dev/dependency';
/** `enabled` asks for a broker named default; only checked, brokers are made by people. */
const injectionAnnotation = 'eventing.knative.dev/injection';
/** `ordered` delivers one event at a time, in the order of the log. */
export const orderAnnotation = 'kafka.eventing.knative.dev/delivery.order';

const triggerSchema = {
  type: 'object',
  description: 'Which events of a broker go to which subscriber.',
  properties: {
    spec: {
      type: 'object',
      required: ['subscriber'],
      properties: {
        broker: { type: 'string', description: 'Name of a broker in the same namespace. Immutable.' },
        filter: {
          type: 'object',
          description: 'Attributes that an event must have; an empty value asks for any.',
          properties: { attributes: { type: 'object', additionalProperties: { type: 'string' } } },
        },
        filters: filtersSchema,
        subscriber: destinationSchema,
        delivery: deliverySchema,
      },
    },
    status: {
      type: 'object',
      properties: {
        ...statusProperties,
        ...deliveryStatusProperties,
        subscriberUri: { type: 'string' },
        subscriberCACerts: { type: 'string' },
        subscriberAudience: { type: 'string' },
      },
    },
  },
} as const satisfies Schema;

export type Trigger = ObjectOf<typeof triggerSchema>;

export const triggers = defineResource({
  group: eventingGroup,
  version: 'v1',
  kind: 'Trigger',
  plural: 'triggers',
  categories: ['all', 'knative', 'eventing'],
  namespaced: true,
  builtin: false,
  schema: triggerSchema,
  subresources: { status: true },
  columns: [
    { name: 'Broker', type: 'string', jsonPath: '.spec.broker' },
    { name: 'Subscriber_URI', type: 'string', jsonPath: '.status.subscriberUri' },
    ageColumn,
    ...readyColumns,
  ],
  mutate(trigger, context) {
    if (!isSpecWrite(context) || !trigger.spec) return;
    const { namespace } = trigger.metadata;
    trigger.spec.filter ??= {};
    if (trigger.spec.broker) (trigger.metadata.labels ??= {})[brokerLabel] = trigger.spec.broker;
    defaultDestination(trigger.spec.subscriber, namespace);
    defaultDestination(trigger.spec.delivery?.deadLetterSink, namespace);
    setUserAnnotations(trigger, context, eventingGroup);
  },
  validate: (trigger, context) => (isSpecWrite(context) ? validateTrigger(trigger, context) : []),
  denial: webhookDenial(eventingWebhook),
});

function validateTrigger(trigger: Trigger, context: AdmissionContext): Issue[] {
  const old: Trigger | undefined = context.old;
  const { spec } = trigger;
  if (!spec) return [missingField('spec.broker', 'spec.subscriber')];
  return [
    ...(spec.broker ? [] : [missingField('spec.broker')]),
    ...validateAttributeNames(spec.filter?.attributes, 'spec.filter.attributes'),
    ...validateFilters(spec.filters, 'spec.filters'),
    ...validateDestination(spec.subscriber, 'spec.subscriber'),
    ...validateDelivery(spec.delivery, 'spec.delivery'),
    ...validateAnnotations(trigger),
    ...(old
      ? textChanged(
          'Immutable fields changed (-old +new)',
          'spec.broker',
          old.spec?.broker ?? '',
          spec.broker ?? '',
        )
      : []),
  ];
}

function validateAnnotations(trigger: Trigger): Issue[] {
  const { annotations = {}, namespace } = trigger.metadata;
  const issues: Issue[] = [];
  const dependency = annotations[dependencyAnnotation];
  const at = (name: string): string => `metadata.annotations[${name}]`;
  if (dependency !== undefined) {
    const reference = parseDependency(dependency);
    const path = at(dependencyAnnotation);
    if (!reference) {
      const message = `The provided annotation was not a corev1.ObjectReference: ${JSON.stringify(dependency)}`;
      issues.push(fault(message, path));
    } else {
      for (const field of ['kind', 'name', 'apiVersion'] as const) {
        if (!reference[field]) issues.push(missingField(`${path}.${field}`));
      }
      if (reference.namespace && reference.namespace !== namespace) {
        const message = `Namespace must be empty or equal to the trigger namespace ${JSON.stringify(namespace)}`;
        issues.push(fault(message, `${path}.namespace`));
      }
    }
  }
  const injection = annotations[injectionAnnotation];
  if (injection !== undefined && injection !== 'enabled' && injection !== 'disabled') {
    const message = `The provided injection annotation value can only be "enabled" or "disabled", not ${JSON.stringify(injection)}`;
    issues.push(fault(message, at(injectionAnnotation)));
  }
  return issues;
}

/** The object that a trigger depends on, or undefined when the annotation is no reference. */
export function parseDependency(
  annotation: string,
): { kind?: string; name?: string; apiVersion?: string; namespace?: string } | undefined {
  try {
    const value: unknown = JSON.parse(annotation);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
