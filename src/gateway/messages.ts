/** What the main thread and a gateway worker say to each other. Everything is structured-cloneable. */
import type { BackendStats, RoutingUpdate } from '../api/routing.ts';
import type { SlotIndexes } from './engine.ts';
import type { GatewayOptions } from './options.ts';
import type { TransportChoice } from './transport/select.ts';

/** An address to listen on: an IP address and a port. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** `workerData`: how a worker starts. */
export interface WorkerStart {
  readonly public: ListenAddress;
  readonly local: ListenAddress | undefined;
  /** Further places for cluster-local names, where that is possible: a worker that is started anew serves on without. */
  readonly moreLocal: readonly ListenAddress[];
  readonly reusePort: boolean;
  readonly transport: TransportChoice;
  readonly options: GatewayOptions;
  /** Counts of endpoints, when there are several workers. */
  readonly slots: SharedArrayBuffer | undefined;
  /** Which of them this worker is. */
  readonly index: number;
}

export type ToWorker =
  | {
      readonly type: 'apply';
      readonly version: number;
      readonly update: RoutingUpdate;
      readonly slots: SlotIndexes;
    }
  | { readonly type: 'drain' | 'idle'; readonly id: number; readonly endpoint: string }
  | { readonly type: 'report'; readonly id: number }
  | { readonly type: 'listen-local'; readonly id: number; readonly address: ListenAddress }
  | { readonly type: 'slot-free' }
  | { readonly type: 'close'; readonly graceMs: number };

export type FromWorker =
  | {
      readonly type: 'listening';
      readonly publicPort: number;
      readonly localPort: number;
      readonly transport: 'handles' | 'net';
    }
  | {
      readonly type: 'failed';
      readonly code: string | undefined;
      readonly message: string;
      readonly address: ListenAddress | undefined;
    }
  /** The answer to `listen-local`: the port, or why not. */
  | {
      readonly type: 'listening-local';
      readonly id: number;
      readonly port: number | undefined;
      readonly code: string | undefined;
      readonly message: string;
    }
  | { readonly type: 'applied'; readonly version: number }
  | { readonly type: 'quiet'; readonly id: number }
  | { readonly type: 'stats'; readonly id: number; readonly stats: readonly BackendStats[] }
  | { readonly type: 'first'; readonly stats: BackendStats }
  | { readonly type: 'wake'; readonly backend: string }
  | { readonly type: 'slot-free' }
  | { readonly type: 'fault'; readonly message: string }
  | { readonly type: 'closed' };
