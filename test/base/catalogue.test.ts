import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { errorsPage } from '../../scripts/lib/errors-page.ts';
import { areas, catalogue } from '../../src/base/catalogue/index.ts';
import type { CatalogueEntry } from '../../src/base/catalogue/entry.ts';

const entries = Object.entries(areas).flatMap(([area, codes]) =>
  Object.entries<CatalogueEntry>(codes).map(([code, entry]) => ({ area, code, entry })),
);

describe('error catalogue', () => {
  it('uses each code once', () => {
    assert.equal(entries.length, Object.keys(catalogue).length);
    assert.equal(new Set(entries.map(({ code }) => code)).size, entries.length);
  });

  it('says cause and remedy in sentences, and a real HTTP status or none', () => {
    for (const { code, entry } of entries) {
      assert.match(code, /^[A-Z]+(_[A-Z0-9]+)+$/);
      for (const text of [entry.cause, entry.remedy])
        assert.match(text, /^[A-Z`].*[.)]$/s, `${code}: ${text}`);
      assert.ok(
        entry.status === 0 || (entry.status >= 400 && entry.status < 600),
        `${code} has status ${entry.status}`,
      );
    }
  });

  it('stands in docs/errors.md word for word', () => {
    const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
    assert.equal(page, errorsPage(), 'run `node scripts/docs-errors.ts`');
  });
});
