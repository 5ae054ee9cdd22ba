import { areas } from '../../src/base/catalogue/index.ts';
import type { CatalogueEntry } from '../../src/base/catalogue/entry.ts';

/** The text of docs/errors.md. */
export function errorsPage(): string {
  const lines = [
    '# Errors',
    '',
    'Every failure that Knapsack reports by code. The gateway sends the code in the header `x-knapsack-error` and in',
    'the body; the command line prints it before the message. *Whose*: `user` means that you can mend it, `system`',
    'that Knapsack or the machine has to. Status is the HTTP status that carries the code, where one does.',
    '',
    'This page is written by `node scripts/docs-errors.ts` from `src/base/catalogue/`; a test holds the two together.',
  ];
  for (const [area, entries] of Object.entries(areas)) {
    lines.push('', `## ${area[0]?.toUpperCase()}${area.slice(1)}`, '');
    lines.push('| Code | Cause | Status | Remedy | Whose |', '| --- | --- | --- | --- | --- |');
    for (const [code, entry] of Object.entries<CatalogueEntry>(entries)) {
      const cells = [
        `\`${code}\``,
        entry.cause,
        entry.status === 0 ? '' : String(entry.status),
        entry.remedy,
        entry.blame,
      ];
      lines.push(`| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`);
    }
  }
  return `${lines.join('\n')}\n`;
}
