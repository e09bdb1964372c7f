// Branch switches, from the built-in git extension where it is enabled. What was accepted on the other
// branch did not go because the developer disliked it.
import * as vscode from 'vscode';
import type { Recorder } from './recorder.ts';

/** The part of the git extension's API (version 1) that is used here. */
interface Repository {
  readonly rootUri: vscode.Uri;
  readonly state: { readonly HEAD: { readonly name?: string; readonly commit?: string } | undefined; readonly onDidChange: vscode.Event<void> };
}
interface GitApi {
  readonly repositories: readonly Repository[];
  readonly onDidOpenRepository: vscode.Event<Repository>;
}
interface GitExtension {
  getAPI(version: 1): GitApi;
}

export async function recordBranches(folder: vscode.WorkspaceFolder, recorder: Recorder, log: vscode.LogOutputChannel): Promise<vscode.Disposable> {
  try {
    const git = await vscode.extensions.getExtension<GitExtension>('vscode.git')?.activate();
    if (git === undefined) return new vscode.Disposable(() => undefined);
    const api = git.getAPI(1);
    const subscriptions: vscode.Disposable[] = [];
    const follow = (repository: Repository): void => {
      if (folder.uri.path === repository.rootUri.path || folder.uri.path.startsWith(`${repository.rootUri.path}/`)) {
        subscriptions.push(followHead(repository, () => recorder.record({ kind: 'branch.switched', at: Date.now(), workspace: folder.uri.toString() })));
      }
    };
    api.repositories.forEach(follow);
    subscriptions.push(api.onDidOpenRepository(follow));
    return new vscode.Disposable(() => subscriptions.forEach((each) => each.dispose()));
  } catch (error) {
    // Git is switched off: survival is then judged without branch switches.
    log.info(`branch switches are not seen: ${String(error)}`);
    return new vscode.Disposable(() => undefined);
  }
}

/** A commit on the same branch keeps the text; another branch, or another detached commit, replaces it. */
function followHead(repository: Repository, switched: () => void): vscode.Disposable {
  const place = (): string | undefined => repository.state.HEAD?.name ?? repository.state.HEAD?.commit;
  let last = place();
  return repository.state.onDidChange(() => {
    const now = place();
    if (now === undefined || now === last) return;
    if (last !== undefined) switched();
    last = now;
  });
}
