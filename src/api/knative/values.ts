/** Schemas of plain values. */
import type { Schema } from '../schema.ts';

export const string = { type: 'string' } as const satisfies Schema;
export const boolean = { type: 'boolean' } as const satisfies Schema;
export const int32 = { type: 'integer', format: 'int32' } as const satisfies Schema;
export const int64 = { type: 'integer', format: 'int64' } as const satisfies Schema;
export const strings = { type: 'array', items: string } as const satisfies Schema;
export const stringMap = { type: 'object', additionalProperties: string } as const satisfies Schema;
export const intOrString = { 'x-kubernetes-int-or-string': true } as const satisfies Schema;
