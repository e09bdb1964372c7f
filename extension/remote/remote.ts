// "Hindsight: Attach Remote GPU…" and "Detach": paste, look, choose, confirm once. The pairing line has a
// secret in it; it is kept in the editor's SecretStorage and handed to each daemon that this window meets.
import * as vscode from 'vscode';
import { toHindsightError } from '../../protocol/errors.ts';
import { parsePairing } from '../../protocol/pairing.ts';
import { engineAttach, engineDetach, engineProbe } from '../../protocol/remote.ts';
import type { DaemonConnection } from '../connection/connection.ts';

/** A large model may have to be opened there first. */
const ATTACH_SECONDS = 660;
const AGREE = 'Send and attach';

export interface RemotePlace {
  readonly workspace: string;
  readonly connection: DaemonConnection;
  readonly secrets: vscode.SecretStorage;
  readonly log: (line: string) => void;
  readonly refreshStatus: () => Promise<void>;
}

interface Kept {
  readonly pairing: string;
  readonly model: string;
}

export class RemoteEngines {
  constructor(private readonly place: RemotePlace) {}

  async attach(): Promise<void> {
    const { connection, workspace, secrets, refreshStatus } = this.place;
    const pairing = await askForLine();
    if (pairing === undefined) return;
    const found = await working('Looking at the engine', () => connection.request(engineProbe, { pairing }));
    const model = await chooseModel(found.models, `${found.device} at ${found.address}, ${Math.round(found.latencyMs)} ms away`);
    if (model === undefined || !(await isConfirmed(found.address, `${model} on ${found.device}`))) return;
    await working(`Attaching ${found.address}`, () => connection.request(engineAttach, { pairing, workspace, model }, { deadline: ATTACH_SECONDS }));
    await secrets.store(this.#key(), JSON.stringify({ pairing, model } satisfies Kept));
    await refreshStatus();
    void vscode.window.showInformationMessage(`Hindsight serves and trains this workspace on ${found.device} at ${found.address}.`);
  }

  async detach(): Promise<void> {
    const { connection, secrets, refreshStatus } = this.place;
    // First the secret: a daemon that cannot be reached now must not be told of it later.
    await secrets.delete(this.#key());
    const { detached } = await connection.request(engineDetach, {});
    await refreshStatus();
    void vscode.window.showInformationMessage(detached ? 'Hindsight is local again.' : 'No engine was attached.');
  }

  /** A new connection, maybe to a new daemon: it attaches what was attached, without a word. */
  async connected(): Promise<void> {
    const { connection, workspace, secrets, log } = this.place;
    const kept = await secrets.get(this.#key());
    if (kept === undefined) return;
    try {
      await connection.request(engineAttach, { ...(JSON.parse(kept) as Kept), workspace }, { deadline: ATTACH_SECONDS });
    } catch (error) {
      log(`the remote engine is not attached: ${toHindsightError(error).message}`);
    }
  }

  #key(): string {
    return `pairing ${this.place.workspace}`;
  }
}

function askForLine(): Thenable<string | undefined> {
  return vscode.window.showInputBox({
    title: 'Attach Remote GPU',
    prompt: 'Paste the line that `hindsight engine --listen` printed on the GPU machine.',
    placeHolder: 'hindsight://host:port#token=…&cert=sha256:…',
    password: true,
    ignoreFocusOut: true,
    validateInput: (line) => {
      if (line.trim() === '') return undefined;
      try {
        parsePairing(line);
        return undefined;
      } catch (error) {
        return toHindsightError(error).message;
      }
    },
  });
}

async function chooseModel(models: readonly string[], where: string): Promise<string | undefined> {
  const picked = await vscode.window.showQuickPick(models.map((label) => ({ label, description: where })), { title: 'Attach Remote GPU', placeHolder: 'Which of its models?', ignoreFocusOut: true });
  return picked?.label;
}

/** Enter alone does not agree: the way out stands first. Below the two choices, a row each, so that nothing of
 *  it is cut off, stands what is sent and what is not; choosing one of those rows chooses nothing. */
async function isConfirmed(address: string, what: string): Promise<boolean> {
  const cancel = { label: '$(close) Cancel', description: 'nothing is sent' };
  const agree = { label: `$(check) ${AGREE}` };
  const rows: vscode.QuickPickItem[] = [
    cancel,
    agree,
    { label: 'sent, encrypted', kind: vscode.QuickPickItemKind.Separator },
    { label: '$(cloud-upload) Token ids of prompts, completions and lessons', detail: 'Whoever runs the engine can turn them back into text.' },
    { label: '$(cloud-upload) The adapters that are learned from them' },
    { label: 'never sent', kind: vscode.QuickPickItemKind.Separator },
    { label: '$(lock) Files, paths, the journal, other workspaces' },
    { label: '$(lock) Secrets', description: 'removed before a prompt is made, as always' },
  ];
  for (;;) {
    const picked = await vscode.window.showQuickPick(rows, { title: `Send token ids of this workspace to ${address}?`, placeHolder: `${what} would serve and train it, until you detach it.`, ignoreFocusOut: true });
    if (picked === agree) return true;
    if (picked === cancel || picked === undefined) return false;
  }
}

function working<T>(title: string, work: () => Promise<T>): Thenable<T> {
  return vscode.window.withProgress({ location: vscode.ProgressLocation.Notification, title: `Hindsight: ${title}` }, work);
}
