/** eventing.knative.dev/v1 Broker: takes events in, and hands them to the triggers that want them. */
import { deepEqual } from '../../base/json.ts';
import { ageColumn, readyColumns } from '../knative/columns.ts';
import { statusProperties } from '../knative/conditions.ts';
import { addressableSchema, referenceSchema } from '../knative/duck.ts';
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
} from './ducks.ts';

/** Which implementation serves a broker. Immutable. */
export const brokerClassAnnotation = 'eventing.knative.dev/broker.class';
/** The class that Knapsack serves. The name is the one that manifests carry everywhere. */
export const defaultBrokerClass = 'MTChannelBasedBroker';

const brokerSchema = {
  type: 'object',
  description: 'Takes events in, and hands them to the triggers that want them.',
  properties: {
    spec: {
      type: 'object',
      properties: { config: referenceSchema, delivery: deliverySchema },
    },
    status: {
      type: 'object',
      properties: {
        ...statusProperties,
        ...deliveryStatusProperties,
        address: addressableSchema,
      },
    },
  },
} as const satisfies Schema;

export type Broker = ObjectOf<typeof brokerSchema>;

export const brokers = defineResource({
  group: eventingGroup,
  version: 'v1',
  kind: 'Broker',
  plural: 'brokers',
  categories: ['all', 'knative', 'eventing'],
  namespaced: true,
  builtin: false,
  schema: brokerSchema,
  subresources: { status: true },
  crdLabels: { 'duck.knative.dev/addressable': 'true' },
  columns: [
    { name: 'URL', type: 'string', jsonPath: '.status.address.url' },
    ageColumn,
    ...readyColumns,
    {
      name: 'Class',
      type: 'string',
      priority: 1,
      jsonPath: '.metadata.annotations.eventing\\.knative\\.dev/broker\\.class',
    },
  ],
  mutate(broker, context) {
    if (!isSpecWrite(context)) return;
    const annotations = (broker.metadata.annotations ??= {});
    annotations[brokerClassAnnotation] ??= defaultBrokerClass;
    const spec = (broker.spec ??= {});
    if (spec.config && !spec.config.namespace && broker.metadata.namespace) {
      spec.config.namespace = broker.metadata.namespace;
    }
    defaultDestination(spec.delivery?.deadLetterSink, broker.metadata.namespace);
    setUserAnnotations(broker, context, eventingGroup);
  },
  validate: (broker, context) => (isSpecWrite(context) ? validateBroker(broker, context) : []),
  denial: webhookDenial(eventingWebhook),
});

function validateBroker(broker: Broker, context: AdmissionContext): Issue[] {
  const { config, delivery } = broker.spec ?? {};
  const old: Broker | undefined = context.old;
  const issues: Issue[] = [];
  for (const field of ['name', 'kind', 'apiVersion'] as const) {
    if (config && !config[field]) issues.push(missingField(`spec.config.${field}`));
  }
  issues.push(...validateDelivery(delivery, 'spec.delivery'));
  if (!old) return issues;
  if (!deepEqual(old.spec?.config, config)) {
    issues.push(
      fault(
        'Immutable fields changed (-old +new)',
        'spec',
        `{v1.BrokerSpec}.Config:\n\t-: ${describe(old.spec?.config)}\n\t+: ${describe(config)}`,
      ),
    );
  }
  const classOf = (object: Broker): string => object.metadata.annotations?.[brokerClassAnnotation] ?? '';
  issues.push(
    ...textChanged('Immutable annotations changed (-old +new)', 'annotations', classOf(old), classOf(broker)),
  );
  return issues;
}

function describe(value: unknown): string {
  return value === undefined ? 'nil' : JSON.stringify(value);
}
