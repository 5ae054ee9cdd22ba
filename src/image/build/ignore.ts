/** Which files of a project stay out of its image: `.dockerignore`, `.funcignore`, `.gitignore`. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Filter } from './layer.ts';

interface Rule {
  readonly negated: boolean;
  readonly directoryOnly: boolean;
  readonly pattern: RegExp;
}

/**
 * `git`: a pattern without a slash matches at every depth, and nothing below an ignored directory comes back (gitignore(5)).
 * `docker`: every pattern starts at the root, and `!` brings back also what lies below.
 */
export type IgnoreDialect = 'git' | 'docker';

const maxFileSize = 1 << 20;

const escapeRegExp = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\/-]/g, '\\$&');

/** A pattern as a regular expression over `/`-separated relative paths. */
function compile(pattern: string): string {
  let out = '';
  for (let i = 0; i < pattern.length; i++) {
    const rest = pattern.slice(i);
    const characterClass = /^\[[!^]?\]?[^\]]*\]/.exec(rest)?.[0];
    if (rest.startsWith('**/')) {
      out += '(?:.*/)?';
      i += 2;
    } else if (rest === '**') {
      out += '.*';
      i += 1;
    } else if (rest.startsWith('*')) {
      out += '[^/]*';
    } else if (rest.startsWith('?')) {
      out += '[^/]';
    } else if (rest.startsWith('\\') && rest.length > 1) {
      i += 1;
      out += escapeRegExp(rest.charAt(1));
    } else if (characterClass !== undefined) {
      const body = characterClass
        .slice(1, -1)
        .replace(/^!/, '^')
        .replaceAll('\\', '\\\\')
        .replaceAll('[', '\\[');
      out += `(?!/)[${body}]`;
      i += characterClass.length - 1;
    } else {
      out += escapeRegExp(rest.charAt(0));
    }
  }
  return out;
}

function parseRule(line: string, dialect: IgnoreDialect): Rule | undefined {
  let text = dialect === 'git' ? line.replace(/(?<!\\)\s+$/, '') : line.trim();
  if (text === '' || text.startsWith('#')) return undefined;
  const negated = text.startsWith('!');
  if (negated) text = text.slice(1);
  const directoryOnly = dialect === 'git' && text.endsWith('/');
  text = text.replace(/\/+$/, '');
  const anchored = dialect === 'docker' || text.includes('/');
  text = text.replace(/^(?:\.?\/)+/, '');
  if (text === '') return undefined;
  try {
    return {
      negated,
      directoryOnly,
      pattern: new RegExp(`^${anchored ? '' : '(?:.*/)?'}${compile(text)}$`, 's'),
    };
  } catch {
    // A malformed character class matches nothing, as in git.
    return undefined;
  }
}

/** Compiles the text of an ignore file into a filter. */
export function ignoreFilter(text: string, dialect: IgnoreDialect): Filter {
  const rules = text
    .split(/\r?\n/)
    .map((line) => parseRule(line, dialect))
    .filter((rule) => rule !== undefined);
  const hasExceptions = rules.some((rule) => rule.negated);
  return (path, isDirectory) => {
    let ignored = false;
    for (const rule of rules) {
      const hit = dialect === 'git' ? matchesSelf(rule, path, isDirectory) : matchesSelfOrParent(rule, path);
      if (hit) ignored = !rule.negated;
    }
    if (!ignored) return 'take';
    return dialect === 'docker' && hasExceptions && isDirectory ? 'descend' : 'leave';
  };
}

function matchesSelf(rule: Rule, path: string, isDirectory: boolean): boolean {
  return (isDirectory || !rule.directoryOnly) && rule.pattern.test(path);
}

function matchesSelfOrParent(rule: Rule, path: string): boolean {
  for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
    if (rule.pattern.test(path.slice(0, end))) return true;
  }
  return false;
}

/** Several filters as one: the strictest answer counts. */
function combineFilters(filters: readonly Filter[]): Filter {
  return (path, isDirectory) => {
    const answers = new Set(filters.map((filter) => filter(path, isDirectory)));
    return answers.has('leave') ? 'leave' : answers.has('descend') ? 'descend' : 'take';
  };
}

export interface ProjectFilter {
  readonly filter: Filter;
  /** The files that the rules came from, for messages. */
  readonly files: readonly string[];
}

/**
 * The filter of a project. `.dockerignore` and `.funcignore` say what an image is made of; `.gitignore` is a stand-in where
 * neither exists, as it often lists build results that the image needs. `.git` is never taken.
 */
export async function projectFilter(directory: string): Promise<ProjectFilter> {
  const filters: Filter[] = [(path) => (/(^|\/)\.git$/.test(path) ? 'leave' : 'take')];
  const files: string[] = [];
  const load = async (name: string, dialect: IgnoreDialect): Promise<void> => {
    if (!existsSync(join(directory, name))) return;
    const text = await readFile(join(directory, name), 'utf8');
    filters.push(ignoreFilter(text.slice(0, maxFileSize), dialect));
    files.push(name);
  };
  await load('.dockerignore', 'docker');
  await load('.funcignore', 'git');
  if (files.length === 0) await load('.gitignore', 'git');
  return { filter: combineFilters(filters), files };
}
