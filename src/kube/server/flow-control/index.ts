/**
 * API priority and fairness: each request belongs to the first FlowSchema that is about it, and so to a priority level,
 * which has a share of the seats. Follows the stored objects synchronously: what is acknowledged holds for the next request.
 */
import {
  flowSchemas,
  priorityLevelConfigurations,
  type FlowSchema,
  type PriorityLevelConfiguration,
} from '../../../api/kubernetes/flow-control.ts';
import {
  mandatoryFlowSchemas,
  mandatoryPriorityLevels,
} from '../../../api/kubernetes/flow-control-defaults.ts';
import { qualifiedName } from '../../../api/resource.ts';
import type { Store } from '../../store/store.ts';
import type { Table } from '../../store/table.ts';
import type { User } from '../authentication/user.ts';
import { isPathAttributes, type Attributes } from '../authorization/attributes.ts';
import { Level, type Limits, type Release } from './level.ts';
import { matchesFlowSchema } from './match.ts';

/** Requests that run at once, in all levels but the exempt one; upstream's default (400 that read and 200 that write). */
const allSeats = 600;

/** Streams of pods may last for days: they are none of the requests that share seats. */
const streams: ReadonlySet<string> = new Set(['attach', 'exec', 'log', 'portforward', 'proxy']);

/** What a request belongs to. */
export interface Flow {
  /** Names of the FlowSchema and of the PriorityLevelConfiguration. */
  readonly schema: string;
  readonly level: string;
  /** Tell their uids; empty while the objects that always are have not been stored yet. */
  readonly headers: Readonly<Record<string, string>>;
  /** A seat at once, or a promise of one; undefined where none is needed. Throws and rejects with 429. */
  enter(signal: AbortSignal): Release | undefined | Promise<Release | undefined>;
}

interface Rule {
  readonly schema: FlowSchema;
  readonly names: Omit<Flow, 'enter'>;
  /** Undefined: exempt. */
  readonly level: Level | undefined;
  /** Of a level that is exempt, where all flows are one. */
  readonly flow: Flow | undefined;
}

export class FlowControl {
  readonly #schemas: Table;
  readonly #configurations: Table;
  readonly #levels = new Map<string, Level>();
  #schemaVersion = -1;
  #levelVersion = -1;
  #rules: readonly Rule[] = [];

  constructor(store: Store) {
    this.#schemas = store.table(qualifiedName(flowSchemas));
    this.#configurations = store.table(qualifiedName(priorityLevelConfigurations));
  }

  /** Undefined for what takes no part: streams of pods. */
  classify(user: User, attributes: Attributes): Flow | undefined {
    if (!isPathAttributes(attributes) && streams.has(attributes.subresource)) return undefined;
    const rule = this.#current().find(({ schema }) => matchesFlowSchema(schema, user, attributes));
    if (!rule) return undefined;
    return rule.flow ?? limitedFlow(rule, user, attributes);
  }

