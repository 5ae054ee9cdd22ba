/** What `kubectl explain` says of Kubernetes' own types: the words of `descriptions.txt`, beside the schemas. */
import { readFileSync } from 'node:fs';
import type { Schema } from '../schema.ts';

interface Description {
  readonly text: string;
  readonly fields: ReadonlyMap<string, string>;
}

/** The entry whose fields hold for every type that says nothing of its own. */
const everyType = '*';

let loaded: ReadonlyMap<string, Description> | undefined;

/** By short type name. Read when first asked for: only documents need it, no request does. */
function descriptions(): ReadonlyMap<string, Description> {
  loaded ??= parse(readFileSync(new URL('./descriptions.txt', import.meta.url), 'utf8'));
  return loaded;
}

/** Throws on a line that belongs to no type: a mistake in the file. */
function parse(text: string): Map<string, Description> {
  const out = new Map<string, Description>();
  let fields: Map<string, string> | undefined;
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const field = /^ {2}(\S+) (.+)$/.exec(line);
    if (field) {
      if (!fields) throw new Error(`a field before any type: ${line}`);
      fields.set(field[1] ?? '', field[2] ?? '');
      continue;
    }
    const head = /^(\S+(?:, \S+)*?)(?: ([A-Z].*))?$/.exec(line);
    fields = new Map();
    for (const name of (head?.[1] ?? '').split(', ')) out.set(name, { text: head?.[2] ?? '', fields });
  }
  return out;
}

/** The schema of a Kubernetes type, with its words and those of its members. `type` is the short name. */
export function described(type: string, schema: Schema): Schema {
  const own = descriptions().get(type);
  const common = descriptions().get(everyType);
  const { properties } = schema;
  return {
    ...schema,
    ...(own?.text ? { description: own.text } : {}),
    ...(properties
      ? {
          properties: Object.fromEntries(
            Object.entries(properties).map(([name, property]) => {
              const description = own?.fields.get(name) ?? common?.fields.get(name);
              return [name, description ? { ...property, description } : property];
            }),
          ),
        }
      : {}),
  };
}

/** Every type and field that the file speaks of, for checking it against the types that exist. */
export function describedFields(): { readonly type: string; readonly fields: readonly string[] }[] {
  return [...descriptions()]
    .filter(([type]) => type !== everyType)
    .map(([type, { fields }]) => ({ type, fields: [...fields.keys()] }));
}
