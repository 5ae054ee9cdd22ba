/** `pods/exec`, `pods/attach` and `pods/portforward`: from the HTTP request to the streams. */
import type { Pod } from '../../../api/pods.ts';
import type { ResourceDef } from '../../../api/resource.ts';
import { createWebSocketStream, type WebSocket } from 'ws';
import { ApiError } from '../../api-error.ts';
import type { ObjectKey } from '../../client/client.ts';
import type { Exchange } from '../exchange.ts';
import type { ApiService } from '../service/service.ts';
import { methodNotAllowed } from '../status.ts';
import type { SubresourceHandler } from '../subresources.ts';
import { admitStream } from './admission.ts';
import { runCommand, type CommandChannels } from './command.ts';
import { spdyChannels, spdyCommandProtocols } from './command-spdy.ts';
import { commandProtocols, webSocketChannels } from './command-websocket.ts';
import { forwardOverSpdy, forwardProtocol, tunnelProtocol } from './forward-spdy.ts';
import { forwardChannelProtocols, forwardOverWebSocket } from './forward-websocket.ts';
import { attachRequest, execRequest, forwardedPorts } from './options.ts';
import type { PodStreamSource, StartCommand, StreamOptions } from './source.ts';
import {
  acceptSpdy,
  acceptWebSocket,
  chooseProtocol,
  listed,
  UpgradeRefused,
  wantedUpgrade,
} from './upgrade.ts';

/** How often an idle client is asked for a sign of life, ms; the system notices when none comes. */
const pingMs = 10_000;

/** The subresources of pods that are streams. */
export function podStreamHandlers(
  service: Pick<ApiService, 'admit' | 'get'>,
  source: PodStreamSource,
): SubresourceHandler[] {
  const handler = (
    name: string,
    kind: string,
    serve: (exchange: Exchange, pod: Pod) => Promise<void>,
  ): SubresourceHandler => ({
    name,
    verbs: ['create', 'get'],
    kind: { group: '', version: 'v1', kind },
    of: { group: '', plural: 'pods' },
    async handle(exchange: Exchange, { def, key }: { def: ResourceDef; key: ObjectKey }) {
      if (exchange.method !== 'GET' && exchange.method !== 'POST') throw methodNotAllowed();
      const { object } = await service.get(def, key);
      const pod = object as Pod;
      if (!pod.spec?.nodeName) {
        throw new ApiError('BadRequest', `pod ${key.name} does not have a host assigned`);
      }
      await admitStream(service, exchange, key, { subresource: name, kind });
      await serve(exchange, pod).catch((error: unknown) => {
        if (!(error instanceof UpgradeRefused)) throw error;
      });
    },
  });
  return [
    handler('attach', 'PodAttachOptions', (exchange, pod) => {
      const request = attachRequest(pod, exchange.query);
      return serveCommand(exchange, request, source.attach(request), 'attaching to container', false);
    }),
    handler('exec', 'PodExecOptions', (exchange, pod) => {
      const request = execRequest(pod, exchange.query);
      return serveCommand(exchange, request, source.exec(request), 'executing command in container', true);
    }),
    handler('portforward', 'PodPortForwardOptions', (exchange, pod) => servePorts(exchange, pod, source)),
  ];
}

async function serveCommand(
  exchange: Exchange,
  options: StreamOptions,
  start: StartCommand,
  action: string,
  lingers: boolean,
): Promise<void> {
  const { request, signal } = exchange;
  const { kind, upgrade } = wantedUpgrade(exchange);
  let channels: CommandChannels | undefined;
  if (kind === 'websocket') {
    const protocol = chooseProtocol(listed(request, 'sec-websocket-protocol'), commandProtocols);
    const socket = await acceptWebSocket(exchange, upgrade, protocol);
    keepAlive(socket);
    channels = webSocketChannels(socket, options, action);
  } else {
    const offered = listed(request, 'x-stream-protocol-version');
    const protocol = chooseProtocol(offered, spdyCommandProtocols);
    const carrier = acceptSpdy(exchange, upgrade, protocol);
    channels = await spdyChannels(carrier, upgrade.head, options, protocol ?? 'channel.k8s.io', action);
  }
  if (channels) await runCommand(channels, start, { tty: options.tty, signal, lingers });
}

async function servePorts(exchange: Exchange, pod: Pod, source: PodStreamSource): Promise<void> {
  const { request, signal, query } = exchange;
  const { namespace = '', name } = pod.metadata;
  const { kind, upgrade } = wantedUpgrade(exchange);
  if (kind === 'spdy') {
    const protocol = chooseProtocol(listed(request, 'x-stream-protocol-version'), [forwardProtocol]);
    const ports = source.ports(namespace, name);
    forwardOverSpdy(acceptSpdy(exchange, upgrade, protocol), upgrade.head, name, ports, signal);
    return;
  }
  const offered = listed(request, 'sec-websocket-protocol');
  const protocol = chooseProtocol(offered, [tunnelProtocol, ...forwardChannelProtocols]);
  const numbers = protocol === tunnelProtocol ? [] : forwardedPorts(query);
  const ports = source.ports(namespace, name);
  const socket = await acceptWebSocket(exchange, upgrade, protocol);
  keepAlive(socket);
  if (protocol === tunnelProtocol) {
    const carrier = createWebSocketStream(socket);
    forwardOverSpdy(carrier, Buffer.alloc(0), name, ports, signal);
  } else {
    forwardOverWebSocket(socket, name, numbers, ports, signal);
  }
}

function keepAlive(socket: WebSocket): void {
  const timer = setInterval(() => socket.ping(), pingMs);
  socket.once('close', () => clearInterval(timer));
}