  /** Seats and requests of each level that is limited. */
  levels(): readonly { readonly name: string; readonly running: number; readonly waiting: number }[] {
    this.#current();
    return [...this.#levels].map(([name, { running, waiting }]) => ({ name, running, waiting }));
  }

  #current(): readonly Rule[] {
    const [schemas, levels] = [this.#schemas.lastWrite, this.#configurations.lastWrite];
    if (schemas !== this.#schemaVersion || levels !== this.#levelVersion) {
      this.#schemaVersion = schemas;
      this.#levelVersion = levels;
      this.#rules = this.#read();
    }
    return this.#rules;
  }

  #read(): Rule[] {
    const stored = this.#configurations.records().map(({ object }) => object as PriorityLevelConfiguration);
    const configurations = withMandatory(stored, mandatoryPriorityLevels);
    const limits = makeLimits(configurations);
    for (const [name, each] of limits) {
      const level = this.#levels.get(name);
      if (level) level.limits = each;
      else this.#levels.set(name, new Level(each));
    }
    for (const name of this.#levels.keys()) if (!limits.has(name)) this.#levels.delete(name);
    const uids = new Map(configurations.map(({ metadata }) => [metadata.name, metadata.uid ?? '']));
    const schemas = withMandatory(
      this.#schemas.records().map(({ object }) => object as FlowSchema),
      mandatoryFlowSchemas,
    );
    return inOrder(schemas).flatMap((schema) => {
      const name = schema.spec?.priorityLevelConfiguration.name ?? '';
      const levelUid = uids.get(name);
      // A schema whose level is gone is passed over.
      if (levelUid === undefined) return [];
      const { metadata } = schema;
      const headers = {
        'x-kubernetes-pf-flowschema-uid': metadata.uid ?? '',
        'x-kubernetes-pf-prioritylevel-uid': levelUid,
      };
      const names = { schema: metadata.name, level: name, headers };
      const level = this.#levels.get(name);
      const flow = level ? undefined : { ...names, enter: () => undefined };
      return [{ schema, names, level, flow }];
    });
  }
}

function limitedFlow({ schema, names, level }: Rule, user: User, attributes: Attributes): Flow {
  return {
    ...names,
    enter(signal) {
      const flow = `${names.schema}\0${distinguisher(schema, user, attributes)}`;
      const seat = level?.enter(flow, signal);
      // A watch would keep its seat for as long as it lasts: it gives it back as soon as it has come in.
      if (attributes.verb !== 'watch') return seat;
      return seat instanceof Promise ? seat.then(giveBack) : giveBack(seat);
    },
  };
}

function giveBack(seat: Release | undefined): undefined {
  seat?.();
}

function distinguisher({ spec }: FlowSchema, user: User, attributes: Attributes): string {
  switch (spec?.distinguisherMethod?.type) {
    case 'ByUser':
      return user.name;
    case 'ByNamespace':
      return isPathAttributes(attributes) ? '' : attributes.namespace;
    default:
      return '';
  }
}

/** The stored objects, and those that always are where they are not. Pure. */
function withMandatory<T extends FlowSchema | PriorityLevelConfiguration>(
  stored: readonly T[],
  mandatory: readonly T[],
): T[] {
  const names = new Set(stored.map(({ metadata }) => metadata.name));
  return [...stored, ...mandatory.filter(({ metadata }) => !names.has(metadata.name))];
}

/** By precedence, then by name; the one for everybody comes last. Pure. */
function inOrder(schemas: readonly FlowSchema[]): FlowSchema[] {
  const precedence = ({ spec }: FlowSchema): number => spec?.matchingPrecedence ?? 0;
  return [...schemas].sort(
    (a, b) => precedence(a) - precedence(b) || (a.metadata.name < b.metadata.name ? -1 : 1),
  );
}

/** The seats of each level that is limited, by its shares of all. Pure. */
export function makeLimits(configurations: readonly PriorityLevelConfiguration[]): Map<string, Limits> {
  const shares = ({ spec }: PriorityLevelConfiguration): number =>
    spec?.limited?.nominalConcurrencyShares ?? spec?.exempt?.nominalConcurrencyShares ?? 0;
  const sum = configurations.reduce((all, each) => all + shares(each), 0);
  const limits = new Map<string, Limits>();
  for (const each of configurations) {
    const { metadata, spec } = each;
    if (!spec?.limited) continue;
    const { limitResponse } = spec.limited;
    const queuing = limitResponse?.type === 'Queue' ? limitResponse.queuing : undefined;
    limits.set(metadata.name, {
      seats: sum === 0 ? 0 : Math.ceil((allSeats * shares(each)) / sum),
      ...(queuing
        ? {
            queuing: {
              queues: queuing.queues ?? 1,
              handSize: queuing.handSize ?? 1,
              lengthLimit: queuing.queueLengthLimit ?? 1,
            },
          }
        : {}),
    });
  }
  return limits;
}
