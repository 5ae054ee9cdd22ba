/** A gateway worker that dies when it is told to. */
await import('../../src/gateway/worker.ts');

const channel = new BroadcastChannel('gateway-test-crash');
channel.onmessage = () => {
  throw new Error('crash for a test');
};
