/** A webhook as users run them: an HTTPS server of its own, and configurations that name it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KubeObject, UntypedObject } from '../../../../src/api/object.ts';
import type { ResourceDef } from '../../../../src/api/resource.ts';
import {
  mutatingWebhookConfigurations,
  validatingWebhookConfigurations,
  type Webhook,
  type WebhookRule,
} from '../../../../src/api/kubernetes/index.ts';
import { ensurePki } from '../../../../src/kube/server/pki.ts';
import type { TestApi } from '../../../support/api.ts';

/** `request` of an AdmissionReview. */
export interface ReviewRequest {
  readonly uid: string;
  readonly kind: { group: string; version: string; kind: string };
  readonly resource: { group: string; version: string; resource: string };
  readonly subResource?: string;
  readonly name?: string;
  readonly namespace?: string;
  readonly operation: string;
  readonly userInfo: { username: string; groups?: string[] };
  readonly object: UntypedObject | null;
  readonly oldObject: UntypedObject | null;
  readonly dryRun: boolean;
  readonly options: Record<string, unknown> | null;
}

/** The `response` members besides uid, or a whole body, or full control. */
export type Reaction =
  | { readonly allowed: boolean; readonly [member: string]: unknown }
  | { readonly raw: string; readonly status?: number }
  | ((response: ServerResponse) => void);

export type React = (request: ReviewRequest, path: string) => Reaction | Promise<Reaction>;

export interface TestWebhook {
  readonly port: number;
  /** Base64, as configurations carry it. */
  readonly caBundle: string;
  /** What it was asked so far. */
  readonly asked: { readonly request: ReviewRequest; readonly path: string; readonly apiVersion: string }[];
  /** TLS connections so far. */
  connections(): number;
  /** What it does next. */
  react: React;
  close(): Promise<void>;
}

/** Listens on 127.0.0.1 with a certificate for that, and for the services named. */
export async function startTestWebhook(hosts: readonly string[] = []): Promise<TestWebhook> {
  const dir = mkdtempSync(join(tmpdir(), 'knapsack-webhook-'));
  const pki = ensurePki(dir, { hosts });
  rmSync(dir, { recursive: true, force: true });
  let connections = 0;
  const server = createServer(pki.server, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      void (async () => {
        const review = JSON.parse(Buffer.concat(chunks).toString()) as {
          apiVersion: string;
          request: ReviewRequest;
        };
        const path = request.url ?? '';
        const { apiVersion, request: question } = review;
        webhook.asked.push({ request: question, path, apiVersion });
        const reaction = await webhook.react(question, path);
        if (typeof reaction === 'function') return reaction(response);
        if ('raw' in reaction) {
          response.writeHead(Number(reaction.status ?? 200), { 'content-type': 'application/json' });
          response.end(reaction.raw);
          return;
        }
        response.writeHead(200, { 'content-type': 'application/json' });
        const body = { apiVersion, kind: 'AdmissionReview', response: { uid: question.uid, ...reaction } };
        response.end(JSON.stringify(body));
      })();
    });
  });
  server.on('secureConnection', () => connections++);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const webhook: TestWebhook = {
    port: (server.address() as AddressInfo).port,
    caBundle: Buffer.from(pki.ca.cert).toString('base64'),
    asked: [],
    connections: () => connections,
    react: () => ({ allowed: true }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return webhook;
}

/** A JSON patch as a response's members. */
export function patch(...operations: object[]): { patch: string; patchType: string } {
  return {
    patch: Buffer.from(JSON.stringify(operations)).toString('base64'),
    patchType: 'JSONPatch',
  };
}

export const configMapRule: WebhookRule = {
  apiGroups: [''],
  apiVersions: ['v1'],
  resources: ['configmaps'],
  operations: ['*'],
};

/** A webhook of a configuration, at `path` of the test webhook's URL. */
export function hook(
  server: Pick<TestWebhook, 'port' | 'caBundle'>,
  name: string,
  more: Partial<Webhook> & { readonly path?: string } = {},
): Webhook {
  const { path = '/', ...rest } = more;
  return {
    name: `${name}.example.com`,
    clientConfig: { url: `https://127.0.0.1:${server.port}${path}`, caBundle: server.caBundle },
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    rules: [configMapRule],
    ...rest,
  };
}

const kinds = {
  validating: validatingWebhookConfigurations,
  mutating: mutatingWebhookConfigurations,
} as const;

/** Stores a configuration; replaces one of the same name. */
export async function configure(
  api: TestApi,
  stage: keyof typeof kinds,
  name: string,
  ...webhooks: Webhook[]
): Promise<void> {
  const def: ResourceDef = kinds[stage];
  const object: KubeObject & { webhooks: Webhook[] } = {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: def.kind,
    metadata: { name },
    webhooks,
  };
  const { items } = await api.client.list(def);
  if (items.some(({ metadata }) => metadata.name === name)) await api.client.update(def, object);
  else await api.client.create(def, object);
}

/** Removes every configuration. */
export async function unconfigure(api: TestApi): Promise<void> {
  for (const def of Object.values(kinds) as ResourceDef[]) {
    const { items } = await api.client.list(def);
    for (const { metadata } of items) await api.client.delete(def, { name: metadata.name });
  }
}
