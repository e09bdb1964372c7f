/**
 * One client's link: LSP (handshake, text synchronisation, inline completion) and the `hindsight/*`
 * messages, bound to the daemon. Nothing is decided here. A client's `exit` ends its link, never the
 * process: the daemon is shared.
 */
import { createConnection, TextDocuments, InlineCompletionTriggerKind } from 'vscode-languageserver';
import type { CancellationToken, InitializeError, InitializeResult, InlineCompletionItem, InlineCompletionParams, ProtocolConnection, ResponseError } from 'vscode-languageserver';
import type { MessageConnection } from 'vscode-jsonrpc';
import { TextDocument } from 'vscode-languageserver-textdocument';
import * as data from '../../protocol/data.ts';
import * as editor from '../../protocol/editor.ts';
import { HindsightError, toHindsightError } from '../../protocol/errors.ts';
import { agree, editorHello, MAX_MESSAGE_BYTES, PROTOCOL } from '../../protocol/handshake.ts';
import type { DaemonHello, EditorHello } from '../../protocol/handshake.ts';
import * as learning from '../../protocol/learning.ts';
import type { NotificationMessage } from '../../protocol/message.ts';
import { testsRead, testsRun } from '../../protocol/tests.ts';
import { signalPublish } from '../../protocol/signals.ts';
import { abortSignal, call, handle, notify, on, responseError } from '../../protocol/transport.ts';
import type { Link } from '../../protocol/transport.ts';
import { exportRecords } from '../privacy/export.ts';
import { SignalScrubber } from '../privacy/signals.ts';
import { VERSION } from '../version.ts';
import * as remote from '../../protocol/remote.ts';
import * as agent from '../../protocol/agent.ts';
import type { Daemon } from './daemon.ts';
import type { Window } from './window.ts';

const SIGNALS_PER_BATCH = 1000;
const STOP_AFTER_MS = 20;

/** Serves a client until its link closes. Call it before anything else listens on `link`. */
export function serveConnection(daemon: Daemon, link: MessageConnection): void {
  const watchDog = { shutdownReceived: false, initialize: () => undefined, exit: () => link.end() };
  const connection = createConnection(() => link as unknown as ProtocolConnection, watchDog);
  const documents = new TextDocuments(TextDocument);
  documents.listen(connection);
  documents.onDidOpen(({ document }) => {
    if (window !== null) daemon.opened(window, { uri: document.uri, version: document.version, text: document.getText() });
  });
  documents.onDidChangeContent(({ document }) => {
    if (window === null) return;
    const { uri, languageId, version } = document;
    const changed = { uri, languageId, version, text: document.getText() };
    daemon.completion.changed(window, changed);
    daemon.nextEdits.changed(window, changed);
  });
  documents.onDidClose(({ document }) => {
    if (window === null) return;
    daemon.completion.left(window, document.uri);
    daemon.nextEdits.left(window, document.uri);
  });
  let window: Window | null = null;
  const greeted = (): Window => {
    if (window === null) throw new HindsightError('invalidParams', { method: 'initialize', problem: 'it was not sent first' });
    return window;
  };

  connection.onInitialize((params): InitializeResult | ResponseError<InitializeError> => {
    try {
      const hello = helloOf(params.initializationOptions);
      window = makeWindow(hello, documents, link);
      if (hello.ignoredFiles !== undefined) daemon.setIgnored(hello.workspace, hello.ignoredFiles);
      if (hello.holdBack !== undefined) daemon.completion.setHoldBack(hello.workspace, hello.holdBack);
      if (hello.adaptive !== undefined) daemon.completion.setAdaptive(hello.workspace, hello.adaptive);
      if (hello.nextEdits === true) daemon.nextEdits.join(window);
      daemon.join(window);
      return welcome(daemon, hello);
    } catch (thrown) {
      return refusal(toHindsightError(thrown));
    }
  });
  connection.languages.inlineCompletion.on((params, token) => inlineCompletion(daemon, greeted(), documents, params, token));
  bindSignals(daemon, link, greeted, documents);
  bindMessages(daemon, link, greeted);

  const leave = (): void => {
    if (window !== null) daemon.leave(window);
    window = null;
  };
  link.onClose(leave);
  link.onDispose(leave);
  // A broken pipe is the close that follows it.
  link.onError(() => undefined);
  connection.listen();
}

/** LSP's error of `initialize` has a flag of its own beside ours; nobody should try again unchanged. */
function refusal(error: HindsightError): ResponseError<InitializeError> {
  return responseError(error) as ResponseError<InitializeError>;
}

function helloOf(options: unknown): EditorHello {
  const hello = editorHello.safeParse(options);
  if (!hello.success) throw new HindsightError('invalidParams', { method: 'initialize', problem: 'initializationOptions are not a hello of Hindsight' });
  agree(PROTOCOL, hello.data.protocol, { ours: 'the daemon', theirs: 'the extension' });
  return hello.data;
}

function welcome(daemon: Daemon, hello: EditorHello): InitializeResult {
  const hindsight: DaemonHello = {
    protocol: agree(PROTOCOL, hello.protocol, { ours: 'the daemon', theirs: 'the extension' }),
    daemon: { version: VERSION, pid: process.pid },
    acknowledged: daemon.journal.acknowledged(hello.session),
    limits: { messageBytes: MAX_MESSAGE_BYTES, signalsPerBatch: SIGNALS_PER_BATCH },
  };
  return { capabilities: { textDocumentSync: { openClose: true, change: 2, save: true }, inlineCompletionProvider: true, experimental: { hindsight } }, serverInfo: { name: 'hindsight', version: VERSION } };
}

