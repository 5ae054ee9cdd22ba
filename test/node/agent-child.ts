/** An agent with its API in a process of its own, to be killed. Arguments: driver, root directory, pod names. */
import { join } from 'node:path';
import { helloPod, startDurableApi, startTestNode, type DriverName } from './support.ts';

const [driver, root = '', ...names] = process.argv.slice(2);
const api = await startDurableApi(join(root, 'store'));
const node = await startTestNode(driver as DriverName, { api, root });
for (const name of names) {
  const [app] = helloPod.containers;
  // One pod has somebody to listen to.
  await node.run(name, name === 'typed' && app ? { containers: [{ ...app, stdin: true }] } : helloPod);
}
for (const name of names) await node.untilReady(name);
console.log('ready');
