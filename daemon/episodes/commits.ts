/** Commits of a workspace as late evidence on what was accepted there. */
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { commitEvidence } from '../capture/commits.ts';
import type { Commit, TakenText } from '../capture/commits.ts';
import { GitHistory } from '../capture/gitHistory.ts';
import type { Journal } from '../journal/journal.ts';
import type { LateEvidence, NextState, Turn } from '../journal/records.ts';
import type { Intake } from './intake.ts';

/** What was accepted longer ago is not looked for. */
const REACH_MS = 30 * 24 * 60 * 60 * 1000;

export class CommitWatch {
  readonly #histories = new Map<string, GitHistory>();

  constructor(
    private readonly journal: Journal,
    private readonly intake: Pick<Intake, 'evidence' | 'admission'>,
    private readonly log: (line: string) => void,
  ) {}

  /** Looks for new commits; never throws, for a repository that git cannot read is no reason to stop. */
  async look(workspace: string): Promise<void> {
    if (!this.intake.admission.allows(workspace, 'git')) return;
    const history = this.#histories.get(workspace) ?? new GitHistory(workspace);
    this.#histories.set(workspace, history);
    const key = `git.head ${workspace}`;
    try {
      const news = await history.news((this.journal.get(key) as string | undefined) ?? null);
      // A daemon that ends meanwhile looks again when it starts.
      if (news === null || !this.journal.open) return;
      this.journal.transaction(() => {
        for (const commit of news.commits) this.intake.evidence(workspace, evidenceOf(this.journal, workspace, commit));
        this.journal.set(key, news.head);
      });
    } catch (thrown) {
      this.log(`Commits of ${workspace} are not seen: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    }
  }
}

export function evidenceOf(journal: Journal, workspace: string, commit: Commit): LateEvidence[] {
  const texts = journal.acceptedSince(workspace, commit.at - REACH_MS).flatMap((turn): TakenText[] => {
    const next = journal.nextState(turn.id);
    if (next === null || !turn.uri.startsWith('file:')) return [];
    const commits = journal.evidence(turn.id).flatMap((one) => (one.kind === 'commit' ? [one.hash] : []));
    return [{ turn, path: relative(fileURLToPath(workspace), fileURLToPath(turn.uri)).replaceAll('\\', '/'), text: takenText(turn, next), commits }];
  });
  return commitEvidence(commit, texts);
}

function takenText(turn: Turn, next: NextState): string {
  if (turn.modality !== 'completion') return (next.observations ?? []).flatMap((one) => (one.kind === 'hunk' && one.state !== 'reverted' ? [one.now] : [])).join('\n');
  return next.outcome === 'typedThrough' ? turn.shownText : turn.shownText.slice(0, next.acceptedChars);
}
