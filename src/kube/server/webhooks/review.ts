/** AdmissionReview (admission.k8s.io/v1 and v1beta1): the question to a webhook and its answer. Pure. */
import type { KubeObject, UntypedObject } from '../../../api/object.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import { reviewVersions } from '../../../api/kubernetes/webhook-configurations.ts';
import { isMembers } from '../../../api/structural-members.ts';
import { ApiError, type StatusReason } from '../../api-error.ts';
import type { AdmissionAttributes } from '../service/admission-plugin.ts';
import { readScale } from '../service/scale.ts';
import { inVersion } from '../service/versions.ts';
import type { ConfiguredWebhook } from './configurations.ts';
import { namespaceOf } from './match.ts';

const reviewGroup = 'admission.k8s.io';

/** An AdmissionRequest without uid and objects; also what match conditions see as `request`. */
export type ReviewRequest = Readonly<Record<string, unknown>>;

type Kind = { readonly group: string; readonly version: string; readonly kind: string };

/** The kind of the objects of a request: that of the resource, unless the subresource or the stream has its own. */
function kindOf({ subresource, operation, object }: AdmissionAttributes, def: ResourceDef): Kind {
  if (subresource === 'scale') return { group: 'autoscaling', version: 'v1', kind: 'Scale' };
  // What is posted to a subresource, or the options of a stream, has a kind of its own.
  if (object && (operation === 'CONNECT' || (operation === 'CREATE' && subresource))) {
    const [version = '', ownGroup = ''] = object.apiVersion.split('/').reverse();
    return { group: ownGroup, version, kind: object.kind };
  }
  return { group: def.group, version: def.version, kind: def.kind };
}

/** What a webhook that is asked in the version `as` sees of an object: for `scale` the Scale. Throws ApiError. */
export function shownObject(
  { def, subresource }: Pick<AdmissionAttributes, 'def' | 'subresource'>,
  as: ResourceDef,
  object: KubeObject | undefined,
): KubeObject | null | Promise<KubeObject> {
  if (!object) return null;
  const paths = subresource === 'scale' ? def.subresources?.scale : undefined;
  if (paths) return readScale(paths, object);
  // Anything else on a subresource (an eviction, the options of a stream) is of a kind without versions.
  if (as === def || object.kind !== def.kind) return object;
  return inVersion(as, object as UntypedObject);
}

const optionKinds = { CREATE: 'CreateOptions', UPDATE: 'UpdateOptions', DELETE: 'DeleteOptions' } as const;

function optionsOf({ operation, request, dryRun }: AdmissionAttributes): object | null {
  if (operation === 'CONNECT') return null;
  const { fieldManager, fieldValidation, gracePeriodSeconds, propagationPolicy, preconditions } = request;
  const given = Object.entries(
    operation === 'DELETE'
      ? { gracePeriodSeconds, propagationPolicy, preconditions }
      : { fieldManager, fieldValidation },
  ).filter(([, value]) => value !== undefined);
  return {
    kind: optionKinds[operation],
    apiVersion: 'meta.k8s.io/v1',
    ...(Object.fromEntries(given) as object),
    ...(dryRun ? { dryRun: ['All'] } : {}),
  };
}

/** What a webhook is told that is asked in the version `as`. */
export function makeReviewRequest(attributes: AdmissionAttributes, as: ResourceDef): ReviewRequest {
  const { def, subresource, operation, name, dryRun, user, uid, groups, extra } = attributes;
  const resourceOf = ({ group, version, plural }: ResourceDef): object => ({
    group,
    version,
    resource: plural,
  });
  const namespace = namespaceOf(attributes);
  return {
    kind: kindOf(attributes, as),
    resource: resourceOf(as),
    ...(subresource ? { subResource: subresource } : {}),
    requestKind: kindOf(attributes, def),
    requestResource: resourceOf(def),
    ...(subresource ? { requestSubResource: subresource } : {}),
    ...(name ? { name } : {}),
    ...(namespace ? { namespace } : {}),
    operation,
    userInfo: {
      username: user,
      ...(uid ? { uid } : {}),
      ...(groups ? { groups } : {}),
      ...(extra ? { extra } : {}),
    },
    dryRun,
    options: optionsOf(attributes),
  };
}

