/**
 * Mutating webhooks, one after the other, each with what the ones before have made of the object. When one has changed
 * it, everything in this process and the earlier webhooks that ask for it get a second look
 * (apiserver pkg/admission/plugin/webhook/mutating, pkg/admission/reinvocation).
 */
import { deepEqual } from '../../../base/json.ts';
import type { KubeObject, UntypedObject } from '../../../api/object.ts';
import { messageOf } from '../../../base/errors.ts';
import { isMembers } from '../../../api/structural-members.ts';
import { ApiError } from '../../api-error.ts';
import type { AdmissionAttributes, Readmission } from '../service/admission-plugin.ts';
import { jsonPatch } from '../service/patch/json.ts';
import { applyScale } from '../service/scale.ts';
import { inVersion } from '../service/versions.ts';
import type { Asker } from './ask.ts';
import { internalError } from './ask.ts';
import type { ConfiguredWebhook } from './configurations.ts';
import { accessOf, meetsConditions, selectedAs, type Siblings } from './match.ts';
import { makeReviewRequest, shownObject } from './review.ts';

export interface Mutation {
  /** Undefined on DELETE. */
  readonly object: UntypedObject | undefined;
  readonly warnings: readonly string[];
}

/** Throws ApiError. */
export async function mutate(
  asker: Asker,
  hooks: readonly ConfiguredWebhook[],
  attributes: AdmissionAttributes,
  readmission: Readmission,
  siblings: Siblings,
): Promise<Mutation> {
  return new MutatingRun(asker, hooks, attributes, readmission, siblings).run();
}

class MutatingRun {
  readonly #asker: Asker;
  readonly #hooks: readonly ConfiguredWebhook[];
  readonly #attributes: AdmissionAttributes;
  readonly #readmission: Readmission;
  readonly #siblings: Siblings;
  readonly #warnings = new Set<string>();
  #object: UntypedObject | undefined;
  #changed = false;
  /** Asked already, and wanting to be asked again should the object change. */
  #waiting = new Set<string>();
  #again = new Set<string>();

  constructor(
    asker: Asker,
    hooks: readonly ConfiguredWebhook[],
    attributes: AdmissionAttributes,
    readmission: Readmission,
    siblings: Siblings,
  ) {
    this.#siblings = siblings;
    this.#asker = asker;
    this.#hooks = hooks;
    this.#attributes = attributes;
    this.#readmission = readmission;
    this.#object = attributes.object;
  }

  async run(): Promise<Mutation> {
    for (const hook of this.#hooks) await this.#visit(hook, 0);
    const object = this.#object;
    if (this.#changed && object) {
      const before = structuredClone(object);
      this.#readmission.again(object);
      if (!deepEqual(before, object)) this.#requireAgain();
      for (const hook of this.#hooks) if (this.#again.has(hook.id)) await this.#visit(hook, 1);
    }
    return { object: this.#object, warnings: [...this.#warnings] };
  }

  async #visit(hook: ConfiguredWebhook, round: number): Promise<void> {
    // Selectors and conditions look at the object as it is by now.
    const attributes: AdmissionAttributes = { ...this.#attributes, object: this.#object };
    const as = selectedAs(hook, attributes, this.#siblings);
    if (!as) return;
    const request = makeReviewRequest(attributes, as);
    const object = await shownObject(attributes, as, this.#object);
    const oldObject = await shownObject(attributes, as, attributes.old);
    if (
      !meetsConditions(hook, attributes, () => ({
        object,
        oldObject,
        request,
        access: accessOf(this.#asker.access, attributes),
      }))
    )
      return;
    const question = { hook, attributes, request, object, oldObject, mutating: true };
    const verdict = await this.#asker.ask(question, (text) => this.#warnings.add(text));
    const changed = verdict?.patch !== undefined && (await this.#apply(hook, object, verdict.patch));
    this.#annotate(hook, round, verdict !== undefined, changed);
    if (changed) {
      this.#changed = true;
      this.#requireAgain();
    }
    if (hook.webhook.reinvocationPolicy === 'IfNeeded') this.#waiting.add(hook.id);
  }

  #requireAgain(): void {
    for (const id of this.#waiting) this.#again.add(id);
    this.#waiting = new Set();
  }

  /** Whether the patch changed anything. */
  async #apply(hook: ConfiguredWebhook, shown: KubeObject | null, patch: unknown): Promise<boolean> {
    if (Array.isArray(patch) && patch.length === 0) return false;
    if (!shown || !this.#object || this.#attributes.operation === 'CONNECT') {
      throw internalError(
        `admission webhook ${JSON.stringify(hook.name)} attempted to modify the object, which is not supported for this operation`,
      );
    }
    const before = this.#object;
    try {
      this.#object = this.#readmission.normalize(await this.#whole(before, jsonPatch(shown, patch)));
    } catch (error) {
      throw internalError(causeOf(error));
    }
    return !deepEqual(before, this.#object);
  }

  /** The whole object, in the version of the request, of what was patched: the object, or the Scale shown of it. */
  async #whole(before: UntypedObject, patched: unknown): Promise<unknown> {
    const { def, subresource } = this.#attributes;
    const paths = subresource === 'scale' ? def.subresources?.scale : undefined;
    if (paths) return applyScale(paths, before, patched);
    if (!def.conversion || !isMembers(patched) || patched['kind'] !== def.kind) return patched;
    return inVersion(def, patched as UntypedObject);
  }

  /** As kube-apiserver notes it for its audit log. */
  #annotate(hook: ConfiguredWebhook, round: number, answered: boolean, mutated: boolean): void {
    const { annotate } = this.#attributes.request;
    if (!annotate) return;
    const place = `mutation.webhook.admission.k8s.io/round_${round}_index_${this.#hooks.indexOf(hook)}`;
    if (!answered) return annotate(`failed-open.${place}`, hook.name);
    const { configuration, name } = hook;
    annotate(place, JSON.stringify({ configuration, webhook: name, mutated }));
  }
}

/** A patch that does not apply is an ApiError made for the clients who send patches; the cause says what it was. */
function causeOf(error: unknown): string {
  const cause = error instanceof ApiError ? error.details?.causes?.[0]?.message : undefined;
  return cause ?? messageOf(error);
}
