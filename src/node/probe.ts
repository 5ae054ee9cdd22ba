/** One attempt of a probe or of a lifecycle hook. */
import { connect as connectHttp2 } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { http } from '../base/http.ts';
import type { KubernetesTypes } from '../api/generated/kubernetes-types.ts';
import type { Container } from '../api/pods.ts';
import { messageOf } from '../base/errors.ts';
import type { ExecResult } from './drivers/driver.ts';

const { request: httpRequest } = http;

/** What probes and hooks can do alike. */
export type ProbeAction = Pick<KubernetesTypes['core.v1.Probe'], 'exec' | 'httpGet' | 'tcpSocket' | 'grpc'>;

/** Undefined is success; text is what to tell the user. */
export type ProbeFailure = string | undefined;

export interface ProbeTarget {
  readonly container: Container;
  readonly host: string;
  /** Container port → port on `host`. */
  portOf(containerPort: number): number;
  exec(command: readonly string[], timeoutMs: number): Promise<ExecResult>;
}

/** Resolves a port number or name against the container's ports; 0 means its first one (Knative's default probe). */
export function resolvePort(container: Container, port: number | string): number | undefined {
  const ports = container.ports ?? [];
  if (typeof port === 'number' || /^\d+$/.test(port)) {
    return Number(port) === 0 ? ports[0]?.containerPort : Number(port);
  }
  return ports.find((p) => p.name === port)?.containerPort;
}

/** Never rejects: what a pod asks for may be what no client can send, and a driver may be closing. */
export async function attempt(
  action: ProbeAction,
  target: ProbeTarget,
  timeoutMs: number,
): Promise<ProbeFailure> {
  try {
    return await attemptAction(action, target, timeoutMs);
  } catch (error) {
    return messageOf(error);
  }
}

async function attemptAction(
  action: ProbeAction,
  target: ProbeTarget,
  timeoutMs: number,
): Promise<ProbeFailure> {
  if (action.exec) return attemptExec(action.exec.command ?? [], target, timeoutMs);
  const wanted = action.httpGet?.port ?? action.tcpSocket?.port ?? action.grpc?.port;
  if (wanted === undefined) return 'missing probe handler';
  const containerPort = resolvePort(target.container, wanted);
  if (containerPort === undefined) return `couldn't find port: ${wanted}`;
  const named = action.httpGet?.host ?? action.tcpSocket?.host;
  const host = named ? named : target.host;
  // A foreign host has its own ports.
  const port = named ? containerPort : target.portOf(containerPort);
  if (action.httpGet) return attemptHttp(action.httpGet, host, port, timeoutMs);
  if (action.grpc) return attemptGrpc(action.grpc.service ?? '', host, port, timeoutMs);
  return attemptTcp(host, port, timeoutMs);
}

async function attemptExec(
  command: readonly string[],
  target: ProbeTarget,
  timeoutMs: number,
): Promise<ProbeFailure> {
  const { exitCode, output } = await target.exec(command, timeoutMs);
  if (exitCode === 0) return undefined;
  if (exitCode === undefined)
    return `command timed out: ${JSON.stringify(command)} timed out after ${timeoutMs / 1000}s`;
  return output.trim().slice(0, 1024) || `command ${JSON.stringify(command)} exited with ${exitCode}`;
}

function attemptTcp(host: string, port: number, timeoutMs: number): Promise<ProbeFailure> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, noDelay: true });
    const settle = (failure: ProbeFailure): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(failure);
    };
    const timer = setTimeout(() => settle(`dial tcp ${host}:${port}: i/o timeout`), timeoutMs);
    socket.once('connect', () => settle(undefined));
    socket.once('error', (error) => settle(`dial tcp ${host}:${port}: connect: ${describe(error)}`));
  });
}

function describe(error: Error): string {
  if ('code' in error && error.code === 'ECONNREFUSED') return 'connection refused';
  return messageOf(error);
}

function attemptHttp(
  action: KubernetesTypes['core.v1.HTTPGetAction'],
  host: string,
  port: number,
  timeoutMs: number,
): Promise<ProbeFailure> {
  return new Promise((resolve) => {
    const secure = action.scheme?.toUpperCase() === 'HTTPS';
    const headers: Record<string, string> = { 'user-agent': 'kube-probe/1.33', accept: '*/*' };
    for (const { name, value } of action.httpHeaders ?? []) headers[name.toLowerCase()] = value;
    const path = requestPath(action.path ?? '');
    const where = `${secure ? 'https' : 'http'}://${host}:${port}${path}`;
    // The certificate is the pod's own business: a probe asks whether it answers (kubelet does not verify either).
    const call = (secure ? httpsRequest : httpRequest)(
      {
        host,
        port,
        path,
        headers,
        agent: false,
        timeout: timeoutMs,
        ...(secure ? { rejectUnauthorized: false } : {}),
      },
      (response) => {
        const status = response.statusCode ?? 0;
        response.resume();
        settle(status >= 200 && status < 400 ? undefined : `HTTP probe failed with statuscode: ${status}`);
      },
    );
    const settle = (failure: ProbeFailure): void => {
      clearTimeout(timer);
      resolve(failure);
      call.destroy();
    };
    const timer = setTimeout(
      () =>
        settle(`Get "${where}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`),
      timeoutMs,
    );
    call.on('error', (error) => settle(`Get "${where}": ${describe(error)}`));
    call.end();
  });
}

/** What may not stand in a request line is escaped, as Go's client does. */
function requestPath(path: string): string {
  const escaped = path.replace(/[^\x21-\x7e]+/g, (text) => encodeURIComponent(text));
  return escaped.startsWith('/') ? escaped : `/${escaped}`;
}

const serving = 1;

/** grpc.health.v1.Health/Check: a request with one string member, a response with one enum member. */
function attemptGrpc(service: string, host: string, port: number, timeoutMs: number): Promise<ProbeFailure> {
  return new Promise((resolve) => {
    const session = connectHttp2(`http://${host}:${port}`);
    const settle = (failure: ProbeFailure): void => {
      clearTimeout(timer);
      session.destroy();
      resolve(failure);
    };
    const timer = setTimeout(
      () => settle(`timeout: health rpc did not complete within ${timeoutMs / 1000}s`),
      timeoutMs,
    );
    session.on('error', (error) =>
      settle(`timeout: failed to connect service "${host}:${port}": ${describe(error)}`),
    );
    const stream = session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': 'kube-probe/1.33',
    });
    const chunks: Buffer[] = [];
    let size = 0;
    stream.on('error', (error) => settle(`health rpc failed: ${describe(error)}`));
    stream.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > 4096) settle('health rpc failed: response too large');
      else chunks.push(chunk);
    });
    stream.on('end', () => {
      const body = Buffer.concat(chunks);
      // Five bytes of frame header, then field 1 as a varint.
      const status = body.length >= 7 && body[5] === 0x08 ? (body[6] ?? 0) : 0;
      settle(status === serving ? undefined : `service unhealthy (responded with status ${status})`);
    });
    const name = Buffer.from(service);
    const message =
      service === '' ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
    const header = Buffer.alloc(5);
    header.writeUInt32BE(message.length, 1);
    stream.end(Buffer.concat([header, message]));
  });
}
