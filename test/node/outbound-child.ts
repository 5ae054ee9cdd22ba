/**
 * An agent in a network namespace that stands for a machine. Arguments: root directory, URL on another machine. Prints a
 * line of JSON once a pod has asked the URL and another serves; ends, with its pods, when standard input does. With
 * `remove` as the URL: removes what a killed one left.
 */
import { join } from 'node:path';
import { removeLeftovers } from '../../src/main.ts';
import { helloPod, startTestNode } from './support.ts';

/** What the child prints. */
export interface Report {
  readonly reason: string;
  /** What the pod got from the URL, or its error. */
  readonly seen: string;
  /** Address of a pod that serves on 8080. */
  readonly server: string;
}

const [root = '', url = ''] = process.argv.slice(2);
if (url === 'remove') await removeLeftovers(join(root, 'data'));
else {
  const node = await startTestNode('oci', { root });
  const code = `fetch('${url}', { signal: AbortSignal.timeout(5000) })
    .then((answer) => answer.text()).catch((error) => String(error.cause ?? error)).then(console.log)`;
  await node.run('server', helloPod);
  await node.run('client', {
    restartPolicy: 'Never',
    containers: [{ name: 'app', image: 'script', args: [code] }],
  });
  await node.until('client', 'its end', (pod) => pod.status?.phase === 'Succeeded');
  const server = await node.untilReady('server');
  const report: Report = {
    reason: node.agent.driver.reason,
    seen: (await node.logs('client')).trim(),
    server: server.status?.podIP ?? '',
  };
  console.log(JSON.stringify(report));
  process.stdin.resume();
  process.stdin.once('end', () => void node.close());
}
