/** The snapshot of the store: from the platform that runs on it, or from its file when none does. */
import { createWriteStream, readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { KnapsackError, messageOf } from '../../base/errors.ts';
import { snapshotPath } from '../../kube/server/snapshot.ts';
import { encodeSnapshot } from '../../kube/store/snapshot.ts';
import { sqliteBackend } from '../../kube/store/sqlite.ts';
import { Store } from '../../kube/store/store.ts';
import { join } from 'node:path';
import type { Running } from '../data-dir.ts';

/** Writes the snapshot to `file`, readable by nobody else. Throws CLI_BACKUP_FAILED, and what opening a store throws. */
export async function saveSnapshot(data: string, running: Running | undefined, file: string): Promise<void> {
  const sink = createWriteStream(file, { flags: 'wx', mode: 0o600 });
  if (!running) {
    const store = await Store.open(sqliteBackend(join(data, 'store')));
    try {
      await pipeline(Readable.from(encodeSnapshot(await store.snapshot())), sink);
    } finally {
      await store.close();
    }
    return;
  }
  const { pid, info } = running;
  if (!info) {
    throw new KnapsackError('CLI_BACKUP_FAILED', `the platform (pid ${pid}) is still starting`);
  }
  try {
    await pipeline(await ask(info.kubeconfig), sink);
  } catch (error) {
    if (error instanceof KnapsackError) throw error;
    throw new KnapsackError(
      'CLI_BACKUP_FAILED',
      `the platform (pid ${pid}) does not answer: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}

/** How long the platform may be silent, ms. */
const silenceMs = 60_000;
/** Of an answer that is a failure, as much is read as will be shown. */
const maxShown = 2000;

async function ask(kubeconfig: string): Promise<IncomingMessage> {
  const { server, ...tls } = await readKubeconfig(kubeconfig);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const call = request(new URL(snapshotPath, server), { ...tls, agent: false }, resolve);
    call.setTimeout(silenceMs, () => call.destroy(new Error(`nothing came for ${silenceMs / 1000} s`)));
    call.on('error', reject);
    call.end();
  });
  if (response.statusCode === 200) return response;
  let text = '';
  for await (const chunk of response as AsyncIterable<Buffer>) {
    text += chunk.toString();
    if (text.length > maxShown) break;
  }
  throw new KnapsackError(
    'CLI_BACKUP_FAILED',
    `the platform answered ${response.statusCode}: ${text.slice(0, maxShown)}`,
  );
}

interface Kubeconfig {
  readonly clusters: {
    readonly cluster: { readonly server: string; readonly 'certificate-authority-data': string };
  }[];
  readonly users: {
    readonly user: { readonly 'client-certificate-data': string; readonly 'client-key-data': string };
  }[];
}

/** The administrator's, as `up` wrote it. */
async function readKubeconfig(
  path: string,
): Promise<{ server: string; ca: string; cert: string; key: string }> {
  const { parse } = await import('yaml');
  const { clusters, users } = parse(readFileSync(path, 'utf8')) as Kubeconfig;
  const cluster = clusters[0]?.cluster;
  const user = users[0]?.user;
  if (!cluster || !user) throw new KnapsackError('CLI_BACKUP_FAILED', `${path} names no cluster or no user`);
  const decode = (text: string): string => Buffer.from(text, 'base64').toString();
  return {
    server: cluster.server,
    ca: decode(cluster['certificate-authority-data']),
    cert: decode(user['client-certificate-data']),
    key: decode(user['client-key-data']),
  };
}
