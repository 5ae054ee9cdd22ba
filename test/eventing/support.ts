/** Real HTTP subscribers, and eventing on the real embedded API, for the tests of this folder. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger, type Logger } from '../../src/base/log.ts';
import { resources } from '../../src/api/registry.ts';
import type { Client } from '../../src/kube/client/client.ts';
import { SharedInformers } from '../../src/kube/client/shared-informers.ts';
import { startControllers } from '../../src/kube/controller/kernel.ts';
import type { CloudEvent } from '../../src/eventing/cloudevents/event.ts';
import { startEventing, type Eventing, type EventingOptions } from '../../src/eventing/index.ts';
import { startTestApi, type TestApi } from '../support/api.ts';

/** A temporary directory that goes away with `await using`. */
export async function temporaryDirectory(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'knapsack-eventing-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

export type Answer = (request: Received, response: ServerResponse, count: number) => void | Promise<void>;

export interface Subscriber extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly received: Received[];
}

/** An HTTP server that remembers what it gets. Answers 200 with an empty body unless told otherwise. */
export async function startSubscriber(answer?: Answer, port = 0): Promise<Subscriber> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const one: Received = {
        method: request.method ?? '',
        path: request.url ?? '',
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
        at: Date.now(),
      };
      received.push(one);
      if (answer) void answer(one, response, received.length);
      else response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const bound = (server.address() as AddressInfo).port;
  return {
    url: `http://127.0.0.1:${bound}`,
    port: bound,
    received,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** An event with the required attributes, and these. */
export function event(attributes: { readonly [name: string]: string } = {}, data = ''): CloudEvent {
  return {
    attributes: { specversion: '1.0', id: '1', source: '/test', type: 'test.type', ...attributes },
    data: Buffer.from(data),
  };
}

export interface Platform extends AsyncDisposable {
  readonly client: Client;
  readonly eventing: Eventing;
  /** `http://host:port` of the broker ingress. */
  readonly ingress: string;
  /** Posts an event in binary mode; returns the status and the body of the answer. */
  send(
    path: string,
    headers?: Record<string, string>,
    body?: string,
  ): Promise<{ status: number; body: string }>;
  /** Stops eventing and its controllers; the API stays. */
  stop(): Promise<void>;
}

export interface PlatformOptions extends Partial<EventingOptions> {
  readonly dataDir: string;
  readonly api?: TestApi;
  readonly logger?: Logger;
}

/** Eventing with its controllers on the embedded API. */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  const api = options.api ?? (await startTestApi());
  const log = options.logger ?? silentLogger;
  const informers = new SharedInformers({ client: api.client, clock: systemClock, log });
  const env = { client: api.client, informers, clock: systemClock, log };
  const eventing = await startEventing(env, {
    resources,
    resolveTransport: () => undefined,
    graceMs: 200,
    ...options,
  });
  const kernel = await startControllers(eventing.controllers, env);
  const ingress = `http://${eventing.ingress.host}:${eventing.ingress.port}`;
  const stop = async (): Promise<void> => {
    await kernel.stop();
    await eventing.close();
    informers.close();
  };
  return {
    client: api.client,
    eventing,
    ingress,
    async send(path, headers = {}, body = '') {
      const answer = await fetch(ingress + path, {
        method: 'POST',
        headers: {
          'ce-specversion': '1.0',
          'ce-id': '1',
          'ce-source': '/test',
          'ce-type': 'test.type',
          ...headers,
        },
        body,
      });
      return { status: answer.status, body: await answer.text() };
    },
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
      if (!options.api) await api.close();
    },
  };
}
