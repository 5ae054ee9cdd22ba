/** What the audit log says of one request (`audit.k8s.io/v1` Event at the level Metadata). */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { KubeObject } from '../../../api/object.ts';
import type { ApiError } from '../../api-error.ts';
import { userInfo, type User } from '../authentication/user.ts';
import { isPathAttributes, type Attributes } from '../authorization/attributes.ts';

export type AuditStage = 'RequestReceived' | 'ResponseComplete';

/** Gathers the facts while a request is answered. */
export class AuditRecord {
  readonly id: string;
  readonly #received: number;
  readonly #requestURI: string;
  readonly #userAgent: string | undefined;
  readonly #address: string | undefined;
  #sender: User | undefined;
  #user: User | undefined;
  #attributes: Attributes | undefined;
  #failure: ApiError | undefined;
  #created: object = {};
  readonly #annotations = new Map<string, string>();

  constructor(request: IncomingMessage, now: number) {
    this.#received = now;
    this.id = givenId(request) ?? randomUUID();
    this.#requestURI = request.url ?? '';
    this.#userAgent = request.headers['user-agent'];
    this.#address = request.socket.remoteAddress;
  }

  /** Who sent it, and whom it acts as. */
  asks(sender: User, user: User, attributes: Attributes): void {
    this.#sender = sender;
    this.#user = user;
    this.#attributes = attributes;
  }

  decided(allowed: boolean, reason: string): void {
    this.annotate('authorization.k8s.io/decision', allowed ? 'allow' : 'forbid');
    this.annotate('authorization.k8s.io/reason', reason);
  }

  /** A new object's name may not have been in the path. */
  created({ metadata: { name, uid, resourceVersion } }: KubeObject): void {
    this.#created = { name, uid, resourceVersion };
  }

  failed(failure: ApiError): void {
    this.#failure = failure;
  }

  annotate(key: string, value: string): void {
    this.#annotations.set(key, value);
  }

  get attributes(): Attributes | undefined {
    return this.#attributes;
  }

  /** The event; `code` is that of the answer, 0 when there was none. */
  event(stage: AuditStage, code: number, now: number): object {
    const sender = this.#sender;
    const isImpersonated = sender !== this.#user && this.#user;
    const { verb = '' } = this.#attributes ?? {};
    const reference = objectRef(this.#attributes);
    return {
      kind: 'Event',
      apiVersion: 'audit.k8s.io/v1',
      level: 'Metadata',
      auditID: this.id,
      stage,
      requestURI: this.#requestURI,
      verb,
      user: sender ? userInfo(sender) : {},
      ...(isImpersonated ? { impersonatedUser: userInfo(isImpersonated) } : {}),
      sourceIPs: this.#address === undefined ? [] : [this.#address],
      ...(this.#userAgent === undefined ? {} : { userAgent: this.#userAgent }),
      ...(reference ? { objectRef: { ...reference, ...this.#created } } : {}),
      ...(stage === 'ResponseComplete' ? { responseStatus: this.#status(code) } : {}),
      requestReceivedTimestamp: microTime(this.#received),
      stageTimestamp: microTime(now),
      ...(this.#annotations.size > 0 ? { annotations: Object.fromEntries(this.#annotations) } : {}),
    };
  }

  #status(code: number): object {
    const failure = this.#failure;
    if (!failure) return { metadata: {}, code };
    const { reason, message } = failure;
    return { metadata: {}, status: 'Failure', message, reason, code: failure.code };
  }
}

/** A client may bring the id by which it knows the request, as long as it looks like one. */
function givenId(request: IncomingMessage): string | undefined {
  const given = request.headers['audit-id'];
  return typeof given === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(given) ? given : undefined;
}

function objectRef(attributes: Attributes | undefined): object | undefined {
  if (!attributes || isPathAttributes(attributes)) return undefined;
  const { resource, namespace, name, group, version, subresource } = attributes;
  return {
    resource,
    ...(namespace ? { namespace } : {}),
    ...(name ? { name } : {}),
    ...(group ? { apiGroup: group } : {}),
    apiVersion: version,
    ...(subresource ? { subresource } : {}),
  };
}

/** metav1.MicroTime. */
function microTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -1)}000Z`;
}
