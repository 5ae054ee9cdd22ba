/** Answers that go on: watches and logs. A reader that does not keep up is cut off; nothing grows without bound. */
import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { ResourceDef } from '../../api/resource.ts';
import { ApiError } from '../api-error.ts';
import { notedHeaders, asApiFailure, type Exchange } from './exchange.ts';
import type { AnswerForm } from './media-type.ts';
import type { Presenter } from './present.ts';
import { failureStatus } from './status.ts';
import type { ServedEvent } from './service/requests.ts';
import { partialMetadata, type IncludeObject } from './table.ts';
import { sendWatchMessages, wantsWatchMessages } from './watch-messages.ts';
import type { WriteTurns } from './write-turns.ts';

/** Bytes that may wait for a reader before the stream pauses. */
const maxWaitingBytes = 1024 * 1024;
/** A reader that takes nothing for this long is cut off. */
const maxStallMs = 30_000;

/** Writes; resolves when there is room for more. Rejects when the reader is gone or stalls. */
class BoundedWriter {
  readonly #response: ServerResponse;
  readonly #turns: WriteTurns | undefined;
  #corked = false;

  constructor(response: ServerResponse, turns?: WriteTurns) {
    this.#response = response;
    this.#turns = turns;
  }

  /** Undefined when it is this stream's turn; otherwise resolves when it is. */
  turn(): Promise<void> | undefined {
    // What is written now leaves with what this stream writes already.
    return this.#corked ? undefined : this.#turns?.take();
  }

  write(bytes: Buffer): Promise<void> | undefined {
    const response = this.#response;
    if (response.destroyed) throw new Error('the reader is gone');
    if (!this.#corked) {
      // What becomes ready in the same turn of the loop leaves in one packet.
      this.#corked = true;
      response.cork();
      process.nextTick(() => this.#uncork());
    }
    response.write(bytes);
    return response.writableLength > maxWaitingBytes ? this.#drained() : undefined;
  }

  /** Node writes the end of a corked answer before what is corked, so it is let out first. */
  end(last?: string): void {
    this.#uncork();
    this.#response.end(last);
  }

  #uncork(): void {
    if (!this.#corked) return;
    this.#corked = false;
    this.#response.uncork();
  }

  #drained(): Promise<void> {
    const response = this.#response;
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        clearTimeout(timer);
        response.off('drain', onDrain).off('close', onClose);
        act();
      };
      const onDrain = (): void => settle(resolve);
      const onClose = (): void => settle(() => reject(new Error('the reader is gone')));
      const timer = setTimeout(() => {
        settle(() => reject(new Error('the reader is too slow')));
        response.destroy();
      }, maxStallMs);
      response.on('drain', onDrain).on('close', onClose);
    });
  }
}

/**
 * Streams events until the source ends. `start` may fail: an expired version becomes an ERROR event, as clients expect
 * of a watch; any other failure is thrown.
 */
export async function streamWatch(
  exchange: Exchange,
  start: () => Promise<AsyncIterable<ServedEvent>>,
  encode: (event: ServedEvent) => Buffer,
  turns: WriteTurns,
): Promise<void> {
  const { response } = exchange;
  if (wantsWatchMessages(exchange)) {
    const lines = watchLines(await start().catch(expiredAlone), encode, turns);
    return sendWatchMessages(exchange, lines);
  }
  let events: AsyncIterable<ServedEvent>;
  try {
    events = await start();
  } catch (error) {
    const failure = asApiFailure(error);
    if (failure.code !== 410) throw failure;
    beginStream(response, 'application/json');
    response.end(errorLine(failure));
    return;
  }
  beginStream(response, 'application/json');
  const writer = new BoundedWriter(response, turns);
  try {
    for await (const event of events) {
      const turn = writer.turn();
      if (turn) await turn;
      const room = writer.write(encode(event));
      if (room) await room;
    }
    writer.end();
  } catch (error) {
    if (response.writable) response.end(errorLine(asApiFailure(error)));
  }
}

/** An expired version is told in the stream; anything else is thrown. */
function expiredAlone(error: unknown): ApiError {
  const failure = asApiFailure(error);
  if (failure.code !== 410) throw failure;
  return failure;
}

/** The lines of a watch, the last of which may say why it ends. */
async function* watchLines(
  events: AsyncIterable<ServedEvent> | ApiError,
  encode: (event: ServedEvent) => Buffer,
  turns: WriteTurns,
): AsyncIterable<Buffer> {
  try {
    if (events instanceof ApiError) throw events;
    for await (const event of events) {
      await turns.take();
      yield encode(event);
    }
  } catch (error) {
    yield Buffer.from(errorLine(asApiFailure(error)));
  }
}

/** How the events of a watch are written in the form that was asked for. */
export function eventEncoder(
  presenter: Presenter,
  def: ResourceDef,
  form: AnswerForm,
  include: IncludeObject,
): (event: ServedEvent) => Buffer {
  const { as } = form;
  if (!as) return (event) => event.line;
  const apiVersion = `${as.group}/${as.version}`;
  return ({ type, object }) => {
    const { resourceVersion } = object.metadata;
    const shown =
      as.kind === 'Table'
        ? presenter.table(def, type === 'BOOKMARK' ? [] : [object], {
            apiVersion,
            include,
            metadata: { resourceVersion },
          })
        : partialMetadata(object, apiVersion);
    return Buffer.from(`${JSON.stringify({ type, object: shown })}\n`);
  };
}

function errorLine(failure: ApiError): string {
  return `${JSON.stringify({ type: 'ERROR', object: failureStatus(failure) })}\n`;
}

/** Clients wait for the head of a stream before anything else, so it goes out at once. */
function beginStream(response: ServerResponse, contentType: string): void {
  response.writeHead(200, {
    'cache-control': 'no-cache, private',
    'content-type': contentType,
    ...notedHeaders(response),
  });
  response.flushHeaders();
}

/** How long a log source may take to say that it cannot deliver, before the answer begins. */
const firstChunkMs = 300;

/** Streams text. A failure before the first bytes is thrown; a later one ends the answer. */
export async function streamText(
  exchange: Exchange,
  source: AsyncIterable<Buffer>,
  contentType = 'text/plain',
): Promise<void> {
  const { response } = exchange;
  const chunks = source[Symbol.asyncIterator]();
  const first = chunks.next();
  await Promise.race([first, delay(firstChunkMs, undefined, { ref: false })]);
  beginStream(response, contentType);
  const writer = new BoundedWriter(response);
  try {
    for (let next = await first; !next.done; next = await chunks.next()) {
      const room = writer.write(next.value);
      if (room) await room;
    }
    writer.end();
  } catch {
    response.destroy();
  } finally {
    await chunks.return?.();
  }
}
