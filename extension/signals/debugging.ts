// Debug sessions: the exit code, and where an uncaught exception stopped it. Nothing else of a debugger's talk is kept: no
// values, no messages. A session that starts others (one for each process) is told of once, with what they brought.
import * as vscode from 'vscode';
import { isInside, type OwnWorkPlace } from './ownWork.ts';

/** What is read of the debug adapter protocol. */
interface AdapterMessage {
  readonly type?: string;
  readonly event?: string;
  readonly command?: string;
  readonly body?: Frame & { readonly exitCode?: number; readonly reason?: string; readonly category?: string; readonly output?: string; readonly stackFrames?: readonly Frame[] };
}

interface Frame {
  readonly line?: number;
  readonly source?: { readonly path?: string };
}

interface Run {
  readonly startedAt: number;
  exitCode: number | null;
  exception: { readonly uri: string; readonly line: number } | null;
}

export function recordDebugging(place: OwnWorkPlace): vscode.Disposable {
  const runs = new Map<string, Run>();
  return vscode.Disposable.from(
    vscode.debug.registerDebugAdapterTrackerFactory('*', {
      createDebugAdapterTracker(session) {
        const root = rootOf(session);
        const ours = root.workspaceFolder === undefined || root.workspaceFolder.uri.toString() === place.folder.uri.toString();
        if (!place.granted('debug') || !ours) return undefined;
        const run = runs.get(root.id) ?? { startedAt: Date.now(), exitCode: null, exception: null };
        runs.set(root.id, run);
        return new Tracker(run, place.folder);
      },
    }),
    vscode.debug.onDidTerminateDebugSession((session) => {
      const run = runs.get(session.id);
      if (run === undefined) return;
      runs.delete(session.id);
      const at = Date.now();
      place.record({ kind: 'debug.ended', at, durationMs: Math.max(0, at - run.startedAt), name: session.configuration.name, exitCode: run.exitCode, exception: run.exception });
    }),
  );
}

class Tracker implements vscode.DebugAdapterTracker {
  /** Stopped by an exception, whose place comes with the next stack. */
  #thrown = false;

  constructor(
    private readonly run: Run,
    private readonly folder: vscode.WorkspaceFolder,
  ) {}

  onDidSendMessage({ type, event, command, body }: AdapterMessage): void {
    if (type === 'event' && event === 'exited') this.run.exitCode = body?.exitCode ?? null;
    if (type === 'event' && event === 'stopped') this.#thrown = body?.reason === 'exception';
    if (type === 'event' && event === 'continued') this.#thrown = false;
    if (type === 'response' && command === 'stackTrace' && this.#thrown) this.#thrownAt(body?.stackFrames ?? []);
    if (type === 'event' && event === 'output' && body !== undefined) this.#said(body);
  }

  /** The debugger of JavaScript ends without an `exited`: it prints the code, and the exception with its place. */
  #said(body: NonNullable<AdapterMessage['body']>): void {
    const exited = /^Process exited with code (\d+)/.exec(body.output ?? '');
    if (exited !== null) this.run.exitCode = Number(exited[1]);
    if (body.category === 'stderr' && /^Uncaught\b/.test(body.output ?? '')) this.#thrownAt([body]);
  }

  /** The first frame in the user's own folder. */
  #thrownAt(frames: readonly Frame[]): void {
    for (const { line, source } of frames) {
      if (line === undefined || line < 1 || source?.path === undefined) continue;
      const uri = vscode.Uri.file(source.path);
      if (!isInside(this.folder, uri) || uri.path.includes('/node_modules/')) continue;
      this.run.exception = { uri: uri.toString(), line };
      return;
    }
  }
}

function rootOf(session: vscode.DebugSession): vscode.DebugSession {
  return session.parentSession === undefined ? session : rootOf(session.parentSession);
}
