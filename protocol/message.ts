/**
 * What a message of the protocol is. One definition per message: the TypeScript type, the runtime
 * check in both directions, the JSON Schema and the reference page all come from it, and its
 * example is a test. Nothing else in the repository may describe the wire.
 */
import type { z } from 'zod';

/** Who asks whom. */
export type Direction = 'editor→daemon' | 'daemon→editor' | 'daemon→engine' | 'engine→daemon';

export interface RequestMessage<P extends z.ZodType = z.ZodType, R extends z.ZodType = z.ZodType> {
  readonly kind: 'request';
  readonly method: string;
  readonly direction: Direction;
  readonly doc: string;
  readonly params: P;
  readonly result: R;
  readonly example: { params: z.input<P>; result: z.input<R> };
}

export interface NotificationMessage<P extends z.ZodType = z.ZodType> {
  readonly kind: 'notification';
  readonly method: string;
  readonly direction: Direction;
  readonly doc: string;
  readonly params: P;
  readonly example: { params: z.input<P> };
}

export type Message = RequestMessage | NotificationMessage;

export type Params<M extends Message> = z.output<M['params']>;
export type Result<M extends RequestMessage> = z.output<M['result']>;

export function request<P extends z.ZodType, R extends z.ZodType>(
  method: string,
  direction: Direction,
  doc: string,
  params: P,
  result: R,
  example: { params: z.input<P>; result: z.input<R> },
): RequestMessage<P, R> {
  return { kind: 'request', method, direction, doc, params, result, example };
}

export function notification<P extends z.ZodType>(
  method: string,
  direction: Direction,
  doc: string,
  params: P,
  example: { params: z.input<P> },
): NotificationMessage<P> {
  return { kind: 'notification', method, direction, doc, params, example };
}
