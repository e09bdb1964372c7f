/**
 * Verifiers of an agent's action: what happened to its text, its tests and its commands, without a
 * model (learning.md, PRM source 1), and what the user said of it by a button or a copy (source 2).
 * Success is never the absence of an error: a zero exit code, a tool that answered and tests that
 * were green before say nothing.
 */
import { ANSWERS_BY_EXIT_CODE } from '../capture/checks.ts';
import { fourGramSimilarity } from '../capture/survival.ts';
import type { NextState, Observation } from '../journal/records.ts';
import { finding, oneLine, some } from './finding.ts';
import type { Finding, Verifier } from './finding.ts';

type Of<K extends Observation['kind']> = Extract<Observation, { kind: K }>;

export function observed<K extends Observation['kind']>(next: Pick<NextState, 'observations'>, kind: K): Of<K>[] {
  return (next.observations ?? []).filter((one): one is Of<K> => one.kind === kind);
}

/** Commands whose result is known by their exit code and output alone: of tests the report says more. */
export function unreported(next: NextState): Of<'terminal'>[] {
  const reported = new Set(observed(next, 'tests').map(({ command }) => command));
  return observed(next, 'terminal').filter(({ command }) => !reported.has(command));
}

/** Those that speak of the effect of a text, whoever took it. */
export const EFFECT_VERIFIERS: readonly Verifier[] = [
  (_, next) => tests(observed(next, 'tests')),
  (_, next) => diagnostics(observed(next, 'diagnostics')),
  (_, next) => ownRuns(observed(next, 'checks')),
];

/** In order of authority: the first that speaks decides, the others are evidence (verdict.ts). */
export const VERIFIERS: readonly Verifier[] = [
  (_, next) => undone(observed(next, 'undone')),
  (_, next) => tests(observed(next, 'tests')),
  (_, next) => hunks(observed(next, 'hunk')),
  (_, next) => survival(next.survival),
  (_, next) => committed(observed(next, 'commit')),
  (_, next) => diagnostics(observed(next, 'diagnostics')),
  (_, next) => ownRuns(observed(next, 'checks')),
  (_, next) => commands(unreported(next)),
  (_, next) => tools(observed(next, 'result')),
  (_, next) => rated(observed(next, 'rating')),
  (turn, next) => copied(turn.rawText, observed(next, 'copied')),
];

function undone(observations: Of<'undone'>[]): Finding | null {
  const [first] = observations;
  return first ? finding(-1, 1, `Taken back: ${first.how}.`) : null;
}

/** Against the task's run before: fail→pass is good, pass→fail is bad; green that was green is nothing. */
function tests(runs: Of<'tests'>[]): Finding | null {
  const last = runs.at(-1);
  if (last === undefined) return null;
  const { fixed, broken, failed, errors, passed } = last;
  const counts = `${passed} passed, ${failed + errors} failed`;
  if (broken.length > 0) return finding(-1, 1, `Tests that passed before fail now: ${some(broken)} (${counts}).`);
  if (fixed.length > 0) return finding(1, failed + errors === 0 ? 1 : 0.8, `Tests that failed before pass now: ${some(fixed)} (${counts}).`);
  // Red as before: whoever runs the tests first has not made them so. What a task made of them is its outcome.
  return null;
}

/** Kept +1, reverted -1, changed by what is left of it; weighed by the size of what was proposed. */
function hunks(observations: Of<'hunk'>[]): Finding | null {
  if (observations.length === 0) return null;
  const size = (one: Of<'hunk'>): number => Math.max(1, one.proposed.length + one.before.length);
  const scoreOf = (one: Of<'hunk'>): number => (one.state === 'kept' ? 1 : one.state === 'reverted' ? -1 : 2 * fourGramSimilarity(one.proposed, one.now) - 1);
  const total = observations.reduce((sum, one) => sum + size(one), 0);
  const score = observations.reduce((sum, one) => sum + (scoreOf(one) * size(one)) / total, 0);
  const count = (state: Of<'hunk'>['state']): number => observations.filter((one) => one.state === state).length;
  return finding(score, 0.9, `Of ${observations.length} proposed changes ${count('kept')} were kept, ${count('changed')} changed and ${count('reverted')} reverted.`);
}

