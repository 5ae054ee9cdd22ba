#!/usr/bin/env node
// Plain JavaScript, so that any Node.js can run it far enough to find the right one.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import { fileURLToPath } from 'node:url';

const major = Number(process.versions.node.split('.')[0]);
if (major >= 24) {
  module.enableCompileCache?.();
  const { runCommandLine } = await import('../src/cli/main.ts');
  const io = { out: process.stdout, err: process.stderr, env: process.env, stdin: process.stdin };
  process.exitCode = await runCommandLine(process.argv.slice(2), io);
} else {
  const bundled = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url));
  if (!existsSync(bundled)) {
    console.error(
      `knapsack needs Node.js 24 or later; this is ${process.version}.\n` +
        'Run `npm ci` in the clone (it brings one along), or install Node.js 24.',
    );
    process.exit(1);
  }
  const child = spawn(bundled, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: 'inherit',
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => (signal ? process.kill(process.pid, signal) : process.exit(code ?? 1)));
}
