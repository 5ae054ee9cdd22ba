/** Holds src/ to the import rule. Run by `npm run lint`; prints each breach as `file:line` and exits 1. */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { importBreaches } from './lib/import-rule.ts';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

const breaches = globSync('src/**/*.ts', { cwd: root }).flatMap((name) =>
  importBreaches(name.replaceAll(sep, '/'), readFileSync(join(root, name), 'utf8')),
);
for (const breach of breaches) console.error(breach);
if (breaches.length > 0) process.exit(1);
