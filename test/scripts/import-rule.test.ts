import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { allowedImports, importBreaches } from '../../scripts/lib/import-rule.ts';

const root = new URL('../../', import.meta.url);

/** The table of the architecture page: folder → what it may import. Rows of one folder's parts must agree. */
function documentedRule(): { [folder: string]: string[] } {
  const page = readFileSync(new URL('docs/architecture.md', root), 'utf8');
  const rule: { [folder: string]: string[] } = {};
  for (const [, path = '', imports = ''] of page.matchAll(/^\| `src\/([^`]+)` \|[^|]*\| ([^|]+) \|$/gm)) {
    const folder = path.replace(/\.ts$/, '').split('/')[0] ?? '';
    const allowed = imports === '–' ? [] : imports === 'all' ? ['*'] : imports.split(', ');
    assert.deepEqual(rule[folder] ?? allowed, allowed, `rows of src/${folder} differ`);
    rule[folder] = allowed;
  }
  return rule;
}

describe('import rule', () => {
  it('is the table of the architecture page', () => {
    assert.deepEqual(documentedRule(), allowedImports);
  });

  it('names every folder of src', () => {
    const folders = new Set(readdirSync(new URL('src', root)).map((name) => name.replace(/\.ts$/, '')));
    assert.deepEqual([...folders].toSorted(), Object.keys(allowedImports).toSorted());
  });

  const breach = 'src/api must not import src/kube';
  const forms = {
    'an import': "import { a } from '../kube/a.ts';",
    'a type import': "import type { A } from '../kube/a.ts';",
    'a deep import': "import { a } from '../kube/client/a.ts';",
    'the end of an import of several lines': "} from '../kube/a.ts';",
    'an import for its effects': "import '../kube/a.ts';",
    'an export': "export * from '../kube/a.ts';",
    'a dynamic import': "const a = await import('../kube/a.ts');",
    'a worker': "new Worker(new URL('../kube/a.ts', import.meta.url));",
  };
  for (const [name, line] of Object.entries(forms)) {
    it(`finds a breach in ${name}`, () => {
      assert.deepEqual(importBreaches('src/api/a.ts', `/** Words. */\n${line}\n`), [
        `src/api/a.ts:2: ${breach}`,
      ]);
    });
  }

  it('counts the folder of the file, however deep it is', () => {
    const text = "import { a } from '../../kube/a.ts';";
    assert.deepEqual(importBreaches('src/api/eventing/a.ts', text), [`src/api/eventing/a.ts:1: ${breach}`]);
    assert.deepEqual(importBreaches('src/serving/route/a.ts', text), []);
  });

  it('allows the own folder, what the rule names, packages, and everything to the composition', () => {
    const text = "import { a } from './b.ts';\nimport { c } from '../base/c.ts';\nimport pino from 'pino';";
    assert.deepEqual(importBreaches('src/api/a.ts', text), []);
    assert.deepEqual(importBreaches('src/main.ts', "import { a } from './kube/a.ts';"), []);
  });

  it('allows nothing to a folder that it does not name', () => {
    assert.deepEqual(importBreaches('src/other/a.ts', "import { c } from '../base/c.ts';"), [
      'src/other/a.ts:1: src/other must not import src/base',
    ]);
  });
});
