/** A connected client, as the daemon sees it. */
import type { NotificationMessage, RequestMessage, Result } from '../../protocol/message.ts';
import type { call, CallOptions, notify } from '../../protocol/transport.ts';

export interface Window {
  /** Name of the run of the window; its signals are numbered within it. */
  readonly session: string;
  readonly workspace: string;
  openFiles(): { uri: string; text: string }[];
  /** Asks the editor. @throws what the editor answers with, `deadline`, `cancelled` */
  ask<M extends RequestMessage>(message: M, params: Parameters<typeof call<M>>[2], options?: CallOptions): Promise<Result<M>>;
  /** Sends without waiting; a link that is gone loses it. */
  notify<M extends NotificationMessage>(message: M, params: Parameters<typeof notify<M>>[2]): void;
}
