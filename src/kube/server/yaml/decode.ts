/** One YAML document, by the rules of YAML 1.1 that Kubernetes' decoder follows, and without the types that JSON cannot hold. */
import { messageOf } from '../../../base/errors.ts';
import { isMembers } from '../../../api/structural-members.ts';
import { checkExact } from '../json-text.ts';

/** A document, as JSON has it. */
export interface DecodedYaml {
  readonly value: unknown;
  /** What only a strict decoder minds. */
  readonly faults: readonly string[];
}

const maxAliases = 50;
const maxNodesWithAliases = 5000;
/** Characters and values of a document once its aliases are written out; as for request bodies. */
const maxWrittenOut = 3 * 1024 * 1024;

/** The parser is loaded when first needed. Throws an Error that says what is wrong with the text. */
export async function decodeYaml(text: string): Promise<DecodedYaml> {
  try {
    return await parse(text);
  } catch (error) {
    // The parser calls itself for what is nested, and may report its end of stack as a fault of the text.
    const message = messageOf(error);
    throw message.startsWith('Maximum call stack') ? new Error('exceeded max depth') : error;
  }
}

async function parse(text: string): Promise<DecodedYaml> {
  const { isMap, isScalar, LineCounter, parseDocument, visit } = await import('yaml');
  const lines = new LineCounter();
  const document = parseDocument(text, {
    version: '1.1',
    merge: true,
    customTags: (tags) =>
      tags
        .filter((tag) => typeof tag !== 'object' || !('tag' in tag) || !beyondJson.has(tag.tag))
        // A dot alone is a text, in Go's parsers, too: the current directory.
        .map((tag) =>
          typeof tag === 'object' && 'test' in tag && tag.test?.test('.') ? { ...tag, test: decimal } : tag,
        ),
    // As Kubernetes' decoder: of members that repeat the last counts.
    uniqueKeys: false,
    intAsBigInt: true,
    lineCounter: lines,
    logLevel: 'error',
  });
  const [error] = document.errors;
  if (error) throw new Error(error.message.split('\n')[0]);
  const repeated: string[] = [];
  let aliases = 0;
  let nodes = 0;
  visit(document, {
    Alias: () => void aliases++,
    Node: () => void nodes++,
    Map(_key, map) {
      nodes++;
      const seen = new Set<unknown>();
      for (const { key } of isMap(map) ? map.items : []) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) {
          const { line } = lines.linePos(key.range?.[0] ?? 0);
          repeated.push(`  line ${line}: key ${JSON.stringify(key.value)} already set in map`);
        }
        seen.add(key.value);
      }
    },
  });
  // For each alias the parser walks the document, and for those in what others stand for, again.
  if (aliases > maxAliases || (aliases > 0 && nodes > maxNodesWithAliases)) {
    throw new Error(
      `a document with aliases may have ${maxAliases} of them and ${maxNodesWithAliases} values at most`,
    );
  }
  const value: unknown = document.toJS({ maxAliasCount: 100 });
  if (aliases > 0 && writtenOut(value) > maxWrittenOut) {
    throw new Error('the document is too large once its aliases are written out');
  }
  return {
    value: asJson(value),
    faults: repeated.length > 0 ? [`yaml: unmarshal errors:\n${repeated.slice(0, 100).join('\n')}`] : [],
  };
}

const decimal = /^[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)$/;

const beyondJson = new Set(
  ['timestamp', 'binary', 'set', 'omap', 'pairs'].map((name) => `tag:yaml.org,2002:${name}`),
);

/** Characters and values that a document has without aliases, which may make a small text huge. */
function writtenOut(value: unknown): number {
  const known = new Map<object, number>();
  const sizeOf = (part: unknown): number => {
    if (typeof part === 'string') return part.length + 1;
    if (typeof part !== 'object' || part === null) return 1;
    const before = known.get(part);
    if (before !== undefined) return before;
    const size = Object.entries(part).reduce((sum, [key, member]) => sum + key.length + sizeOf(member), 1);
    known.set(part, size);
    return size;
  };
  return sizeOf(value);
}

/** Integers as numbers. Throws for those that would lose digits, and for numbers that JSON does not have. */
function asJson(value: unknown): unknown {
  if (typeof value === 'bigint') {
    checkExact(String(value));
    return Number(value);
  }
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new Error(`error converting YAML to JSON: json: unsupported value: ${goNumber(value)}`);
  }
  if (Array.isArray(value)) return value.map(asJson);
  if (!isMembers(value)) return value;
  for (const key of Object.keys(value)) {
    const member = value[key];
    if (typeof member === 'bigint' || typeof member === 'object' || typeof member === 'number') {
      value[key] = asJson(member);
    }
  }
  return value;
}

function goNumber(value: number): string {
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}