function survival(marks: NextState['survival']): Finding | null {
  const last = marks.filter(([, similarity]) => similarity !== null).at(-1);
  if (last === undefined || last[1] === null) return null;
  return finding(2 * last[1] - 1, last[0] >= 30 ? 0.9 : 0.6, `${Math.round(100 * last[1])} % of it is still there after ${last[0]} s.`);
}

function committed(commits: Of<'commit'>[]): Finding | null {
  const [first] = commits;
  return first ? finding(0.75, 0.8, `It went into commit ${first.hash.slice(0, 9)}, "${oneLine(first.subject, 60)}".`) : null;
}

function diagnostics(observations: Of<'diagnostics'>[]): Finding | null {
  const added = observations.flatMap((one) => one.added);
  const resolved = observations.flatMap((one) => one.resolved);
  if (added.length > resolved.length) return finding(-0.6, 0.7, `New problems: ${some(added)}.`);
  return resolved.length > added.length ? finding(0.6, 0.7, `Problems that are gone: ${some(resolved)}.`) : null;
}

/** The user's own commands, tasks, debug sessions and cells: what turned between two runs of the same. */
function ownRuns(runs: Of<'checks'>[]): Finding | null {
  const broken = runs.flatMap((one) => one.broken);
  const fixed = runs.flatMap((one) => one.fixed);
  if (broken.length > 0) return finding(-0.5, 0.5, `Worked before, and fails now: ${some(broken)}.`);
  return fixed.length > 0 ? finding(0.5, 0.5, `Failed before, and works now: ${some(fixed)}.`) : null;
}

function commands(runs: Of<'terminal'>[]): Finding | null {
  for (const run of [...runs].reverse()) {
    const shown = `\`${oneLine(run.command, 60)}\``;
    if (run.ended === 'refused') return finding(-0.5, 0.8, `The user did not let ${shown} run.`, 'explicit');
    if (run.ended === 'deadline') return finding(-0.5, 0.6, `${shown} came to no end.`);
    if (run.ended === 'stopped' || run.exitCode === null || run.exitCode === 0) continue;
    if (run.exitCode === 130 || run.exitCode === 143) continue;
    if (run.exitCode === 1 && ANSWERS_BY_EXIT_CODE.test(run.command)) continue;
    const unknown = run.exitCode === 126 || run.exitCode === 127;
    const how = `ended with exit code ${run.exitCode}.`;
    // Asked to run it, the user may have wanted to see it fail.
    if (run.by === 'user') return finding(-0.5, unknown ? 0.7 : 0.4, `The user ran ${shown}, which it had named; it ${how}`);
    return finding(unknown ? -0.8 : -0.6, unknown ? 0.9 : 0.7, `${shown} ${how}`);
  }
  return null;
}

/** An error speaks against the call; an answer does not speak for it. */
function tools(results: Of<'result'>[]): Finding | null {
  const failed = results.filter((one) => one.failed);
  const [first] = failed;
  return first ? finding(-0.5, 0.6, `The tool ${first.tool} gave an error: ${some([first.text])}.`) : null;
}

function rated(ratings: Of<'rating'>[]): Finding | null {
  const last = ratings.at(-1);
  if (last === undefined) return null;
  return last.rating === 'helpful' ? finding(1, 1, 'The user pressed Helpful.', 'explicit') : finding(-1, 1, 'The user pressed Wrong.', 'explicit');
}

/** Copying is taking: good evidence for this reply, better the more of it was taken. */
function copied(reply: string, copies: Of<'copied'>[]): Finding | null {
  const bare = (text: string): string => text.replace(/\s+/g, '');
  const taken = copies.map((copy) => bare(copy.text)).filter((text) => text.length > 0 && bare(reply).includes(text));
  if (taken.length === 0) return null;
  const share = Math.min(1, Math.max(...taken.map((text) => text.length)) / Math.max(1, bare(codeOf(reply)).length));
  return finding(0.5 + 0.25 * share, 0.7, `The user copied ${Math.round(100 * share)} % of its code.`, 'explicit');
}

/** Fenced code of a reply; the whole reply where it has none. */
function codeOf(reply: string): string {
  const blocks = [...reply.matchAll(/```[^\n]*\n([\s\S]*?)```/g)].map(([, code]) => code ?? '');
  return blocks.length === 0 ? reply : blocks.join('\n');
}