/** The first of the webhook's versions that the server speaks; validation has seen to it that there is one. */
export function reviewVersionOf({ webhook }: ConfiguredWebhook): string {
  const spoken = webhook.admissionReviewVersions.find((version) =>
    reviewVersions.some((one) => one === version),
  );
  return spoken ?? 'v1';
}

/** The body to post. */
export function makeReview(
  version: string,
  uid: string,
  request: ReviewRequest,
  objects: { readonly object: unknown; readonly oldObject: unknown },
): string {
  const { operation, userInfo, dryRun, options, ...rest } = request;
  return JSON.stringify({
    kind: 'AdmissionReview',
    apiVersion: `${reviewGroup}/${version}`,
    request: { uid, ...rest, operation, userInfo, ...objects, dryRun, options },
  });
}

export interface Verdict {
  readonly allowed: boolean;
  /** JSON patch, parsed; undefined when there is none. */
  readonly patch: unknown;
  readonly warnings: readonly string[];
  readonly auditAnnotations: Readonly<Record<string, string>>;
  /** metav1.Status of a refusal. */
  readonly result: Readonly<Record<string, unknown>>;
}

/** The answer's content. Throws an Error that says what is wrong with it. */
export function readReview(body: unknown, version: string, uid: string, mutating: boolean): Verdict {
  const review = isMembers(body) ? body : {};
  const response = review['response'];
  if (!isMembers(response)) throw new Error('webhook response was absent');
  if (version === 'v1') checkIdentity(review, response, uid);
  const { patch, patchType } = response;
  if (mutating && version === 'v1') {
    if (patch && !patchType) throw new Error('webhook returned response.patch but not response.patchType');
    if (!patch && patchType) throw new Error('webhook returned response.patchType but not response.patch');
  } else if (!mutating && version === 'v1') {
    if (patch) throw new Error('validating webhook may not return response.patch');
    if (patchType) throw new Error('validating webhook may not return response.patchType');
  }
  const type = patchType ?? 'JSONPatch';
  if (patch && mutating && type !== 'JSONPatch') {
    throw new Error(`unsupported patch type ${JSON.stringify(type)}`);
  }
  return {
    allowed: response['allowed'] === true,
    patch: patch && mutating ? decodePatch(patch) : undefined,
    warnings: strings(response['warnings']),
    auditAnnotations: stringMembers(response['auditAnnotations']),
    result: isMembers(response['status']) ? response['status'] : {},
  };
}

function checkIdentity(
  review: Record<string, unknown>,
  response: Record<string, unknown>,
  uid: string,
): void {
  if (response['uid'] !== uid) {
    const found = typeof response['uid'] === 'string' ? response['uid'] : '';
    throw new Error(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(found)}`);
  }
  const { apiVersion = '', kind = '' } = review;
  if (apiVersion === `${reviewGroup}/v1` && kind === 'AdmissionReview') return;
  const [foundGroup = '', foundVersion = ''] = String(apiVersion).split('/');
  throw new Error(
    `expected webhook response of ${reviewGroup}/v1, Kind=AdmissionReview, got ${foundGroup}/${foundVersion}, Kind=${String(kind)}`,
  );
}

function decodePatch(patch: unknown): unknown {
  if (typeof patch !== 'string') throw new Error('response.patch is not base64');
  return JSON.parse(Buffer.from(patch, 'base64').toString()) as unknown;
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

function stringMembers(value: unknown): Record<string, string> {
  if (!isMembers(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

/** What the client of a refused request is told: the webhook's own status, made a failure in any case. */
export function refusalOf(name: string, result: Readonly<Record<string, unknown>>): ApiError {
  const { message, reason, code, details } = result;
  const head = `admission webhook ${JSON.stringify(name)} denied the request`;
  const why = [message, reason].find((text) => typeof text === 'string' && text !== '');
  const text = typeof why === 'string' ? `${head}: ${why}` : `${head} without explanation`;
  const number = typeof code === 'number' && Number.isInteger(code) && code >= 400 && code < 600 ? code : 400;
  return new ApiError(
    // Any word is a reason here, also none.
    (typeof reason === 'string' ? reason : '') as StatusReason,
    text,
    isMembers(details) ? details : undefined,
    number,
  );
}
