import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { KnapsackError, messageOf } from '../../base/errors.ts';
import { createLogger } from '../../base/log.ts';
import { identifyProcess } from '../../base/process.ts';
import {
  dataOption,
  outputOption,
  quietOption,
  type Command,
  type CommandIo,
  type OptionValues,
} from '../command.ts';
import {
  dataDirectory,
  makeDataDirectory,
  readRunning,
  removeRunFile,
  unusable,
  writeRunFile,
  type PlatformInfo,
} from '../data-dir.ts';
import { describeFailure, notifyParent, runDetached } from '../detach.ts';
import { deployHello } from '../hello.ts';
import { printResult, progressTo, type Progress } from '../output.ts';
import { version } from '../version.ts';

export const up: Command = {
  path: ['up'],
  summary: 'Start the platform (what `npm start` runs)',
  description:
    'Starts API server, gateway, registry, node agent and all controllers in this process and prints where they are.\n' +
    'On the first run it builds and deploys a hello-world service and shows its answer and its cold start.\n' +
    'Ctrl-C stops everything and leaves nothing behind but the data directory.',
  positionals: [],
  options: {
    data: dataOption,
    detach: {
      type: 'boolean',
      short: 'd',
      description: 'return when ready and keep running in the background',
    },
    driver: {
      type: 'string',
      placeholder: 'NAME',
      description: 'how pods run: auto, oci (containers by crun or runc) or process (plain processes)',
      choices: ['auto', 'oci', 'process'],
      default: 'auto',
    },
    'api-port': {
      type: 'string',
      placeholder: 'PORT',
      description: 'Kubernetes API; 0 picks a free one',
      default: '6443',
    },
    'gateway-port': {
      type: 'string',
      placeholder: 'PORT',
      description: 'HTTP for your services; 0 picks a free one',
      default: '8080',
    },
    'local-port': {
      type: 'string',
      placeholder: 'PORT',
      description: 'cluster-local names (brokers, private services), loopback only; 0 picks a free one',
      default: '8081',
    },
    'registry-port': {
      type: 'string',
      placeholder: 'PORT',
      description: 'image registry; 0 picks a free one',
      default: '5001',
    },
    'gateway-host': {
      type: 'string',
      placeholder: 'ADDRESS',
      description: 'address the gateway listens on; 0.0.0.0 serves other machines too',
      default: '127.0.0.1',
    },
    'no-hello': { type: 'boolean', description: 'do not deploy the hello example on the first run' },
    audit: {
      type: 'string',
      placeholder: 'WHAT',
      description:
        'requests to the Kubernetes API that go to audit.log in the data directory: none, writes (with reads of secrets and refusals) or all',
      choices: ['none', 'writes', 'all'],
      default: 'writes',
    },
    'log-level': {
      type: 'string',
      placeholder: 'LEVEL',
      description: 'of the log file in the data directory',
      choices: ['trace', 'debug', 'info', 'warn', 'error', 'silent'],
      default: 'info',
    },
    output: outputOption,
    quiet: quietOption,
  },
  examples: [
    { command: 'knapsack up', explains: 'start with all defaults, stop with Ctrl-C' },
    {
      command: 'knapsack up --detach -o json',
      explains: 'start in the background, print addresses for a script',
    },
    {
      command: 'knapsack up --data /tmp/k --api-port 0 --gateway-port 0 --local-port 0 --registry-port 0',
      explains: 'a second, independent platform on free ports',
    },
    { command: 'knapsack up --driver process', explains: 'no containers, nothing but Node.js needed' },
  ],
  async run(_positionals, options, io) {
    const data = dataDirectory(options, io.env);
    const listen = listenOptions(options);
    await refuseSecond(data);
    makeDataDirectory(data);
    if (options['detach'] === true) return runDetached(data, options, io);
    try {
      return await runForeground(data, listen, options, io);
    } catch (error) {
      const told = await tellWhoWon(data, error);
      notifyParent({ type: 'failed', ...describeFailure(told) });
      throw told;
    }
  },
};

/** How long a Knapsack that is just starting may take to say where it listens, ms. */
const startingTimeoutMs = 10_000;

/** Of two that were started at the same moment, the one that lost names the other. */
async function tellWhoWon(data: string, error: unknown): Promise<unknown> {
  if (!(error instanceof KnapsackError) || error.code !== 'STORE_IN_USE') return error;
  try {
    await refuseSecond(data, 'certain');
    return error;
  } catch (clearer) {
    return clearer;
  }
}

/** `certain`: somebody holds the store, and has perhaps not come to say who yet. */
async function refuseSecond(data: string, other: 'possible' | 'certain' = 'possible'): Promise<void> {
  const deadline = Date.now() + startingTimeoutMs;
  let running = readRunning(data);
  const isNamed = (): boolean => (running ? running.info !== undefined : other === 'possible');
  while (!isNamed() && Date.now() < deadline) {
    await delay(20);
    running = readRunning(data);
  }
  if (!running) return;
  const { pid, info } = running;
  const who = info ? `Knapsack ${info.version} already runs` : 'A Knapsack is already starting';
  throw new KnapsackError('STORE_IN_USE', `${who} on ${data} (pid ${pid}${info ? `, API ${info.api}` : ''})`);
}

