// One language client for one connection. The library's own restart forces a popup and cannot start again
// after a failed start; here a client lives as long as its socket, and connection.ts makes the next one.
import type { Socket } from 'node:net';
import type * as vscode from 'vscode';
import {
  CloseAction,
  ErrorAction,
  LanguageClient,
  RevealOutputChannelOn,
  type InitializeParams,
  type Middleware,
} from 'vscode-languageclient/node';
import { streamEnds } from '../../protocol/links.ts';
import { daemonHello, PROTOCOL, type DaemonHello, type EditorHello } from '../../protocol/handshake.ts';
import { t } from '../translate.ts';

const INITIALIZE_DEADLINE_MS = 30_000;

export interface ClientOrder {
  /** Asked anew for each connection. */
  readonly hello: () => Omit<EditorHello, 'protocol'>;
  readonly folder: vscode.WorkspaceFolder;
  readonly log: vscode.LogOutputChannel;
  readonly middleware: Middleware;
  /** Registers handlers before the first message can come. */
  readonly prepare: (client: LanguageClient) => void;
}

export interface LiveClient {
  readonly client: LanguageClient;
  readonly hello: DaemonHello;
  /** The session in whose name the connection was opened. */
  readonly session: string;
  /** Resolves when the connection has ended, whoever ended it. */
  readonly ended: Promise<void>;
  stop(): void;
}

/** Says everything to the log and nothing in a popup: nobody asked while typing. */
class QuietLanguageClient extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }

  /** A language server ends with the process that started it; the daemon serves every window of its user. */
  protected override fillInitializeParams(params: InitializeParams): void {
    super.fillInitializeParams(params);
    params.processId = null;
  }
}

/** Initializes a connection over an open socket.
 *  @throws when the daemon does not answer in time, or not as Hindsight's */
export async function startClient(socket: Socket, order: ClientOrder): Promise<LiveClient> {
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const greeting = order.hello();
  const client = new QuietLanguageClient(
    'hindsight',
    'Hindsight',
    () => Promise.resolve({ ...streamEnds(socket, socket), detached: true }),
    {
      documentSelector: [{ scheme: 'file', pattern: { baseUri: order.folder.uri.toString(), pattern: '**/*' } }],
      workspaceFolder: order.folder,
      initializationOptions: { protocol: PROTOCOL, ...greeting } satisfies EditorHello,
      outputChannel: order.log,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      initializationFailedHandler: () => false,
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => ({ action: CloseAction.DoNotRestart, handled: true, message: t('the connection to the daemon has ended') }),
      },
      middleware: order.middleware,
    },
  );
  order.prepare(client);
  // Not `client.stop()`: `shutdown` and `exit` would be meant for the daemon, which is not this window's to end.
  const stop = (): void => socket.destroySoon();
  try {
    await within(INITIALIZE_DEADLINE_MS, Promise.race([client.start(), ended.then(() => Promise.reject(new Error(t('the daemon ended the connection at its start'))))]));
    const answer: unknown = client.initializeResult?.capabilities.experimental;
    const hello = daemonHello.parse(typeof answer === 'object' && answer !== null && 'hindsight' in answer ? answer.hindsight : undefined);
    return { client, hello, session: greeting.session, ended, stop };
  } catch (error) {
    stop();
    throw error;
  }
}

async function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(t('the daemon did not answer within {0} s', milliseconds / 1000))), milliseconds);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
