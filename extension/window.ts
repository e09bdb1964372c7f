// One trusted window on one folder: puts connection, recorder, consent and views together.
// A window with several folders works in its first one; consent, adapters and learning are per folder.
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import * as vscode from 'vscode';
import { adapterPublished, consentGet, consentSet, learningProgress, statusChanged, statusGet, type ConsentChoice, type Status } from '../protocol/editor.ts';
import { toHindsightError } from '../protocol/errors.ts';
import { signalPublish, type Signal } from '../protocol/signals.ts';
import { testsRead } from '../protocol/tests.ts';
import { on, type Link } from '../protocol/transport.ts';
import { completionMiddleware, recordAccepted } from './completion/accepted.ts';
import { NextEdits } from './completion/nextEdits.ts';
import { hindsightHome } from '../protocol/address.ts';
import { DaemonConnection, type Greeting } from './connection/connection.ts';
import { isCovered } from '../protocol/consent.ts';
import { IgnoredFiles } from '../protocol/ignored.ts';
import { Consent, UNCHOSEN } from './consent/consent.ts';
import { OwnData } from './consent/ownData.ts';
import { askForConsent, pickClasses } from './consent/question.ts';
import { adaptive, holdBack, ignoredFiles, nextEdits, windowSettings } from './settings.ts';
import { recordBranches } from './signals/branches.ts';
import { openDocuments, recordDocuments } from './signals/documents.ts';
import type { Publish } from './signals/outbox.ts';
import { recordOwnWork } from './signals/ownWork.ts';
import { Recorder } from './signals/recorder.ts';
import { userSeal, type Seal } from './signals/seal.ts';
import { RemoteEngines } from './remote/remote.ts';
import { AgentWindow } from './agentWindow.ts';
import { speak } from './translate.ts';
import { registerWindowCommands } from './views/commands.ts';
import { LearningView } from './views/learning.ts';
import { StatusBar } from './views/statusBar.ts';

/** A signal is on its way within this time, and on disk. */
const FLUSH_MS = 200;
const CLOSE_DEADLINE_MS = 2000;

/** Speaks the editor's language from its first word. */
export function windowOn(...place: ConstructorParameters<typeof HindsightWindow>): HindsightWindow {
  speak(vscode.l10n.t);
  return new HindsightWindow(...place);
}

