/** What the server says about itself: discovery, OpenAPI, version, health. */
import type { IssuerDocument } from './authentication/issuer-documents.ts';
import type { ApiCatalog } from './catalog.ts';
import { makeAggregated, makeApiVersions, makeGroup, makeGroupList, makeResourceList } from './discovery.ts';
import { send, sendDocument, sendPageNotFound, sendText, type Exchange } from './exchange.ts';
import { discoveryTransforms, negotiate, notAcceptable, parseAccept } from './media-type.ts';
import type { CachedDocument, OpenApiDocuments } from './openapi/index.ts';
import { isGroupServed } from './path.ts';
import { methodNotAllowed, resourceNotFound } from './status.ts';

/** The Kubernetes release whose API is served; clients compare their own version with it. */
export const kubernetesVersion = 'v1.33.0';

const versionInfo = {
  major: '1',
  minor: '33',
  emulationMajor: '1',
  emulationMinor: '33',
  minCompatibilityMajor: '1',
  minCompatibilityMinor: '32',
  gitVersion: `${kubernetesVersion}+knapsack`,
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: '',
  compiler: '',
  platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
};

/** Clients ask for the first, which is no well-formed media type; the answer must have one, or Go refuses to read it. */
const protobufV2Asked = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
const protobufV2 = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

export class ServerDocuments {
  readonly #catalog: ApiCatalog;
  readonly #openApi: OpenApiDocuments;
  readonly #isReady: () => boolean;
  readonly #issuer: ReadonlyMap<string, IssuerDocument>;

  /** `issuer`: documents of the tokens' issuer, by path. */
  constructor(
    catalog: ApiCatalog,
    openApi: OpenApiDocuments,
    isReady: () => boolean,
    issuer: ReadonlyMap<string, IssuerDocument>,
  ) {
    this.#catalog = catalog;
    this.#openApi = openApi;
    this.#isReady = isReady;
    this.#issuer = issuer;
  }

  /** Paths that anyone may ask for. */
  sendPublic(exchange: Pick<Exchange, 'response' | 'segments'>): Promise<void> {
    const { response, segments } = exchange;
    if (segments[0] === 'version') return sendDocument(response, 200, versionInfo);
    const ready = segments[0] !== 'readyz' || this.#isReady();
    if (ready) sendText(response, 200, 'ok');
    else sendText(response, 503, 'not ready\n');
    return Promise.resolve();
  }

  /** Answers and returns true when the path is one of the server's documents. */
  async handle(exchange: Exchange): Promise<boolean> {
    const answer = this.#document(exchange);
    if (!answer) return false;
    if (exchange.method !== 'GET') throw methodNotAllowed();
    if (await answer()) return true;
    if (isGroupServed(this.#catalog, exchange.segments)) throw resourceNotFound();
    sendPageNotFound(exchange.response);
    return true;
  }

  /** What answers the path: undefined when the path is not a document's; false from it when there is no such document. */
  #document(exchange: Exchange): (() => boolean | Promise<boolean>) | undefined {
    const [first, ...rest] = exchange.segments;
    if (first === undefined) return () => this.#root(exchange);
    if (first === 'openapi') return () => this.#openApiDocument(exchange, rest);
    const issued = this.#issuer.get(`/${exchange.segments.join('/')}`);
    if (issued) {
      return () => {
        send(exchange.response, 200, issued);
        return true;
      };
    }
    if (first === 'api' && rest.length === 0) return () => this.#aggregated(exchange, 'core');
    if (first === 'api' && rest.length === 1) return () => this.#resources(exchange, '', rest[0] ?? '');
    if (first !== 'apis' || rest.length > 2) return undefined;
    const [group, version] = rest;
    if (group === undefined) return () => this.#aggregated(exchange, 'named');
    if (version === undefined) return () => this.#group(exchange, group);
    return () => this.#resources(exchange, group, version);
  }

  async #root({ response, request }: Exchange): Promise<boolean> {
    const versions = this.#catalog.groups.flatMap((group) => group.versions);
    const paths = versions.map(({ group, apiVersion }) => `${group === '' ? '/api' : '/apis'}/${apiVersion}`);
    const own = ['/api', '/apis', '/healthz', '/livez', '/openapi/v2', '/openapi/v3', '/readyz', '/version'];
    own.push(...this.#issuer.keys());
    await sendDocument(
      response,
      200,
      { paths: [...own, ...paths].sort() },
      negotiate(request.headers.accept),
    );
    return true;
  }

  async #aggregated({ request, response }: Exchange, scope: 'core' | 'named'): Promise<boolean> {
    const form = negotiate(request.headers.accept, discoveryTransforms);
    if (form.as) {
      const { group, version, kind } = form.as;
      const body = Buffer.from(JSON.stringify(makeAggregated(this.#catalog, scope, version)));
      // Clients tell the two forms apart by these parameters.
      send(
        response,
        200,
        { contentType: `application/json;g=${group};v=${version};as=${kind}`, body },
        { vary: 'Accept' },
      );
      return true;
    }
    const { localAddress = '', localPort = 0 } = request.socket;
    const host = localAddress.includes(':') ? `[${localAddress}]` : localAddress;
    const document =
      scope === 'core' ? makeApiVersions(`${host}:${localPort}`) : makeGroupList(this.#catalog);
    await sendDocument(response, 200, document, form);
    return true;
  }

  async #group({ request, response }: Exchange, name: string): Promise<boolean> {
    const group = name === '' ? undefined : this.#catalog.group(name);
    if (!group) return false;
    await sendDocument(response, 200, makeGroup(group), negotiate(request.headers.accept));
    return true;
  }

  async #resources({ request, response }: Exchange, group: string, version: string): Promise<boolean> {
    const groupVersion = this.#catalog.groupVersion(group, version);
    if (!groupVersion) return false;
    const document = makeResourceList(this.#catalog, groupVersion);
    await sendDocument(response, 200, document, negotiate(request.headers.accept));
    return true;
  }

  #openApiDocument(exchange: Exchange, [version, ...rest]: readonly string[]): boolean {
    if (version === 'v2' && rest.length === 0) return this.#openApiV2(exchange);
    if (version !== 'v3') return false;
    if (rest.length === 0) return sendCached(exchange, this.#openApi.v3Index(), 'application/json');
    const [root, first = '', second = ''] = rest;
    const isCore = root === 'api' && rest.length === 2;
    if (!isCore && !(root === 'apis' && rest.length === 3)) return false;
    const document = isCore ? this.#openApi.v3('', first) : this.#openApi.v3(first, second);
    return document ? sendCached(exchange, document, 'application/json') : false;
  }

  #openApiV2(exchange: Exchange): boolean {
    const accept = exchange.request.headers.accept ?? '*/*';
    for (const { type } of parseAccept(accept)) {
      if (type === protobufV2 || type === protobufV2Asked) {
        return sendCached(exchange, this.#openApi.v2Protobuf(), protobufV2);
      }
      if (type === 'application/json' || type === 'application/*' || type === '*/*') {
        return sendCached(exchange, this.#openApi.v2Json(), 'application/json');
      }
    }
    throw notAcceptable(['application/json', protobufV2]);
  }
}

function sendCached({ request, response }: Exchange, document: CachedDocument, contentType: string): true {
  const headers = { etag: document.etag, vary: 'Accept' };
  if (request.headers['if-none-match'] === document.etag) {
    response.writeHead(304, headers).end();
  } else {
    send(response, 200, { contentType, body: document.bytes }, headers);
  }
  return true;
}
