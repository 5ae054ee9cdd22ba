/** The subresources of pods through which others than their owners act on them: eviction and binding. */
import type { Clock } from '../../../base/clock.ts';
import type { UntypedObject } from '../../../api/object.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import { pods } from '../../../api/kubernetes/pods.ts';
import { isMembers } from '../../../api/structural-members.ts';
import { ApiError } from '../../api-error.ts';
import type { ObjectKey } from '../../client/client.ts';
import { decodeObject, readBody } from '../body.ts';
import { sendDocument, type Exchange } from '../exchange.ts';
import { negotiate } from '../media-type.ts';
import { deleteOptions, writeOptions } from '../options.ts';
import { badRequest } from '../service/errors.ts';
import type { WriteRequest } from '../service/requests.ts';
import type { ApiService } from '../service/service.ts';
import { methodNotAllowed } from '../status.ts';
import type { SubresourceHandler } from '../subresources.ts';
import { bind, bindings, type Binding } from './binding.ts';
import { evict } from './eviction.ts';

const evictions: ResourceDef = {
  group: 'policy',
  version: 'v1',
  kind: 'Eviction',
  listKind: 'EvictionList',
  plural: 'evictions',
  singular: 'eviction',
  namespaced: true,
  builtin: true,
  schema: { $ref: 'policy.v1.Eviction' },
  columns: [],
};

/** For `ApiServerOptions.subresources`. */
export function podActionHandlers(service: ApiService, clock: Clock): SubresourceHandler[] {
  return [
    {
      of: pods,
      name: 'eviction',
      verbs: ['create'],
      kind: evictions,
      async handle(exchange, { key }) {
        const { body, options } = await readPosted(exchange, evictions, key);
        const given = isMembers(body['deleteOptions']) ? body['deleteOptions'] : {};
        const {
          dryRun: asked,
          gracePeriodSeconds,
          propagationPolicy,
          preconditions,
        } = deleteOptions(exchange, given);
        const dryRun = agreedDryRun(given['dryRun'], options.dryRun === true, asked === true);
        await admit(service, key, 'eviction', body, { ...options, dryRun });
        const deletion = {
          ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
          ...(propagationPolicy === undefined ? {} : { propagationPolicy }),
          ...(preconditions === undefined ? {} : { preconditions }),
        };
        await evict(service, clock, key, { requester: options, deletion, dryRun });
        await sendSuccess(exchange);
      },
    },
    {
      of: pods,
      name: 'binding',
      verbs: ['create'],
      kind: bindings,
      async handle(exchange, { key }) {
        const { body, options } = await readPosted(exchange, bindings, key);
        const admitted = await admit(service, key, 'binding', body, options);
        await bind(service, clock, key, bindingOf(admitted), options);
        await sendSuccess(exchange);
      },
    },
  ];
}

/** The body of a POST about the object that the path names. */
async function readPosted(
  exchange: Exchange,
  def: ResourceDef,
  key: ObjectKey,
): Promise<{ body: UntypedObject; options: WriteRequest }> {
  const { method, request } = exchange;
  if (method !== 'POST') throw methodNotAllowed();
  const options = writeOptions(exchange, 'CreateOptions');
  const type = request.headers['content-type'];
  const posted = await decodeObject(exchange.yaml, await readBody(request), type, def);
  if (!isMembers(posted))
    throw badRequest(`the object provided is unrecognized (must be of type ${def.kind})`);
  const metadata = isMembers(posted['metadata']) ? posted['metadata'] : {};
  if (metadata['name'] !== undefined && metadata['name'] !== '' && metadata['name'] !== key.name) {
    throw badRequest(`name in URL does not match name in ${def.kind} object`);
  }
  const version = def.group ? `${def.group}/${def.version}` : def.version;
  const body: UntypedObject = {
    ...posted,
    apiVersion:
      typeof posted['apiVersion'] === 'string' && posted['apiVersion'] ? posted['apiVersion'] : version,
    kind: def.kind,
    metadata: { ...metadata, name: key.name, ...(key.namespace ? { namespace: key.namespace } : {}) },
  };
  return { body, options };
}

/** Query and body may both ask for a dry run, but must not contradict each other. */
function agreedDryRun(inBody: unknown, inQuery: boolean, asked: boolean): boolean {
  const saysBody = Array.isArray(inBody) && inBody.length > 0;
  if (inBody !== undefined && inQuery && !saysBody) {
    throw badRequest('Non-matching dry-run options in request and content: [All] and []');
  }
  return inQuery || asked;
}

async function admit(
  service: ApiService,
  key: ObjectKey,
  subresource: string,
  object: UntypedObject,
  options: WriteRequest,
): Promise<UntypedObject> {
  const action = { operation: 'CREATE', subresource, object } as const;
  return (await service.admit(pods, key, action, options)).object;
}

function bindingOf(object: UntypedObject): Binding {
  const { metadata, target } = object;
  if (!isMembers(target)) throw new ApiError('BadRequest', 'a Binding must have a target');
  return { metadata, target };
}

async function sendSuccess({ request, response }: Exchange): Promise<void> {
  const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };
  await sendDocument(response, 201, status, negotiate(request.headers.accept));
}
