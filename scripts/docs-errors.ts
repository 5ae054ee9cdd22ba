/** Writes docs/errors.md from the error catalogue. Run: `node scripts/docs-errors.ts`. A test compares the two. */
import { writeFileSync } from 'node:fs';
import { errorsPage } from './lib/errors-page.ts';

writeFileSync(new URL('../docs/errors.md', import.meta.url), errorsPage());
