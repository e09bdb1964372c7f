// Branch switches and commits, from the built-in git extension where it is enabled. What was accepted on the other
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
        const workspace = folder.uri.toString();
        subscriptions.push(
          followHead(repository, {
            switched: () => recorder.record({ kind: 'branch.switched', at: Date.now(), workspace }),
            committed: (hash) => recorder.record({ kind: 'commit.made', at: Date.now(), workspace, hash }),
          }),
        );
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
function followHead(repository: Repository, told: { switched(): void; committed(hash: string): void }): vscode.Disposable {
  const place = (): string | undefined => repository.state.HEAD?.name ?? repository.state.HEAD?.commit;
  let last = place();
  let commit = repository.state.HEAD?.commit;
  return repository.state.onDidChange(() => {
    const [now, hash] = [place(), repository.state.HEAD?.commit];
    if (now === undefined) return;
    // The first commit of all makes the branch, too.
    if (now === last && hash !== undefined && hash !== commit) told.committed(hash);
    if (last !== undefined && now !== last) told.switched();
    [last, commit] = [now, hash];
  });
}
