/**
 * Guards against reward hacking (learning.md, PRM, "Guards"): whatever a verdict's source, an action
 * that meets one of these rules is never rewarded; a malformed tool call is punished. A table, so
 * that a new trick is a new line with a test made from its trace.
 */
import type { NextState, ToolCall, Turn, Verdict } from '../journal/records.ts';
import { oneLine } from './finding.ts';
import { observed } from './verifiers.ts';

export interface Guarded {
  turn: Turn;
  next: NextState;
  /** The action before it in the same task. */
  before: Turn | null;
}

export interface Guard {
  name: string;
  /** `cap`: no reward. `punish`: score -1, whatever else is known. */
  effect: 'cap' | 'punish';
  /** What it found, as a sentence; null = the rule does not apply. */
  finds: (guarded: Guarded) => string | null;
}

const SENTENCE_CHARACTERS = 40;
const SENTENCE_REPEATS = 12;

export const GUARDS: readonly Guard[] = [
  { name: 'malformed tool call', effect: 'punish', finds: ({ turn }) => malformed(callsOf(turn)) },
  { name: 'cut off', effect: 'cap', finds: ({ turn }) => (turn.finishReason === 'length' && cutWhatWasShown(turn) ? 'It was cut off by the length limit.' : null) },
  { name: 'repetition', effect: 'cap', finds: ({ turn }) => repeated(turn.rawText) },
  { name: 'same call again', effect: 'cap', finds: ({ turn, before }) => sameCalls(callsOf(turn), before === null ? [] : callsOf(before)) },
  { name: 'edited tests', effect: 'cap', finds: ({ next }) => editedTests(next) },
  { name: 'read the answer', effect: 'cap', finds: ({ turn }) => readAnswer(turn) },
];

/** The verdict that the guards leave. A rule that only caps makes no verdict where there is none. */
export function guarded(verdict: Verdict | null, subject: Guarded, at: number): Verdict | null {
  const found = GUARDS.flatMap((guard) => {
    const sentence = guard.finds(subject);
    return sentence === null ? [] : [{ guard, sentence }];
  });
  if (found.length === 0) return verdict;
  const sentences = found.map(({ guard, sentence }) => `Guard "${guard.name}": ${sentence}`);
  if (found.some(({ guard }) => guard.effect === 'punish')) {
    return { turn: subject.turn.id, score: -1, confidence: 1, source: 'verifier', evidence: [...sentences, ...(verdict?.evidence ?? [])], kind: verdict?.kind ?? 'provisional', at };
  }
  if (verdict === null || verdict.score <= 0) return verdict;
  return { ...verdict, score: 0, evidence: [...sentences, ...verdict.evidence] };
}

/** Where post-processing showed less than was generated, the cut end was nobody's reward. */
function cutWhatWasShown(turn: Turn): boolean {
  return turn.modality !== 'completion' || turn.shownText.length >= turn.rawText.trimEnd().length;
}

function callsOf(turn: Turn): readonly ToolCall[] {
  return turn.action?.calls ?? [];
}

function malformed(calls: readonly ToolCall[]): string | null {
  const bad = calls.find((call) => call.arguments === null);
  return bad ? `The call of ${bad.tool === '' ? 'a tool' : bad.tool} is not one that the tool can read.` : null;
}

function repeated(text: string): string | null {
  const counts = new Map<string, number>();
  for (const part of text.split(/(?<=[.!?])\s+|\n+/)) {
    const sentence = part.trim();
    if (sentence.length < SENTENCE_CHARACTERS) continue;
    const count = (counts.get(sentence) ?? 0) + 1;
    counts.set(sentence, count);
    if (count >= SENTENCE_REPEATS) return `It says "${oneLine(sentence, 60)}" ${SENTENCE_REPEATS} times or more.`;
  }
  return null;
}

/** Arguments in any order are the same arguments. */
function sameCalls(calls: readonly ToolCall[], before: readonly ToolCall[]): string | null {
  if (calls.length === 0 || calls.length !== before.length) return null;
  const same = calls.every((call, i) => call.tool === before[i]?.tool && canonical(call.arguments) === canonical(before[i]?.arguments));
  return same ? `It repeats the call before it: ${calls.map((call) => call.tool).join(', ')}.` : null;
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner,
  );
}

function editedTests(next: NextState): string | null {
  const green = observed(next, 'tests').filter((run) => run.fixed.length > 0 && run.testsEdited.length > 0).at(-1);
  return green ? `The tests are green because the tests were edited: ${green.testsEdited.slice(0, 3).join(', ')}.` : null;
}

/** Git's own store and tool caches hold answers that nobody worked out: later commits, old results. */
const STORES = /(?:^|[\s"'=:/\\])(?:\.git(?:[/\\]|(?=["'\s]|$))|node_modules[/\\]\.cache|__pycache__|\.(?:pytest|mypy|ruff)_cache|\.tox[/\\]|\.nyc_output|\.vitest[/\\]|\.cache[/\\]|\.hindsight[/\\])/;
/** Commands that look into commits which the work tree does not show. */
const HISTORY = /\bgit\s+(?:[-\w=./]+\s+)*?(?:cat-file|reflog|fsck|stash\s+show|rev-list\s+--all|log\s+(?:[^|;&]*\s)?--all|show\s+(?!--stat\b)[\w@~^/{}.-]+|checkout\s+[0-9a-f]{7,40}\b)/;

function readAnswer(turn: Turn): string | null {
  if (turn.action === undefined || /\b(?:git|commits?|history|branch|blame|changelog|cache)\b/i.test(turn.action.request)) return null;
  for (const call of turn.action.calls) {
    const texts = strings(call.arguments);
    const found = texts.find((text) => STORES.test(text) || HISTORY.test(text));
    if (found !== undefined) return `It looked where the answer may be stored: \`${oneLine(found, 80)}\`.`;
  }
  return null;
}

function strings(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(strings) : [];
}
