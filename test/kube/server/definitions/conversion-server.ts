/** A conversion webhook as users run them: an HTTPS server of its own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { UntypedObject } from '../../../../src/api/object.ts';
import { ensurePki } from '../../../../src/kube/server/pki.ts';

export interface ReviewRequest {
  readonly uid: string;
  readonly desiredAPIVersion: string;
  readonly objects: UntypedObject[];
}

export interface ConversionServer {
  readonly port: number;
  /** Base64, as definitions carry it. */
  readonly caBundle: string;
  readonly asked: ReviewRequest[];
  /** What it answers: the whole ConversionReview. */
  answer: (request: ReviewRequest) => unknown;
  close(): Promise<void>;
}

type Convert = (object: UntypedObject, to: string) => UntypedObject;

/** An answer in which every object is converted. */
export function converted(request: ReviewRequest, convert: Convert): object {
  const convertedObjects = request.objects.map((object) => convert(object, request.desiredAPIVersion));
  return review({ uid: request.uid, convertedObjects, result: { status: 'Success' } });
}

export function review(response: object): object {
  return { apiVersion: 'apiextensions.k8s.io/v1', kind: 'ConversionReview', response };
}

export async function startConversionServer(
  convert: Convert,
  hosts: readonly string[] = [],
): Promise<ConversionServer> {
  const dir = mkdtempSync(join(tmpdir(), 'knapsack-conversion-'));
  const pki = ensurePki(dir, { hosts });
  rmSync(dir, { recursive: true, force: true });
  const server = createServer(pki.server, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { request: question } = JSON.parse(Buffer.concat(chunks).toString()) as {
        request: ReviewRequest;
      };
      made.asked.push(question);
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(made.answer(question)));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const made: ConversionServer = {
    port: (server.address() as AddressInfo).port,
    caBundle: Buffer.from(pki.ca.cert).toString('base64'),
    asked: [],
    answer: (request) => converted(request, convert),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return made;
}
