/** `GET /knapsack/v1/snapshot`: everything in the store as of one moment, for `knapsack backup`. Administrators only. */
import { encodeSnapshot } from '../store/snapshot.ts';
import type { StoreSnapshot } from '../store/store.ts';
import type { Exchange } from './exchange.ts';
import { methodNotAllowed } from './status.ts';
import { streamText } from './streams.ts';

/** Secrets included, so authorization must have been asked about this path: only `nonResourceURLs: ["*"]` covers it. */
export const snapshotPath = '/knapsack/v1/snapshot';

export function isSnapshotPath(segments: readonly string[]): boolean {
  return `/${segments.join('/')}` === snapshotPath;
}

/** Streams while writes go on: the snapshot's records never change. */
export async function sendSnapshot(exchange: Exchange, take: () => Promise<StoreSnapshot>): Promise<void> {
  if (exchange.method !== 'GET') throw methodNotAllowed();
  const snapshot = await take();
  await streamText(exchange, asyncChunks(snapshot), 'application/x-ndjson');
}

async function* asyncChunks(snapshot: StoreSnapshot): AsyncGenerator<Buffer> {
  for (const chunk of encodeSnapshot(snapshot)) {
    yield chunk;
    // Other requests take their turn between two chunks.
    await new Promise((resolve) => setImmediate(resolve));
  }
}
