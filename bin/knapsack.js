#!/usr/bin/env -S node --max-semi-space-size=4
// Plain JavaScript, so that any Node.js can run it far enough to find the right one.
// The young generation of the heap is kept small: it would grow to 32 MB that an idle server then holds on to.
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import module from 'node:module';
import { fileURLToPath } from 'node:url';

const fromHere = (path) => fileURLToPath(new URL(path, import.meta.url));
const major = Number(process.versions.node.split('.')[0]);

if (major >= 24) {
  useCompileCache();
  const { runCommandLine } = await import('../src/cli/main.ts');
  const io = { out: process.stdout, err: process.stderr, env: process.env, stdin: process.stdin };
  process.exitCode = await runCommandLine(process.argv.slice(2), io);
  // All is done and said: whatever a failure left open must not keep the process from ending.
  setTimeout(() => process.exit(), 5000).unref();
} else {
  runWithBundledNode();
}

/**
 * Types are stripped once and kept: the second start is quicker, and a process that finds every module in the cache
 * never loads the stripper, which would cost it some 30 MB for each thread. So a short-lived child fills the cache
 * before the first `up`, and before the first one after a change of the sources.
 */
function useCompileCache() {
  const directory = fromHere('../node_modules/.cache/knapsack');
  try {
    mkdirSync(directory, { recursive: true });
    accessSync(directory, constants.W_OK);
  } catch {
    return; // Not ours to write (another user's clone): it works without, a little slower.
  }
  const filled = `${directory}/filled-by-${process.versions.node}`;
  if (process.argv[2] === 'up' && !isNewerThanSources(filled)) {
    const env = { ...process.env, NODE_COMPILE_CACHE: directory };
    const { status } = spawnSync(process.execPath, [fromHere('../src/cli/fill-compile-cache.ts')], { env });
    if (status === 0) writeFileSync(filled, '');
  }
  module.enableCompileCache?.(directory);
  // Worker threads read it from here.
  process.env.NODE_COMPILE_CACHE = directory;
}

/** False after an upgrade or an edit: some modules would then not be found in the cache. */
function isNewerThanSources(file) {
  const filledAt = statSync(file, { throwIfNoEntry: false })?.mtimeMs;
  if (filledAt === undefined) return false;
  const source = fromHere('../src');
  return readdirSync(source, { recursive: true, withFileTypes: true }).every(
    (entry) => !entry.isFile() || statSync(`${entry.parentPath}/${entry.name}`).mtimeMs <= filledAt,
  );
}

function runWithBundledNode() {
  const bundled = fromHere('../node_modules/node/bin/node');
  if (!existsSync(bundled)) {
    console.error(
      `knapsack needs Node.js 24 or later; this is ${process.version}.\n` +
        'Run `npm ci` in the clone (it brings one along), or install Node.js 24.',
    );
    process.exit(1);
  }
  const child = spawn(
    bundled,
    [...process.execArgv, fileURLToPath(import.meta.url), ...process.argv.slice(2)],
    {
      stdio: 'inherit',
    },
  );
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => (signal ? process.kill(process.pid, signal) : process.exit(code ?? 1)));
}