/** The addresses that the options ask for. */
function listenOptions(options: OptionValues) {
  return {
    api: { host: '127.0.0.1', port: port(options, 'api-port') },
    gateway: { host: String(options['gateway-host']), port: port(options, 'gateway-port') },
    local: { host: '127.0.0.1', port: port(options, 'local-port') },
    registry: { host: '127.0.0.1', port: port(options, 'registry-port') },
  };
}

function port(options: OptionValues, name: string): number {
  const text = String(options[name]);
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > 65_535) {
    throw new KnapsackError('CLI_USAGE', `--${name} is \`${text}\`, must be a port number from 0 to 65535`);
  }
  return value;
}

async function runForeground(
  data: string,
  listen: ReturnType<typeof listenOptions>,
  options: OptionValues,
  io: CommandIo,
): Promise<number> {
  const began = performance.now();
  const progress = progressTo(io, options['quiet'] === true);
  const logFile = openLog(data);
  const log = createLogger({ level: String(options['log-level']), file: logFile });
  const stopping = stopSignal(io);
  const identity = identifyProcess(process.pid);

  // Its thread opens the store while this one loads everything else.
  const { openStore } = await import('../../kube/store/open.ts');
  const store = openStore(join(data, 'store'));
  const { startPlatform } = await import('../../main.ts');
  try {
    const platform = await startPlatform({
      data,
      store,
      driver: options['driver'] as 'auto' | 'oci' | 'process',
      ...listen,
      audit: options['audit'] as 'none' | 'writes' | 'all',
      log,
      owned: () => {
        if (identity) writeRunFile(data, { process: identity });
      },
      progress: (step, ms) => progress.done(step, ms),
    });
    try {
      const info: PlatformInfo = {
        version,
        pid: process.pid,
        data,
        kubeconfig: platform.kubeconfig,
        api: platform.api,
        gateway: platform.gateway,
        local: platform.local,
        registry: platform.registry,
        driver: platform.driver.name,
        log: logFile,
        startedAt: new Date().toISOString(),
      };
      if (identity) writeRunFile(data, { process: identity, info });
      progress.done(
        `ready (pods run by the ${platform.driver.name} driver: ${platform.driver.reason})`,
        performance.now() - began,
      );
      if (!stopping.aborted.aborted)
        await printResult(io, options, info, summary(info, options['no-hello'] !== true));
      notifyParent({ type: 'ready', info });
      const hello = platform.firstRun && options['no-hello'] !== true && !stopping.aborted.aborted;
      if (hello) await Promise.race([stopping.promise, showHello(platform, progress, stopping.aborted)]);
      await stopping.promise;
      progress.note('stopping…');
    } finally {
      await platform.close();
    }
  } finally {
    if (identity) removeRunFile(data, identity);
    log.flush();
  }
  progress.done('stopped');
  return 0;
}

/** Makes the log file, closed to others; its path. */
function openLog(data: string): string {
  const file = join(data, 'knapsack.log');
  try {
    closeSync(openSync(file, 'a', 0o600));
  } catch (error) {
    throw unusable(data, error);
  }
  return file;
}

async function showHello(
  platform: Parameters<typeof deployHello>[0],
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  try {
    await deployHello(platform, progress, signal);
  } catch (error) {
    if (!signal.aborted) progress.note(`the hello example did not come up: ${messageOf(error)}`);
  }
}

function summary(info: PlatformInfo, hasHello: boolean): string {
  const request = `curl -H "Host: hello.default.example.com" ${new URL(info.gateway).origin}`;
  return [
    '',
    `  API         ${info.api}`,
    `  kubeconfig  ${info.kubeconfig}`,
    `  gateway     ${info.gateway}`,
    `  local       ${info.local}  (cluster-local names: brokers, private services)`,
    `  registry    ${info.registry}`,
    '',
    '  Try:',
    `    export KUBECONFIG=${info.kubeconfig}`,
    '    kubectl get ksvc,pods',
    `    ${hasHello ? request : 'npx knapsack image build examples/helloworld-nodejs'}`,
    '',
  ].join('\n');
}

/** A terminal's Ctrl-C reaches us once directly and once through npm: what follows this soon is the same key, ms. */
const sameKeyMs = 1000;

/** Resolves at the first SIGINT, SIGTERM or SIGHUP; a second one ends the process at once. */
function stopSignal(io: CommandIo): { promise: Promise<void>; aborted: AbortSignal } {
  const abort = new AbortController();
  const { promise, resolve } = Promise.withResolvers<void>();
  let first = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (abort.signal.aborted) {
        if (performance.now() - first < sameKeyMs) return;
        io.err.write('stopped at once; the next start cleans up what is left\n');
        process.exit(130);
      }
      first = performance.now();
      abort.abort();
      resolve();
    });
  }
  return { promise, aborted: abort.signal };
}
