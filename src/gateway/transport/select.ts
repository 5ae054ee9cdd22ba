/** Picks the transport: `handles` where a self-test over loopback shows that it works, `net` otherwise. */
import { HandleTransport } from './handles.ts';
import { NetTransport } from './net.ts';
import { PENDING, type Connection, type OnFault, type Transport } from './transport.ts';

export type TransportChoice = 'auto' | 'handles' | 'net';

const SELF_TEST_MS = 2000;
/** More than one read and one socket buffer, so that partial reads, waiting writes and buffer swaps all happen. */
const SELF_TEST_BYTES = 1024 * 1024;

/** Makes the transport. With `handles` a transport that does not work throws, with `auto` it gives `net`. */
export async function selectTransport(choice: TransportChoice, onFault: OnFault): Promise<Transport> {
  if (choice === 'net') return new NetTransport(onFault);
  try {
    await selfTest(new HandleTransport(onFault));
    return new HandleTransport(onFault);
  } catch (error) {
    if (choice === 'handles') throw error;
    return new NetTransport(onFault);
  }
}

/** Sends a pattern through an echo over loopback and compares every byte. Rejects when anything is not as expected. */
export async function selfTest(transport: Transport): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new Error('the transport self-test took too long')), SELF_TEST_MS);
  const open: Connection[] = [];
  const listener = await transport.listen({ host: '127.0.0.1', port: 0, reusePort: false }, (server) => {
    open.push(server);
    server.handler = {
      onConnect() {},
      onData(bytes, length) {
        server.bulk(length === bytes.length);
        if (server.write(bytes, 0, length) === PENDING) server.pause();
      },
      onEnd: () => server.end(),
      onDrain: () => server.resume(),
      onError: (code) => reject(new Error(`the transport self-test failed: ${code}`)),
    };
  });
  try {
    const pattern = Buffer.alloc(SELF_TEST_BYTES);
    for (let i = 0; i < pattern.length; i += 4) pattern.writeUInt32LE(i, i);
    let received = 0;
    const client = transport.connect('127.0.0.1', listener.port, {
      onConnect() {
        client.write(pattern, 0, pattern.length);
        client.end();
      },
      onData(bytes, length) {
        const same = bytes.subarray(0, length).equals(pattern.subarray(received, received + length));
        received += length;
        if (!same) reject(new Error('the transport self-test read other bytes than were written'));
      },
      onEnd() {
        if (received === pattern.length) resolve();
        else reject(new Error('the transport self-test lost bytes'));
      },
      onDrain() {},
      onError: (code) => reject(new Error(`the transport self-test failed: ${code}`)),
    });
    open.push(client);
    await promise;
  } finally {
    clearTimeout(timer);
    for (const connection of open) connection.destroy();
    listener.close();
  }
}
