/** The import rule of docs/architecture.md: which folders of src/ a folder may import besides itself. */
import { posix } from 'node:path';

/** `*` allows all. `main` is src/main.ts. */
export const allowedImports: { readonly [folder: string]: readonly string[] } = {
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
  network: ['base', 'api', 'kube'],
  build: ['base', 'api', 'kube', 'image'],
  cli: ['*'],
  main: ['*'],
};

/** `from`, `import()` and files that are started by their URL, such as workers. */
const specifier = /(?:from|import)\s*\(?\s*'(\.[^']*)'|new URL\('(\.[^']*\.ts)'/;

/** The folder of a path below src/; of a file directly in src/, its name. */
function folderOf(path: string): string {
  const [first = '', second] = posix.relative('src', path).split('/');
  return second === undefined ? first.replace(/\.ts$/, '') : first;
}

/** Breaches of one file as `path:line: …`. `path` is relative to the root, with slashes: `src/api/object.ts`. */
export function importBreaches(path: string, text: string): string[] {
  const from = folderOf(path);
  const allowed = allowedImports[from] ?? [];
  if (allowed.includes('*')) return [];
  return text.split('\n').flatMap((line, index) => {
    const match = specifier.exec(line);
    const target = match?.[1] ?? match?.[2];
    if (target === undefined) return [];
    const to = folderOf(posix.join(posix.dirname(path), target));
    if (to === from || allowed.includes(to)) return [];
    return [`${path}:${index + 1}: src/${from} must not import src/${to}`];
  });
}
