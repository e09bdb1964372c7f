/**
 * What the owner of a workspace may say yes or no to, class by class. A signal of a class that was not
 * granted is neither sent by the editor nor stored by the daemon; both ask `classOf`.
 */
import { z } from 'zod';
import type { Signal } from './signals.ts';

/** In the order in which they are offered. */
export const SIGNAL_CLASSES = ['suggestions', 'edits', 'tests', 'tasks', 'debug', 'diagnostics', 'git', 'notebooks', 'terminal', 'chat', 'browser'] as const;

export const signalClass = z.enum(SIGNAL_CLASSES);
export type SignalClass = z.output<typeof signalClass>;

/** What a plain yes covers: the work in files, and facts about it. What people write, run and read elsewhere is asked for by name. */
export const USUAL_CLASSES: readonly SignalClass[] = SIGNAL_CLASSES.filter((each) => !['terminal', 'chat', 'browser'].includes(each));

/** What each kind of signal belongs to; `session`: numbers only, part of every yes. What is typed is
 *  recorded because it answers suggestions. */
const CLASS_OF: Readonly<Record<Signal['kind'], SignalClass | 'session'>> = {
  'session.started': 'session',
  'session.ended': 'session',
  'document.opened': 'suggestions',
  'document.changed': 'suggestions',
  'document.saved': 'suggestions',
  'document.closed': 'suggestions',
  'suggestion.accepted': 'suggestions',
  'edit.reviewed': 'edits',
  'nextEdit.answered': 'edits',
  'chat.rated': 'chat',
  'branch.switched': 'session',
  'terminal.ran': 'terminal',
  'task.ended': 'tasks',
  'debug.ended': 'debug',
  'tests.ran': 'tests',
  'diagnostics.settled': 'diagnostics',
  'commit.made': 'git',
  'cell.ran': 'notebooks',
};

export function classOf(kind: Signal['kind']): SignalClass | 'session' {
  return CLASS_OF[kind];
}

export function isCovered(kind: Signal['kind'], granted: readonly SignalClass[]): boolean {
  const of = classOf(kind);
  return of === 'session' || granted.includes(of);
}
