/** Streams pass admission as a CONNECT of the options that their query says (apiserver `ConnectResource`). */
import type { UntypedObject } from '../../../api/object.ts';
import { pods } from '../../../api/kubernetes/pods.ts';
import type { ObjectKey } from '../../client/client.ts';
import type { Exchange } from '../exchange.ts';
import { flag, writeOptions } from '../options.ts';
import type { ApiService } from '../service/service.ts';

/** `kind` is that of the options: `PodExecOptions`. Throws what admission refuses with. */
export async function admitStream(
  service: Pick<ApiService, 'admit'>,
  exchange: Exchange,
  key: ObjectKey,
  { subresource, kind }: { readonly subresource: string; readonly kind: string },
): Promise<void> {
  const { query } = exchange;
  const flags = ['stdin', 'stdout', 'stderr', 'tty'].filter((name) => flag(query, name));
  const container = query.get('container');
  const command = query.getAll('command');
  const ports = query.getAll('ports').map(Number).filter(Number.isInteger);
  const options = {
    kind,
    apiVersion: 'v1',
    ...Object.fromEntries(flags.map((name) => [name, true])),
    ...(container ? { container } : {}),
    ...(command.length > 0 ? { command } : {}),
    ...(ports.length > 0 ? { ports } : {}),
  };
  // Options are no objects of their own: they have no metadata, which admission knows.
  const object = options as unknown as UntypedObject;
  const action = { operation: 'CONNECT', subresource, object } as const;
  await service.admit(pods, key, action, writeOptions(exchange, 'CreateOptions'));
}
