/**
 * Typed ends of a JSON-RPC link. Both directions are validated: what we send is checked before it
 * leaves (our defect), what we receive before anyone sees it (theirs). Every request has a
 * deadline and can be cancelled; catalogue errors cross the link unchanged.
 */
import { CancellationTokenSource, ConnectionError, ConnectionErrors, ErrorCodes, ResponseError } from 'vscode-jsonrpc';
import type { CancellationToken, Disposable, MessageConnection } from 'vscode-jsonrpc';
import type { z } from 'zod';
import { HindsightError, toHindsightError } from './errors.ts';
import type { Message, NotificationMessage, Params, RequestMessage, Result } from './message.ts';

/** The part of a connection that is needed here; LSP connections have it too. Those of the language
 *  client say nothing of their end: they fail their waiting requests themselves. */
export type Link = Pick<MessageConnection, 'sendRequest' | 'sendNotification' | 'onRequest' | 'onNotification'> & Partial<Pick<MessageConnection, 'onClose' | 'onDispose'>>;

export interface CallOptions {
  /** Seconds until the request fails with `deadline`. */
  deadline?: number;
  signal?: AbortSignal;
}

const DEFAULT_DEADLINE_SECONDS = 60;

/** Sends a request and returns its checked answer.
 *  @throws HindsightError of the catalogue, `cancelled`, `deadline` and `linkClosed` among them */
export async function call<M extends RequestMessage>(link: Link, message: M, params: z.input<M['params']>, options: CallOptions = {}): Promise<Result<M>> {
  const checked = check(message, message.params, params);
  const seconds = options.deadline ?? DEFAULT_DEADLINE_SECONDS;
  const source = new CancellationTokenSource();
  const cancelled = new HindsightError('cancelled');
  if (options.signal?.aborted) throw cancelled;
  let timer: NodeJS.Timeout | undefined;
  let onAbort: (() => void) | undefined;
  const closings: Disposable[] = [];
  const ended = new Promise<never>((_, reject) => {
    // A link that closes answers nothing any more, also where nobody disposes of it.
    const onClosed = (): void => reject(new HindsightError('linkClosed', { what: message.method }));
    if (link.onClose) closings.push(link.onClose(onClosed));
    if (link.onDispose) closings.push(link.onDispose(onClosed));
    timer = setTimeout(() => reject(new HindsightError('deadline', { what: message.method, seconds })), seconds * 1000);
    onAbort = () => reject(cancelled);
    options.signal?.addEventListener('abort', onAbort);
  });
  try {
    const answer = await Promise.race([link.sendRequest<unknown>(message.method, checked, source.token), ended]);
    return check(message, message.result, answer) as Result<M>;
  } catch (thrown) {
    const error = isClosed(thrown) ? new HindsightError('linkClosed', { what: message.method }) : toHindsightError(thrown);
    // Whatever the reason, nobody waits for this answer any more.
    if (error.errorName !== 'linkClosed') source.cancel();
    throw error;
  } finally {
    clearTimeout(timer);
    for (const closing of closings) closing.dispose();
    if (onAbort) options.signal?.removeEventListener('abort', onAbort);
    source.dispose();
  }
}

/** What the library says of a link that is gone. */
function isClosed(thrown: unknown): boolean {
  if (thrown instanceof ConnectionError) return thrown.code === ConnectionErrors.Closed || thrown.code === ConnectionErrors.Disposed;
  return thrown instanceof ResponseError && (thrown.code === ErrorCodes.PendingResponseRejected || thrown.code === ErrorCodes.MessageWriteError);
}

export async function notify<M extends NotificationMessage>(link: Link, message: M, params: z.input<M['params']>): Promise<void> {
  await link.sendNotification(message.method, check(message, message.params, params));
}

/** Answers a request. What the handler throws crosses the link as a catalogue error. */
export function handle<M extends RequestMessage>(
  link: Link,
  message: M,
  handler: (params: Params<M>, signal: AbortSignal) => Promise<z.input<M['result']>> | z.input<M['result']>,
): void {
  link.onRequest(message.method, async (params: unknown, token: CancellationToken) => {
    try {
      return check(message, message.result, await handler(check(message, message.params, params) as Params<M>, abortSignal(token)));
    } catch (thrown) {
      return responseError(toHindsightError(thrown));
    }
  });
}

export function on<M extends NotificationMessage>(link: Link, message: M, handler: (params: Params<M>) => void): void {
  link.onNotification(message.method, (params: unknown) => handler(check(message, message.params, params) as Params<M>));
}

export function responseError(error: HindsightError): ResponseError<unknown> {
  const code = error.errorName === 'internal' ? ErrorCodes.InternalError : error.code;
  return new ResponseError(code, error.message, { name: error.errorName, details: error.details });
}

/** @returns a signal that aborts when the other side cancels. */
export function abortSignal(token: CancellationToken): AbortSignal {
  const controller = new AbortController();
  if (token.isCancellationRequested) controller.abort();
  else token.onCancellationRequested(() => controller.abort());
  return controller.signal;
}

function check<S extends z.ZodType>(message: Message, schema: S, value: unknown): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new HindsightError('invalidParams', { method: message.method, problem: issue ? `${issue.path.join('.') || 'value'}: ${issue.message}` : 'unknown' });
}
