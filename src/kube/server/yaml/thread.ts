/**
 * YAML for the API server. Its parser takes seconds for a body of 3 MB, in which nobody else would be answered: whatever is
 * not small is done by a thread, which is started when first needed and ends when nobody has needed it for a while.
 */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { systemCode } from '../../../base/errors.ts';
import { ApiError } from '../../api-error.ts';
import { decodeYaml, type DecodedYaml } from './decode.ts';
import { encodeYaml } from './encode.ts';
import type { YamlJob, YamlResult } from './worker.ts';

export interface YamlLimits {
  /** Texts up to this many bytes are done at once: some hundredths of a second. Default 16 KiB. */
  readonly inlineBytes?: number;
  /** How long one job may take, ms. Default 30 s. */
  readonly jobMs?: number;
  /** How long the thread stays without a job, ms. Default 10 s. */
  readonly idleMs?: number;
  /** Jobs that may wait. Default 50. */
  readonly jobs?: number;
}

interface Waiting {
  readonly job: YamlJob;
  readonly resolve: (result: YamlResult) => void;
  readonly reject: (error: ApiError) => void;
}

/** Enough for what a body of 3 MB becomes in the parser. */
const maxHeapMb = 1024;

export class YamlThread {
  readonly #limits: Required<YamlLimits>;
  #worker: Worker | undefined;
  /** The first is being done. */
  #queue: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(limits: YamlLimits = {}) {
    this.#limits = { inlineBytes: 16 * 1024, jobMs: 30_000, idleMs: 10_000, jobs: 50, ...limits };
  }

  /** Throws an Error that says what is wrong with the text, and ApiError: 413, 429, 503. */
  async decode(body: Buffer): Promise<DecodedYaml> {
    if (body.length <= this.#limits.inlineBytes) return decodeYaml(body.toString());
    const { bytes, faults } = await this.#run('decode', body);
    return { value: JSON.parse(Buffer.from(bytes.buffer).toString()) as unknown, faults };
  }

  /** YAML of JSON. Throws ApiError as {@link decode} does. */
  async encode(json: Buffer): Promise<Buffer> {
    const yaml =
      json.length <= this.#limits.inlineBytes
        ? await encodeYaml(json.toString())
        : (await this.#run('encode', json)).bytes;
    return Buffer.from(yaml.buffer, yaml.byteOffset, yaml.byteLength);
  }

  /** Gives up what is still to be done. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#fail(new ApiError('ServiceUnavailable', 'the server is shutting down'), this.#queue.length);
    await this.#end();
  }

  async #run(kind: YamlJob['kind'], text: Buffer): Promise<Exclude<YamlResult, { error: string }>> {
    if (this.#closed) throw new ApiError('ServiceUnavailable', 'the server is shutting down');
    if (this.#queue.length >= this.#limits.jobs) {
      const message = 'too many large YAML documents wait to be processed; please try again later';
      throw new ApiError('TooManyRequests', message, { retryAfterSeconds: 1 });
    }
    // A copy of its own, for the thread to have: the body may be a part of something larger.
    const bytes = new Uint8Array(text);
    const result = await new Promise<YamlResult>((resolve, reject) => {
      this.#queue.push({ job: { kind, bytes }, resolve, reject });
      if (this.#queue.length === 1) this.#next();
    });
    if ('error' in result) throw new Error(result.error);
    return result;
  }

  #next(): void {
    clearTimeout(this.#timer);
    const [first] = this.#queue;
    if (!first) {
      this.#timer = setTimeout(() => void this.#end(), this.#limits.idleMs).unref();
      return;
    }
    this.#worker ??= this.#start();
    this.#worker.postMessage(first.job, [first.job.bytes.buffer]);
    this.#timer = setTimeout(() => this.#giveUp('it takes too long to process'), this.#limits.jobMs).unref();
  }

  #start(): Worker {
    // The extension follows this file's, so that the built package finds its own worker.
    const script = new URL(`./worker${extname(import.meta.url)}`, import.meta.url);
    const worker = new Worker(script, {
      name: 'yaml',
      resourceLimits: { maxOldGenerationSizeMb: maxHeapMb },
    });
    worker.on('message', (result: YamlResult) => {
      if (worker !== this.#worker) return;
      this.#queue.shift()?.resolve(result);
      this.#next();
    });
    worker.on('error', (error) => {
      if (worker !== this.#worker) return;
      const isLarge = systemCode(error) === 'ERR_WORKER_OUT_OF_MEMORY';
      this.#giveUp(isLarge ? 'it takes too much memory to process' : error.message);
    });
    worker.unref();
    return worker;
  }

  /** Refuses the document at hand, and goes on with the next in a new thread. */
  #giveUp(why: string): void {
    this.#fail(new ApiError('RequestEntityTooLarge', `the YAML document is too large: ${why}; use JSON`), 1);
    void this.#end();
    this.#next();
  }

  #fail(error: ApiError, count: number): void {
    for (const { reject } of this.#queue.splice(0, count)) reject(error);
  }

  async #end(): Promise<void> {
    clearTimeout(this.#timer);
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }
}
