/** sources.knative.dev PingSource: sends the same event again and again, as a clock says. */
import { ageColumn, readyColumns } from '../knative/columns.ts';
import { statusProperties } from '../knative/conditions.ts';
import { destinationSchema } from '../knative/duck.ts';
import { invalidKey, invalidValue, multipleOneOf, webhookDenial } from '../knative/field-errors.ts';
import { setUserAnnotations } from '../knative/users.ts';
import { defaultDestination, eventingWebhook, isSpecWrite, validateDestination } from '../eventing/ducks.ts';
import { alikeVersions } from '../alike-versions.ts';
import { defineResource, type Issue, type ObjectOf, type ResourceDef } from '../resource.ts';
import type { Schema } from '../schema.ts';
import { InvalidScheduleError, parseSchedule } from './schedule.ts';

const sourcesGroup = 'sources.knative.dev';
export const pingEventType = 'dev.knative.sources.ping';

/** The `source` attribute of a PingSource's events. */
export function pingEventSource(namespace: string, name: string): string {
  return `/apis/v1/namespaces/${namespace}/pingsources/${name}`;
}

const pingSourceSchema = {
  type: 'object',
  description: 'Sends the same event again and again, as a clock says.',
  properties: {
    spec: {
      type: 'object',
      properties: {
        schedule: {
          type: 'string',
          description: 'Five cron fields, or six with seconds first, or a descriptor such as @hourly.',
        },
        timezone: { type: 'string', description: 'IANA name; UTC when absent.' },
        contentType: { type: 'string', description: 'Media type of the data.' },
        data: { type: 'string' },
        dataBase64: { type: 'string' },
        sink: destinationSchema,
        ceOverrides: {
          type: 'object',
          properties: { extensions: { type: 'object', additionalProperties: { type: 'string' } } },
        },
      },
    },
    status: {
      type: 'object',
      properties: {
        ...statusProperties,
        sinkUri: { type: 'string' },
        sinkCACerts: { type: 'string' },
        sinkAudience: { type: 'string' },
        ceAttributes: {
          type: 'array',
          items: { type: 'object', properties: { type: { type: 'string' }, source: { type: 'string' } } },
        },
      },
    },
  },
} as const satisfies Schema;

export type PingSource = ObjectOf<typeof pingSourceSchema>;

function version(name: string): ResourceDef<PingSource> {
  return defineResource({
    group: sourcesGroup,
    version: name,
    kind: 'PingSource',
    plural: 'pingsources',
    categories: ['all', 'knative', 'sources'],
    namespaced: true,
    builtin: false,
    schema: pingSourceSchema,
    subresources: { status: true },
    crdLabels: { 'duck.knative.dev/source': 'true' },
    columns: [
      { name: 'Sink', type: 'string', jsonPath: '.status.sinkUri' },
      { name: 'Schedule', type: 'string', jsonPath: '.spec.schedule' },
      ageColumn,
      ...readyColumns,
    ],
    mutate(source, context) {
      if (!isSpecWrite(context)) return;
      const spec = (source.spec ??= {});
      spec.schedule ||= '* * * * *';
      defaultDestination(spec.sink, source.metadata.namespace);
      setUserAnnotations(source, context, sourcesGroup);
    },
    validate: (source, context) => (isSpecWrite(context) ? validatePingSource(source) : []),
    denial: webhookDenial(eventingWebhook),
    conversion: alikeVersions(() => pingSources),
  });
}

export const pingSources = version('v1');
/** What `kn` up to 1.16 asks for. */
export const pingSourcesV1beta2 = version('v1beta2');

function validatePingSource({ spec = {} }: PingSource): Issue[] {
  return [
    ...validateSchedule(spec.schedule ?? '', spec.timezone),
    ...validateDestination(spec.sink, 'spec.sink'),
    ...validateData(spec),
    ...Object.keys(spec.ceOverrides?.extensions ?? {})
      .filter((name) => !/^[a-z0-9]+$/i.test(name))
      .map((name) => invalidKey(name, 'spec.ceOverrides.extensions', 'keys are expected to be alphanumeric')),
  ];
}

function validateSchedule(schedule: string, timezone: string | undefined): Issue[] {
  try {
    parseSchedule(schedule, timezone);
    return [];
  } catch (error) {
    if (!(error instanceof InvalidScheduleError)) throw error;
    return [invalidValue(error.message, `spec.${error.field}`)];
  }
}

function validateData({ data, dataBase64, contentType }: NonNullable<PingSource['spec']>): Issue[] {
  if (data && dataBase64) return [multipleOneOf('spec.data', 'spec.dataBase64')];
  const json = contentType === 'application/json';
  if (dataBase64) {
    if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(dataBase64)) {
      return [invalidValue('illegal base64 data', 'spec.dataBase64')];
    }
    const fault = json ? jsonObjectFault(Buffer.from(dataBase64, 'base64').toString()) : undefined;
    return fault ? [invalidValue(fault, 'spec.dataBase64')] : [];
  }
  const fault = data && json ? jsonObjectFault(data) : undefined;
  return fault ? [invalidValue(fault, 'spec.data')] : [];
}

/** Why a text is no JSON object, or undefined when it is one (or null, which Knative takes too). */
function jsonObjectFault(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && !Array.isArray(value) ? undefined : 'not a JSON object';
  } catch (error) {
    return error instanceof Error ? error.message : 'not JSON';
  }
}
