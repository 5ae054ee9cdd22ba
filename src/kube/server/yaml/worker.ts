/** The thread that reads and writes large YAML. It answers each job in turn. */
import { parentPort } from 'node:worker_threads';
import { messageOf } from '../../../base/errors.ts';
import { decodeYaml } from './decode.ts';
import { encodeYaml } from './encode.ts';

/** `bytes` are YAML to decode, or JSON to encode. */
export interface YamlJob {
  readonly kind: 'decode' | 'encode';
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What became of the job: JSON when decoded, YAML when encoded. */
export type YamlResult =
  | { readonly bytes: Uint8Array<ArrayBuffer>; readonly faults: readonly string[] }
  | { readonly error: string };

async function answer({ kind, bytes }: YamlJob): Promise<YamlResult> {
  const text = new TextDecoder().decode(bytes);
  try {
    if (kind === 'encode') return { bytes: await encodeYaml(text), faults: [] };
    const { value, faults } = await decodeYaml(text);
    return { bytes: new TextEncoder().encode(JSON.stringify(value) ?? 'null'), faults };
  } catch (error) {
    return { error: messageOf(error) };
  }
}

async function serve(job: YamlJob): Promise<void> {
  const result = await answer(job);
  parentPort?.postMessage(result, 'bytes' in result ? [result.bytes.buffer] : []);
}

parentPort?.on('message', (job: YamlJob) => void serve(job));
