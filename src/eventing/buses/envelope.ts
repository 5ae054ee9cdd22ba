/** A bus message as the payload of a log record: `headLength u32le | JSON [attributes, headers] | data`. */
import type { Attributes } from '../cloudevents/event.ts';
import type { BusMessage } from './bus.ts';

export function encodeEnvelope({ event, headers }: BusMessage): Buffer {
  const head = Buffer.from(JSON.stringify([event.attributes, headers]));
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32LE(head.length, 0);
  return Buffer.concat([length, head, event.data]);
}

/**
 * The data are copied: a view would keep the whole chunk of the log that was read in memory for as long as the event is
 * being retried.
 * @throws SyntaxError or RangeError for bytes that are no envelope.
 */
export function decodeEnvelope(payload: Buffer): BusMessage {
  const headEnd = 4 + payload.readUInt32LE(0);
  if (headEnd > payload.length) throw new RangeError('the envelope is cut short');
  const [attributes, headers] = JSON.parse(payload.toString('utf8', 4, headEnd)) as [
    Attributes,
    Record<string, string>,
  ];
  return { event: { attributes, data: Buffer.from(payload.subarray(headEnd)) }, headers };
}
