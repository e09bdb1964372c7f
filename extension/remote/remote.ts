// "Hindsight: Attach Remote GPU…" and "Detach": paste, look, choose, confirm once. The pairing line has a
// secret in it; it is kept in the editor's SecretStorage and handed to each daemon that this window meets.
import * as vscode from 'vscode';
import { toHindsightError } from '../../protocol/errors.ts';
import { parsePairing } from '../../protocol/pairing.ts';
import { engineAttach, engineDetach, engineProbe } from '../../protocol/remote.ts';
import type { DaemonConnection } from '../connection/connection.ts';
import { t } from '../translate.ts';

/** A large model may have to be opened there first. */
const ATTACH_SECONDS = 660;

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
    const found = await working(t('Hindsight is looking at the engine'), () => connection.request(engineProbe, { pairing }));
    const model = await chooseModel(found.models, t('{0} at {1}, {2} ms away', found.device, found.address, Math.round(found.latencyMs)));
    if (model === undefined || !(await isConfirmed(found.address, t('{0} on {1}', model, found.device)))) return;
    await working(t('Hindsight is attaching {0}', found.address), () => connection.request(engineAttach, { pairing, workspace, model }, { deadline: ATTACH_SECONDS }));
    await secrets.store(this.#key(), JSON.stringify({ pairing, model } satisfies Kept));
    await refreshStatus();
    void vscode.window.showInformationMessage(t('Hindsight serves and trains this workspace on {0} at {1}.', found.device, found.address));
  }

  async detach(): Promise<void> {
    const { connection, secrets, refreshStatus } = this.place;
    // First the secret: a daemon that cannot be reached now must not be told of it later.
    await secrets.delete(this.#key());
    const { detached } = await connection.request(engineDetach, {});
    await refreshStatus();
    void vscode.window.showInformationMessage(detached ? t('Hindsight is local again.') : t('No engine was attached.'));
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
    title: t('Attach Remote GPU'),
    prompt: t('Paste the line that `hindsight engine --listen` printed on the GPU machine.'),
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
  const picked = await vscode.window.showQuickPick(models.map((label) => ({ label, description: where })), { title: t('Attach Remote GPU'), placeHolder: t('Which of its models?'), ignoreFocusOut: true });
  return picked?.label;
}

/** Enter alone does not agree: the way out stands first. Below the two choices, a row each, so that nothing of
 *  it is cut off, stands what is sent and what is not; choosing one of those rows chooses nothing. */
async function isConfirmed(address: string, what: string): Promise<boolean> {
  const cancel = { label: t('$(close) Cancel'), description: t('nothing is sent') };
  const agree = { label: t('$(check) Send and attach') };
  const rows: vscode.QuickPickItem[] = [
    cancel,
    agree,
    { label: t('sent, encrypted'), kind: vscode.QuickPickItemKind.Separator },
    { label: t('$(cloud-upload) Token ids of prompts, completions and lessons'), detail: t('Whoever runs the engine can turn them back into text.') },
    { label: t('$(cloud-upload) The adapters that are learned from them') },
    { label: t('never sent'), kind: vscode.QuickPickItemKind.Separator },
    { label: t('$(lock) Files, paths, the journal, other workspaces') },
    { label: t('$(lock) Secrets'), description: t('removed before a prompt is made, as always') },
  ];
  for (;;) {
    const picked = await vscode.window.showQuickPick(rows, { title: t('Send token ids of this workspace to {0}?', address), placeHolder: t('{0} would serve and train it, until you detach it.', what), ignoreFocusOut: true });
    if (picked === agree) return true;
    if (picked === cancel || picked === undefined) return false;
  }
}

function working<T>(title: string, work: () => Promise<T>): Thenable<T> {
  return vscode.window.withProgress({ location: vscode.ProgressLocation.Notification, title }, work);
}
