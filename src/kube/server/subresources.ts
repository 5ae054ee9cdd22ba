/** Subresources that are not a part of their object but an action on it: eviction, binding, tokens, streams. */
import type { ResourceDef } from '../../api/resource.ts';
import type { ObjectKey } from '../client/client.ts';
import type { Subresource } from './catalog.ts';
import type { Exchange } from './exchange.ts';

export interface SubresourceHandler extends Subresource {
  /** Whose subresource it is. */
  readonly of: { readonly group: string; readonly plural: string };
  /** Answers the exchange, or throws an ApiError. `verbs` do not bound the methods: refuse the others. */
  handle(exchange: Exchange, target: { readonly def: ResourceDef; readonly key: ObjectKey }): Promise<void>;
}

/** The handler of a resource's subresource, if one is registered. */
export function handlerOf(
  handlers: readonly SubresourceHandler[],
  def: ResourceDef,
  name: string,
): SubresourceHandler | undefined {
  return handlers.find(
    (handler) => handler.name === name && handler.of.group === def.group && handler.of.plural === def.plural,
  );
}
