/** The OpenAPI documents of v2 and v3. */
import type { ApiCatalog, GroupVersion } from '../catalog.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import { operationsOf, pathParameters, type Operation, type Parameter, type Payload } from './operations.ts';
import { addResource, definitionName, Definitions, type Doc } from './schemas.ts';

const answerTypes = ['application/json', 'application/json;stream=watch', 'application/yaml'];
/** kubectl apply learns from these whether a kind takes strategic merge patches. */
function bodyTypes(def: ResourceDef, operation: Operation): readonly string[] {
  if (operation.method !== 'patch') return ['*/*'];
  const strategic = def.builtin && !operation.path.endsWith('/scale');
  return [
    'application/json-patch+json',
    'application/merge-patch+json',
    ...(strategic ? ['application/strategic-merge-patch+json'] : []),
  ];
}

/** Swagger 2.0 of everything. `version` is the Kubernetes version that the server speaks. */
export function makeOpenApiV2(catalog: ApiCatalog, version: string): Doc {
  const definitions = new Definitions('v2');
  const paths: Record<string, Doc> = {};
  for (const def of catalog.resources) {
    addResource(definitions, def);
    for (const operation of operationsOf(catalog, def)) {
      const item = (paths[operation.path] ??= {
        parameters: pathParameters(operation.path).map(parameterV2),
      });
      item[operation.method] = operationV2(definitions, def, operation);
    }
  }
  definitions.complete();
  return {
    swagger: '2.0',
    info: { title: 'Knapsack', version },
    paths,
    definitions: definitions.schemas,
  };
}

function operationV2(definitions: Definitions, def: ResourceDef, operation: Operation): Doc {
  const body = operation.body && payloadRef(definitions, def, operation.body);
  const answer = payloadRef(definitions, def, operation.answer);
  return {
    description: operation.description,
    operationId: operation.id,
    consumes: bodyTypes(def, operation),
    produces: operation.answer === 'text' ? ['text/plain'] : answerTypes,
    schemes: ['https'],
    parameters: [
      ...(body ? [{ in: 'body', name: 'body', required: operation.method !== 'delete', schema: body }] : []),
      ...operation.parameters.map(parameterV2),
    ],
    responses: { 200: { description: 'OK', schema: answer }, 401: { description: 'Unauthorized' } },
    'x-kubernetes-action': operation.action,
    'x-kubernetes-group-version-kind': operation.kind,
  };
}

function parameterV2(parameter: Parameter): Doc {
  const { name, type, description } = parameter;
  const required = parameter.in === 'path' ? { required: true } : {};
  return { name, in: parameter.in, type, description, uniqueItems: true, ...required };
}

/** OpenAPI 3.0 of one group version. */
export function makeOpenApiV3(catalog: ApiCatalog, groupVersion: GroupVersion, version: string): Doc {
  const definitions = new Definitions('v3');
  const paths: Record<string, Doc> = {};
  for (const def of groupVersion.resources) {
    addResource(definitions, def);
    for (const operation of operationsOf(catalog, def)) {
      const item = (paths[operation.path] ??= {
        parameters: pathParameters(operation.path).map(parameterV3),
      });
      item[operation.method] = operationV3(definitions, def, operation);
    }
  }
  definitions.complete();
  return {
    openapi: '3.0.0',
    info: { title: 'Knapsack', version },
    paths,
    components: { schemas: definitions.schemas },
  };
}

function operationV3(definitions: Definitions, def: ResourceDef, operation: Operation): Doc {
  const schema = payloadRef(definitions, def, operation.answer);
  const types = operation.answer === 'text' ? ['text/plain'] : answerTypes;
  const content = (names: readonly string[], schema: Doc): Doc =>
    Object.fromEntries(names.map((name) => [name, { schema }]));
  const body = operation.body && payloadRef(definitions, def, operation.body);
  return {
    tags: [`${def.group || 'core'}_${def.version}`.replaceAll('.', '_')],
    description: operation.description,
    operationId: operation.id,
    parameters: operation.parameters.map(parameterV3),
    ...(body
      ? {
          requestBody: {
            content: content(bodyTypes(def, operation), body),
            required: operation.method !== 'delete',
          },
        }
      : {}),
    responses: {
      200: { description: 'OK', content: content(types, schema) },
      401: { description: 'Unauthorized' },
    },
    'x-kubernetes-action': operation.action,
    'x-kubernetes-group-version-kind': operation.kind,
  };
}

function parameterV3(parameter: Parameter): Doc {
  const { name, type, description } = parameter;
  const required = parameter.in === 'path' ? { required: true } : {};
  return { name, in: parameter.in, description, schema: { type, uniqueItems: true }, ...required };
}

function payloadRef(definitions: Definitions, def: ResourceDef, payload: Payload): Doc {
  if (payload === 'text') return { type: 'string' };
  if (payload === 'object') return { $ref: definitions.ref(definitionName(def)) };
  if (payload === 'list') return { $ref: definitions.ref(`${definitionName(def)}List`) };
  return { $ref: definitions.refTo(payload.type) };
}
