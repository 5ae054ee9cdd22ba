/** Answers in YAML. */

/** YAML of a JSON text. The writer is loaded when first needed. */
export async function encodeYaml(json: string): Promise<Uint8Array<ArrayBuffer>> {
  const { stringify } = await import('yaml');
  return new TextEncoder().encode(stringify(JSON.parse(json)));
}