export class HindsightWindow {
  readonly #workspace: string;
  readonly #statusBar = new StatusBar();
  readonly #recorder: Recorder;
  readonly #ignored: IgnoredFiles;
  readonly #connection: DaemonConnection;
  readonly #consent: Consent;
  readonly #learning: LearningView;
  readonly #agent: AgentWindow;
  readonly #nextEdits: NextEdits;
  readonly #remote: RemoteEngines;
  readonly #subscriptions: vscode.Disposable[] = [];
  #seal: Promise<Seal> | undefined;
  /** The daemon of the present connection has confirmed the owner's choice. */
  #confirmed = false;

  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly folder: vscode.WorkspaceFolder,
    private readonly log: vscode.LogOutputChannel,
  ) {
    this.#workspace = folder.uri.toString();
    this.#ignored = new IgnoredFiles(this.#workspace, ignoredFiles());
    this.#recorder = this.#makeRecorder();
    this.#connection = this.#makeConnection();
    this.#consent = this.#makeConsent();
    this.#learning = new LearningView({ connection: this.#connection, workspace: this.#workspace, extension: context.extensionUri, log: (line) => log.info(line) });
    this.#remote = new RemoteEngines({ workspace: this.#workspace, connection: this.#connection, secrets: context.secrets, log: (line) => log.info(line), refreshStatus: () => this.#refreshStatus() });
    this.#agent = new AgentWindow({
      context,
      folder,
      connection: this.#connection,
      consent: () => this.#consent.choice,
      record: (signal) => this.#recordNow(signal),
      log: (line) => this.log.info(line),
    });
    this.#nextEdits = new NextEdits((signal) => this.#recordNow(signal));
  }

  async open(): Promise<void> {
    const flushing = setInterval(() => void this.#recorder.flush(), FLUSH_MS);
    this.#subscriptions.push(
      this.#statusBar,
      this.#learning,
      this.#connection,
      new vscode.Disposable(() => clearInterval(flushing)),
      recordDocuments(this.folder, this.#recorder),
      recordAccepted(this.#recorder),
      recordOwnWork({
        folder: this.folder,
        granted: (of) => this.#recorder.isRecording && this.#consent.choice.classes.includes(of),
        record: (signal) => this.#recorder.record(signal),
        turnAt: (uri, line) => this.#agent.turnAt(uri, line),
        readReport: async (uri) => (await this.#connection.request(testsRead, { uri: uri.toString() })).report,
        log: (line) => this.log.info(line),
      }),
      registerWindowCommands({
        workspace: this.#workspace,
        connection: this.#connection,
        consent: this.#consent,
        learning: this.#learning,
        ownData: new OwnData({ connection: this.#connection, folder: this.folder, pages: this.#learning.pages, session: () => this.#recorder.session }),
        statusBar: this.#statusBar,
        remote: this.#remote,
        refreshStatus: () => this.#refreshStatus(),
        others: { ...this.#agent.actions, ...this.#nextEdits.actions },
      }),
      this.#agent,
      this.#nextEdits,
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (!['hindsight.privacy.ignoredFiles', 'hindsight.holdBack', 'hindsight.completions.adaptive', 'hindsight.nextEdits.enabled'].some((setting) => event.affectsConfiguration(setting))) return;
        this.#ignored.setGlobs(ignoredFiles());
        // The daemon hears of it with the greeting.
        this.#connection.reconnect();
      }),
      this.#connection.onConnected((greeting) => void this.#connected(greeting).catch((error: unknown) => this.log.error(String(error)))),
      this.#connection.onDisconnected(() => this.#disconnected()),
    );
    await vscode.commands.executeCommand('setContext', 'hindsight.open', true);
    await this.#consent.start();
    await this.#agent.open();
    this.#connection.start();
    // Git's own extension may take seconds to start.
    void recordBranches(this.folder, this.#recorder, this.log).then((branches) => this.#subscriptions.push(branches));
  }

  /** The window closes: what was recorded is on disk before the connection goes. */
  async close(): Promise<void> {
    await Promise.race([this.#recorder.end(), new Promise((resolve) => setTimeout(resolve, CLOSE_DEADLINE_MS))]);
    await this.#connection.stop();
    for (const each of this.#subscriptions.reverse()) each.dispose();
  }

  async #connected(greeting: Greeting): Promise<void> {
    if ((await this.#confirmConsent()).state === 'granted') await this.#recorder.connected(this.#publish, greeting);
    this.#confirmed = true;
    void this.#remote.connected();
    await this.#refreshStatus();
    void this.#agent.connected().catch((error: unknown) => this.log.error(String(error)));
    await this.#consent.askOnce();
  }

  #recordNow(signal: Signal): void {
    if (!this.#recorder.isRecording) return;
    this.#recorder.record(signal);
    void this.#recorder.flush();
  }

  #disconnected(): void {
    this.#confirmed = false;
    this.#recorder.disconnected();
    this.#statusBar.setOffline(this.#connection.failure);
    this.#learning.setStatus(undefined);
  }

  readonly #publish: Publish = async (session, first, signals) => {
    try {
      return (await this.#connection.request(signalPublish, { session, first, signals })).acknowledged;
    } catch (error) {
      // The owner took the yes back elsewhere, e.g. on the command line.
      if (toHindsightError(error).errorName === 'consentMissing') void this.#confirmConsent().catch((failure: unknown) => this.log.error(String(failure)));
      throw error;
    }
  };

  async #confirmConsent(): Promise<ConsentChoice> {
    const choice = await this.#connection.request(consentGet, { workspace: this.#workspace });
    await this.#consent.confirm(choice);
    return choice;
  }

  async #refreshStatus(): Promise<void> {
    this.#showStatus(await this.#connection.request(statusGet, { workspace: this.#workspace }));
  }

  #showStatus(status: Status): void {
    this.#statusBar.setStatus(status);
    this.#learning.setStatus(status);
  }

  #listen(link: Link): void {
    this.#agent.listen(link);
    this.#nextEdits.listen(link);
    on(link, statusChanged, ({ workspace, status }) => {
      if (workspace === this.#workspace) this.#showStatus(status);
    });
    on(link, adapterPublished, ({ workspace, version, reason }) => {
      if (workspace !== this.#workspace) return;
      this.log.info(`version ${version} serves now: ${reason}`);
      this.#learning.refresh();
      void this.#refreshStatus().catch((error: unknown) => this.log.error(String(error)));
    });
    on(link, learningProgress, ({ workspace, phase, done, of }) => {
      if (workspace === this.#workspace) this.log.debug(`learning: ${phase} ${done}/${of}`);
    });
  }

  async #consentChanged({ state, classes }: ConsentChoice): Promise<void> {
    this.#statusBar.setConsent(state);
    this.log.info(`learning from this workspace: ${[state, ...classes].join(' ')}`);
    if (state !== 'granted') return this.#recorder.discard();
    if (this.#recorder.isRecording) return this.#recorder.widen();
    await this.#recorder.begin();
    // Chosen while connected; a connection that comes later delivers by itself.
    if (this.#confirmed) await this.#recorder.connected(this.#publish, { session: this.#recorder.session, acknowledged: -1 });
  }

  #makeRecorder(): Recorder {
    return new Recorder({
      window: randomUUID(),
      workspace: this.#workspace,
      spoolFolder: path.join(this.context.globalStorageUri.fsPath, 'spool'),
      seal: () => (this.#seal ??= userSeal(this.context.secrets, (line) => this.log.warn(line))),
      editor: `${vscode.env.appName} ${vscode.version}`,
      now: () => Date.now(),
      admits: (signal) => isCovered(signal.kind, this.#consent.choice.classes) && !('uri' in signal && this.#ignored.ignores(signal.uri)),
      openDocuments: () => openDocuments(this.folder),
      say: (line) => this.log.info(line),
      renewed: () => this.#connection.reconnect(),
    });
  }

  #makeConnection(): DaemonConnection {
    const settings = windowSettings();
    return new DaemonConnection({
      home: hindsightHome(settings.home),
      program: {
        script: this.context.asAbsolutePath('dist/hindsight.js'),
        args: settings.daemonArguments,
        startLog: path.join(this.context.logUri.fsPath, 'daemon-start.log'),
      },
      hello: () => ({
        client: { name: vscode.env.appName, version: vscode.version },
        session: this.#recorder.session,
        workspace: this.#workspace,
        ignoredFiles: ignoredFiles(),
        holdBack: holdBack(),
        adaptive: adaptive(),
        nextEdits: nextEdits(),
      }),
      folder: this.folder,
      log: this.log,
      middleware: completionMiddleware,
      listen: (link) => this.#listen(link),
    });
  }

  #makeConsent(): Consent {
    const { workspaceState } = this.context;
    return new Consent({
      remembered: () => workspaceState.get<ConsentChoice>('consent.choice', UNCHOSEN),
      remember: async (choice) => workspaceState.update('consent.choice', choice),
      wasAsked: () => workspaceState.get<boolean>('consent.asked', false),
      setAsked: async () => workspaceState.update('consent.asked', true),
      ask: () => askForConsent(this.folder),
      pick: (now, wanted) => pickClasses(this.folder, now, wanted),
      record: (answer) => this.#connection.request(consentSet, { workspace: this.#workspace, ...answer }),
      changed: (choice) => this.#consentChanged(choice),
    });
  }
}
