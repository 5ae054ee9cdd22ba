/** Answers in YAML. */

/**
 * YAML of a JSON text. Texts that YAML 1.1 would take for something else (`yes`) are quoted: Kubernetes' clients read by it.
 * The writer is loaded when first needed.
 */
export async function encodeYaml(json: string): Promise<Uint8Array<ArrayBuffer>> {
  const { stringify } = await import('yaml');
  return new TextEncoder().encode(stringify(JSON.parse(json), { version: '1.1' }));
}
