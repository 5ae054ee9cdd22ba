/** Probes of pods whose author means no good, or just writes what nobody thought of. */
import assert from 'node:assert/strict';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { events } from '../../src/api/kubernetes/events.ts';
import { quote, Shell } from '../../src/node/drivers/shell.ts';
import { attempt, type ProbeAction } from '../../src/node/probe.ts';
import { ociSkipReason } from '../support/drivers.ts';
import { waitFor } from '../support/wait.ts';
import { startTestNode, type DriverName, type TestNode } from './support.ts';

const forever = 'setInterval(() => {}, 1000)';

describe('attempts of probes', () => {
  const target = {
    container: { name: 'app', image: 'app' },
    host: '127.0.0.1',
    portOf: (port: number) => port,
    exec: () => Promise.reject(new Error('the shell that runs containers has died')),
  };

  it('fail with words, and never reject, whatever a pod asks for', async () => {
    const actions: readonly [ProbeAction, RegExp][] = [
      [{ exec: { command: ['true'] } }, /shell that runs containers has died/],
      [{ httpGet: { port: 1, httpHeaders: [{ name: 'a b', value: '1' }] } }, /Header name/i],
      [{ httpGet: { port: 1, httpHeaders: [{ name: 'a', value: '1\r\nb: 2' }] } }, /Invalid character/i],
      [{ httpGet: { port: 1, path: '/\ud800' } }, /URI malformed/],
      [{ tcpSocket: { port: 99_999 } }, /port/i],
    ];
    for (const [action, expected] of actions) {
      assert.match((await attempt(action, target, 1000)) ?? 'success', expected);
    }
  });

  it('escape what may not stand in a path', async (t) => {
    const paths: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      paths.push(request.url);
      response.end();
    }).listen(0, '127.0.0.1');
    t.after(() => server.close());
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    for (const path of ['/a b?c=ü', 'x%20y']) {
      assert.equal(await attempt({ httpGet: { port, path } }, target, 5000), undefined);
    }
    assert.deepEqual(paths, ['/a%20b?c=%C3%BC', '/x%20y']);
  });
});

describe('the shell', { skip: process.platform === 'win32' }, () => {
  it('keeps the lines of a word together, and runs none of them', async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'knapsack-shell-'));
    const shell = new Shell({ dir, privateMounts: false });
    t.after(async () => {
      await shell.close();
      rmSync(dir, { recursive: true });
    });
    const marker = join(dir, 'marker');
    const words = ['\n', `a\ntouch ${marker}\nb`, `'\n'; touch ${marker}; '`, 'trailing\n\n', '\\\n$HOME"`'];
    for (const word of words) {
      const { output } = await shell.run(`printf %s ${quote(word)}`, true);
      assert.equal(output, word);
    }
    assert.equal(existsSync(marker), false);
  });
});

for (const driver of ['process', 'oci'] satisfies DriverName[]) {
  const skip = driver === 'oci' ? ociSkipReason() : undefined;
  describe(`hostile probes, ${driver} driver`, { skip: skip ?? false, concurrency: 3 }, () => {
    let node: TestNode;
    let dir: string;
    before(async () => {
      dir = mkdtempSync(join(tmpdir(), 'knapsack-probes-'));
      node = await startTestNode(driver);
    });
    after(async () => {
      await node.close();
      rmSync(dir, { recursive: true });
    });

    it('runs a command of several lines in the container, and no line of it on the machine', async () => {
      const marker = join(dir, 'marker');
      // For Node.js a comment; as a line of a shell it would make the file.
      const command = ['node', '-e', `/*\ntouch ${marker}\n*/`];
      await node.run('lines', {
        containers: [
          { name: 'app', image: 'script', args: [forever], readinessProbe: { exec: { command } } },
        ],
      });
      await node.untilReady('lines');
      assert.equal(existsSync(marker), false);
    });

    it('asks for a path that no client can send', async () => {
      await node.run('odd-path', {
        containers: [
          {
            name: 'app',
            image: 'hello',
            ports: [{ containerPort: 8080 }],
            readinessProbe: { httpGet: { port: 8080, path: '/a b\u00fc' } },
          },
        ],
      });
      await node.untilReady('odd-path');
    });

    it('does not take talking much for a failure', async () => {
      const command = ['node', '-e', 'process.stdout.write("x".repeat(1e6), () => process.exit(0))'];
      await node.run('talkative', {
        containers: [
          {
            name: 'app',
            image: 'script',
            args: [forever],
            readinessProbe: { exec: { command }, timeoutSeconds: 10 },
          },
        ],
      });
      await node.untilReady('talkative');
    });

    it('gives a command that hangs up, leaves nothing of it, and restarts the container', async () => {
      const mark = `hang-${process.pid}-${driver}`;
      const command = ['node', '-e', `process.on('SIGTERM', () => {}); ${forever}; '${mark}'`];
      await node.run('hung', {
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name: 'app',
            image: 'script',
            args: [forever],
            readinessProbe: { exec: { command }, periodSeconds: 1 },
            livenessProbe: { exec: { command }, periodSeconds: 1, failureThreshold: 2 },
          },
        ],
      });
      await node.until('hung', 'a restart', (p) => (p.status?.containerStatuses?.[0]?.restartCount ?? 0) > 0);
      const { items } = await node.api.client.list(events, { namespace: 'default' });
      assert.ok(
        items.some((e) => e.involvedObject.name === 'hung' && e.message?.includes('timed out after 1s')),
      );
      // At most one attempt of either probe is under way.
      await waitFor('the commands of earlier attempts to end', () => processesWith(mark) <= 2);
    });
  });
}

/** Processes of this machine with the text in their command line, runtimes and shells aside. */
function processesWith(text: string): number {
  return globSync('/proc/[0-9]*/cmdline').filter((file) => {
    try {
      const words = readFileSync(file, 'utf8').split('\0');
      return words[0] === 'node' || words[0] === process.execPath ? words.join(' ').includes(text) : false;
    } catch {
      return false;
    }
  }).length;
}
