/** The webhooks that are configured, ready to be matched. Read from the store on every look, compiled once a version. */
import {
  mutatingWebhookConfigurations,
  validatingWebhookConfigurations,
  type AnyWebhookConfiguration,
  type Webhook,
} from '../../../api/kubernetes/webhook-configurations.ts';
import { qualifiedName } from '../../../api/resource.ts';
import type { Store } from '../../store/store.ts';
import type { Table } from '../../store/table.ts';
import { compileMatchCondition, type MatchCondition } from '../cel/index.ts';

export type Stage = 'mutating' | 'validating';

export class ConfiguredWebhook {
  /** Name of the configuration object. */
  readonly configuration: string;
  readonly webhook: Webhook;
  /** Tells webhooks apart, also those of one name in several configurations. */
  readonly id: string;
  #conditions: readonly MatchCondition[] | undefined;

  constructor(configuration: string, webhook: Webhook, index: number) {
    this.configuration = configuration;
    this.webhook = webhook;
    this.id = `${configuration}/${webhook.name}/${index}`;
  }

  get name(): string {
    return this.webhook.name;
  }

  get failsOpen(): boolean {
    return this.webhook.failurePolicy === 'Ignore';
  }

  /** Compiled when first needed. Throws CelCompileError, which only an object of an older version can have. */
  conditions(): readonly MatchCondition[] {
    this.#conditions ??= (this.webhook.matchConditions ?? []).map(({ expression }) =>
      compileMatchCondition(expression),
    );
    return this.#conditions;
  }
}

/** One kind of configuration; in the order in which webhooks are asked: by configuration name, then as listed. */
class ConfigurationList {
  readonly #table: Table;
  readonly #compiled = new WeakMap<object, readonly ConfiguredWebhook[]>();
  #version = -1;
  #webhooks: readonly ConfiguredWebhook[] = [];

  constructor(table: Table) {
    this.#table = table;
  }

  /** As of the newest write, durable or not: what is decided now is stored after it. */
  current(): readonly ConfiguredWebhook[] {
    const { lastWrite } = this.#table;
    if (lastWrite !== this.#version) {
      this.#webhooks = this.#table.records().flatMap(({ object }) => this.#compile(object));
      this.#version = lastWrite;
    }
    return this.#webhooks;
  }

  #compile(object: object): readonly ConfiguredWebhook[] {
    let list = this.#compiled.get(object);
    if (!list) {
      const { metadata, webhooks = [] } = object as AnyWebhookConfiguration;
      list = webhooks.map((webhook, i) => new ConfiguredWebhook(metadata.name, webhook as Webhook, i));
      this.#compiled.set(object, list);
    }
    return list;
  }
}

export class WebhookConfigurations {
  readonly #lists: Readonly<Record<Stage, ConfigurationList>>;

  constructor(store: Store) {
    this.#lists = {
      mutating: new ConfigurationList(store.table(qualifiedName(mutatingWebhookConfigurations))),
      validating: new ConfigurationList(store.table(qualifiedName(validatingWebhookConfigurations))),
    };
  }

  current(stage: Stage): readonly ConfiguredWebhook[] {
    return this.#lists[stage].current();
  }
}
