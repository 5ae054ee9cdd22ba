/** Signs approved certificate requests, and clears away old ones (kubernetes pkg/controller/certificates). */
import {
  certificateSigningRequests,
  hasCondition,
  type CertificateSigningRequest,
} from '../api/kubernetes/certificates.ts';
import { timestamp } from '../api/object.ts';
import { isConflict, isNotFound } from '../kube/api-error.ts';
import type { ObjectKey } from '../kube/client/client.ts';
import type { Informer } from '../kube/client/informer.ts';
import type { Controller, ControllerEnv, Outcome } from '../kube/controller/controller.ts';
import type { SigningOutcome } from '../kube/server/certificates/signers.ts';

/** What has been decided is kept for an hour, what waits for a decision for a day, ms. */
const decidedMs = 3600 * 1000;
const pendingMs = 24 * 3600 * 1000;

/** Signs a request; undefined when its signer is somebody else. */
export type SignRequest = (
  spec: NonNullable<CertificateSigningRequest['spec']>,
  now: number,
) => SigningOutcome | undefined;

export function certificateSigningController(env: ControllerEnv, sign: SignRequest): Controller {
  return new CertificateSigningController(env, sign);
}

class CertificateSigningController implements Controller {
  readonly name = 'certificate-signing';
  readonly root = certificateSigningRequests;
  readonly #env: ControllerEnv;
  readonly #sign: SignRequest;
  readonly #requests: Informer<CertificateSigningRequest>;

  constructor(env: ControllerEnv, sign: SignRequest) {
    this.#env = env;
    this.#sign = sign;
    this.#requests = env.informers.for(certificateSigningRequests);
  }

  async reconcile({ name }: ObjectKey): Promise<Outcome> {
    const request = this.#requests.get(name);
    if (!request || request.metadata.deletionTimestamp) return;
    const now = this.#env.clock.now();
    const left = decideEnd(request) - now;
    try {
      if (left <= 0) {
        const { uid = '' } = request.metadata;
        await this.#env.client.delete(certificateSigningRequests, { name }, { preconditions: { uid } });
        return;
      }
      await this.#certify(request, now);
    } catch (error) {
      if (!isConflict(error) && !isNotFound(error)) throw error;
      return;
    }
    return { requeueAfter: left };
  }

  async #certify(request: CertificateSigningRequest, now: number): Promise<void> {
    const { spec, status } = request;
    if (!spec || !hasCondition(request, 'Approved') || hasCondition(request, 'Denied')) return;
    if (status?.certificate || hasCondition(request, 'Failed')) return;
    const outcome = this.#sign(spec, now);
    if (!outcome) return;
    const time = timestamp(now);
    const next =
      'certificate' in outcome
        ? { ...status, certificate: Buffer.from(outcome.certificate).toString('base64') }
        : {
            ...status,
            conditions: [
              ...(status?.conditions ?? []),
              {
                type: 'Failed',
                status: 'True',
                reason: 'SignerValidationFailure',
                message: outcome.refusal,
                lastUpdateTime: time,
                lastTransitionTime: time,
              },
            ],
          };
    await this.#env.client.update(
      certificateSigningRequests,
      { ...request, status: next },
      { subresource: 'status' },
    );
  }
}

/** When a request may go, milliseconds since the epoch. */
export function decideEnd(request: CertificateSigningRequest): number {
  const created = Date.parse(request.metadata.creationTimestamp ?? '');
  const decided = (request.status?.conditions ?? [])
    .filter(({ type }) => ['Approved', 'Denied', 'Failed'].includes(type))
    .map(({ lastUpdateTime }) => Date.parse(lastUpdateTime ?? '') || created);
  // Approved and never signed is as good as undecided.
  const isOver =
    request.status?.certificate !== undefined ||
    hasCondition(request, 'Denied') ||
    hasCondition(request, 'Failed');
  return isOver && decided.length > 0 ? Math.max(...decided) + decidedMs : created + pendingMs;
}
