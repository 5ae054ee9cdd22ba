/** Admission webhooks: the stage of the write pipeline that asks programs outside. */
import type { Logger } from '../../../base/log.ts';
import { storedAs, type ResourceDef } from '../../../api/resource.ts';
import type { ResourceSource } from '../../resource-registry.ts';
import type { Store } from '../../store/store.ts';
import type { AccessSource } from '../cel/index.ts';
import type { AdmissionAttributes, Readmission, WebhookStage } from '../service/admission-plugin.ts';
import { Asker } from './ask.ts';
import { WebhookClient } from './client.ts';
import { WebhookConfigurations, type Stage } from './configurations.ts';
import { isExempt, selectedAs } from './match.ts';
import { mutate, type Mutation } from './mutating.ts';
import { validate } from './validating.ts';

export interface AdmissionWebhooksOptions {
  /** Where the configurations are, and the services that they name. */
  readonly store: Store;
  readonly log: Logger;
  /** Answers what conditions ask `authorizer`. Without it such a condition fails. */
  readonly access?: AccessSource;
}

/** The configured webhooks. Close it after the API service: that cuts the connections that are kept. */
export class AdmissionWebhooks implements WebhookStage {
  readonly #configurations: WebhookConfigurations;
  readonly #client = new WebhookClient();
  readonly #asker: Asker;
  #served: Pick<ResourceSource, 'resources'> = { resources: [] };
  readonly #siblings = (def: ResourceDef): readonly ResourceDef[] =>
    this.#served.resources.filter((other) => other !== def && storedAs(other) === storedAs(def));

  constructor({ store, log, access }: AdmissionWebhooksOptions) {
    this.#configurations = new WebhookConfigurations(store);
    this.#asker = new Asker(this.#client, log, access);
  }

  start(served: Pick<ResourceSource, 'resources'>): void {
    this.#served = served;
  }

  concerns(stage: Stage, attributes: AdmissionAttributes): boolean {
    const hooks = this.#configurations.current(stage);
    if (hooks.length === 0 || isExempt(attributes)) return false;
    return hooks.some((hook) => selectedAs(hook, attributes, this.#siblings) !== undefined);
  }

  mutate(attributes: AdmissionAttributes, readmission: Readmission): Promise<Mutation> {
    return mutate(
      this.#asker,
      this.#configurations.current('mutating'),
      attributes,
      readmission,
      this.#siblings,
    );
  }

  validate(attributes: AdmissionAttributes): Promise<readonly string[]> {
    return validate(this.#asker, this.#configurations.current('validating'), attributes, this.#siblings);
  }

  close(): void {
    this.#client.close();
  }
}