function makeWindow(hello: EditorHello, documents: TextDocuments<TextDocument>, link: Link): Window {
  return {
    session: hello.session,
    workspace: hello.workspace,
    openFiles: () => documents.all().map((document) => ({ uri: document.uri, text: document.getText() })),
    ask: (message, params, options) => call(link, message, params, options),
    notify<M extends NotificationMessage>(message: M, params: Parameters<typeof notify<M>>[2]) {
      // A link that is closing needs no news.
      notify(link, message, params).catch(() => undefined);
    },
  };
}

async function inlineCompletion(daemon: Daemon, window: Window, documents: TextDocuments<TextDocument>, params: InlineCompletionParams, token: CancellationToken): Promise<InlineCompletionItem[]> {
  const document = documents.get(params.textDocument.uri);
  if (document === undefined) return [];
  const offer = await daemon.completion.inline({
    window,
    uri: document.uri,
    languageId: document.languageId,
    version: document.version,
    text: document.getText(),
    offset: document.offsetAt(params.position),
    trigger: params.context.triggerKind === InlineCompletionTriggerKind.Invoked ? 'invoked' : 'typing',
    signal: abortSignal(token),
  });
  if (offer === null) return [];
  // The range is stated, or the editor would replace the word before the cursor.
  const range = { start: params.position, end: params.position };
  return [{ insertText: offer.text, range, command: { title: 'Accepted', command: editor.ACCEPTED_COMMAND, arguments: [offer.turn] } }];
}

/** Batches are scrubbed and stored one after another, as they came. */
function bindSignals(daemon: Daemon, link: Link, greeted: () => Window, documents: TextDocuments<TextDocument>): void {
  const scrubber = new SignalScrubber((uri) => documents.get(uri)?.getText());
  let tail: Promise<unknown> = Promise.resolve();
  handle(link, signalPublish, ({ session, first, signals }) => {
    const { workspace } = greeted();
    const stored = tail.then(async () => {
      const clean = await scrubber.scrub(first, signals);
      return { acknowledged: daemon.publish({ session, workspace, first, signals: clean.signals }, clean.retractions) };
    });
    tail = stored.catch(() => undefined);
    return stored;
  });
}

function bindMessages(daemon: Daemon, link: Link, greeted: () => Window): void {
  bindAgent(daemon, link, greeted);
  handle(link, editor.consentGet, ({ workspace }) => daemon.journal.consent(workspace));
  handle(link, editor.consentSet, ({ workspace, state, classes }) => daemon.setConsent(workspace, state, classes));
  handle(link, editor.statusGet, ({ workspace }) => daemon.detailedStatus(workspace));
  handle(link, editor.trainingPause, () => daemon.pause());
  handle(link, editor.trainingResume, () => daemon.resume());
  handle(link, editor.trainingNow, ({ workspace }) => daemon.trainNow(workspace));
  handle(link, editor.adapterList, ({ workspace }) => daemon.adapters(workspace));
  handle(link, editor.adapterRollback, async ({ workspace, to }) => ({ serving: await daemon.rollback(workspace, to) }));
  handle(link, editor.learningShow, ({ workspace }) => ({ markdown: daemon.learningPage(workspace) }));
  handle(link, learning.learningView, ({ workspace, lessons }) => daemon.learning.view(workspace, lessons));
  handle(link, learning.adapterCompare, (order) => daemon.learning.compare(order));
  handle(link, learning.adapterExport, ({ workspace, version, folder }) => ({ files: daemon.learning.export(workspace, version, folder) }));
  handle(link, data.dataPreview, ({ workspace, limit }) => ({ records: daemon.journal.latestRecords(workspace, limit) }));
  handle(link, data.dataWouldStore, (params) => daemon.data.wouldStore(params));
  handle(link, data.dataForget, ({ scope }) => daemon.data.forget(scope));
  handle(link, data.dataExport, ({ workspace, path }) => exportRecords(daemon.journal, workspace, path));
  handle(link, remote.engineProbe, ({ pairing }, signal) => daemon.attachment.probe(pairing, signal));
  handle(link, remote.engineAttach, (order) => daemon.attachment.attach(order));
  handle(link, remote.engineDetach, async () => ({ detached: await daemon.attachment.detach() }));
  handle(link, editor.daemonStop, () => {
    // The answer goes out first.
    setTimeout(() => daemon.requestStop(), STOP_AFTER_MS);
    return {};
  });
}

function bindAgent(daemon: Daemon, link: Link, greeted: () => Window): void {
  handle(link, agent.agentModel, ({ endpoint }) => daemon.agent.model(endpoint));
  handle(link, agent.editPropose, (params, signal) => daemon.agent.propose(greeted(), params, signal));
  handle(link, agent.chatRespond, (params, signal) => daemon.agent.respond(greeted(), params, signal));
  handle(link, agent.chatComplete, (params, signal) => daemon.agent.complete(greeted(), params, signal));
  handle(link, agent.allowedForget, ({ workspace }) => daemon.agent.forgetAllowed(workspace));
  handle(link, testsRun, (params, signal) => daemon.agent.runTests(greeted(), params, signal));
  handle(link, testsRead, (params) => daemon.agent.readReport(greeted(), params));
  handle(link, agent.practiceRun, ({ workspace, limit, endpoint }, signal) => daemon.practice.run(workspace, limit, endpoint, signal));
  on(link, agent.terminalInput, ({ terminal, keys }) => daemon.agent.press(terminal, keys));
}
