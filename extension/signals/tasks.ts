// Tasks, by the exit codes of their processes.
import * as vscode from 'vscode';
import type { OwnWorkPlace } from './ownWork.ts';

/** Processes of tasks: the terminals that show them are not the user's own. */
export class TaskProcesses implements vscode.Disposable {
  readonly #ids = new Set<number>();
  readonly #listening = vscode.tasks.onDidStartTaskProcess(({ processId }) => this.#ids.add(processId));

  has(id: number | undefined): boolean {
    return id !== undefined && this.#ids.has(id);
  }

  dispose(): void {
    this.#listening.dispose();
  }
}

export function recordTasks(place: OwnWorkPlace): vscode.Disposable {
  const startedAt = new Map<vscode.TaskExecution, number>();
  const ours = ({ scope }: vscode.Task): boolean => typeof scope !== 'object' || scope.uri.toString() === place.folder.uri.toString();
  return vscode.Disposable.from(
    vscode.tasks.onDidStartTaskProcess(({ execution }) => {
      if (place.granted('tasks') && ours(execution.task)) startedAt.set(execution, Date.now());
    }),
    vscode.tasks.onDidEndTaskProcess(({ execution, exitCode }) => {
      const started = startedAt.get(execution);
      if (started === undefined) return;
      startedAt.delete(execution);
      const at = Date.now();
      const { source, name } = execution.task;
      place.record({ kind: 'task.ended', at, durationMs: Math.max(0, at - started), name: `${source}: ${name}`, exitCode: exitCode ?? null });
    }),
    // One without a process of its own, or whose terminal was closed.
    vscode.tasks.onDidEndTask(({ execution }) => setTimeout(() => startedAt.delete(execution), 1000)),
  );
}
