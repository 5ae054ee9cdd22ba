/** The thread that requests run in: an engine, and the messages of the main thread. */
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf, systemCode } from '../base/errors.ts';
import { Engine } from './engine.ts';
import type { FromWorker, ListenAddress, ToWorker, WorkerStart } from './messages.ts';
import { SharedSlots, localSlots } from './slots.ts';
import { steadyClock } from './timer-wheel.ts';
import { selectTransport } from './transport/select.ts';

const port = parentPort;
if (port === null) throw new Error('this module runs in a worker thread');
const start = workerData as WorkerStart;
const tell = (message: FromWorker): void => port.postMessage(message);

/** Other workers are told at most once a turn of the event loop that slots are free. */
let told = false;
function tellSlotFree(): void {
  if (told) return;
  told = true;
  setImmediate(() => {
    told = false;
    tell({ type: 'slot-free' });
  });
}

const transport = await selectTransport(start.transport, (error) => {
  tell({ type: 'fault', message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
});
const engine = new Engine({
  transport,
  clock: steadyClock,
  random: Math.random,
  slots: start.slots ? new SharedSlots(start.slots, start.index, tellSlotFree) : localSlots,
  options: start.options,
  wake: (backend) => tell({ type: 'wake', backend }),
  reportNow: (stats) => tell({ type: 'first', stats }),
});

port.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'apply':
      engine.apply(message.update, message.slots);
      return tell({ type: 'applied', version: message.version });
    case 'drain':
      return engine.drain(message.endpoint, () => tell({ type: 'quiet', id: message.id }));
    case 'idle':
      return engine.untilIdle(message.endpoint, () => tell({ type: 'quiet', id: message.id }));
    case 'report':
      return tell({ type: 'stats', id: message.id, stats: engine.report() });
    case 'slot-free':
      return engine.pumpAll();
    case 'listen-local':
      return void listenLocal(message.id, message.address);
    case 'close':
      void engine.close(message.graceMs).then(() => tell({ type: 'closed' }));
  }
});

async function listen(address: ListenAddress, local: boolean): Promise<number> {
  try {
    return await engine.listen({ ...address, reusePort: start.reusePort }, local);
  } catch (error) {
    tell({ type: 'failed', code: systemCode(error), message: messageOf(error), address });
    throw error;
  }
}

/** `id` 0: nobody waits for the answer. */
async function listenLocal(id: number, address: ListenAddress): Promise<void> {
  const said = { type: 'listening-local', id, code: undefined, message: '' } as const;
  try {
    const at = await engine.listen({ ...address, reusePort: start.reusePort }, true);
    tell({ ...said, port: at });
  } catch (error) {
    tell({ ...said, port: undefined, code: systemCode(error), message: messageOf(error) });
  }
}

try {
  const publicPort = await listen(start.public, false);
  const localPort = start.local ? await listen(start.local, true) : 0;
  for (const address of start.moreLocal) await listenLocal(0, address);
  tell({ type: 'listening', publicPort, localPort, transport: transport.name });
} catch {
  // Told already; the main thread ends this worker.
}
