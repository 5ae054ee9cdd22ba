/**
 * The import rule of docs/architecture.md: a folder of src/ may import only the folders that its row names (and itself).
 * Run by `npm run lint`; prints each breach as `file:line` and exits 1.
 */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Folder → what it may import besides itself. `main` is src/main.ts. */
const allowed: Record<string, readonly string[]> = {
  base: [],
  api: ['base'],
  image: ['base'],
  registry: ['base', 'image'],
  gateway: ['base', 'api'],
  kube: ['base', 'api'],
  cluster: ['base', 'api', 'kube'],
  node: ['base', 'api', 'kube', 'image'],
  serving: ['base', 'api', 'kube'],
  eventing: ['base', 'api', 'kube'],
  build: ['base', 'api', 'kube', 'image'],
  cli: ['*'],
  main: ['*'],
};

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const src = join(root, 'src');

function folderOf(file: string): string {
  const [first = '', second] = relative(src, file).split('/');
  return second === undefined ? first.replace(/\.ts$/, '') : first;
}

let breaches = 0;
for (const name of globSync('src/**/*.ts', { cwd: root })) {
  const file = join(root, name);
  const from = folderOf(file);
  const rule = allowed[from];
  const lines = readFileSync(file, 'utf8').split('\n');
  lines.forEach((line, index) => {
    const specifier =
      /(?:from|import)\s*\(?\s*'(\.[^']*)'/.exec(line)?.[1] ?? /new URL\('(\.[^']*\.ts)'/.exec(line)?.[1];
    if (!specifier) return;
    const to = folderOf(resolve(dirname(file), specifier));
    if (to === from || rule?.includes('*') || rule?.includes(to)) return;
    breaches++;
    console.error(`${name}:${index + 1}: src/${from} must not import src/${to}`);
  });
}
if (breaches > 0) process.exit(1);
