// The words of the learning view, from the daemon's facts. Pure; whoever shows them hands in the translation.
import type { Status } from '../../protocol/editor.ts';
import type { ExplainedVersion, Lesson, Share } from '../../protocol/learning.ts';
import type { Translate } from '../translate.ts';

export function versionName(version: number | null, t: Translate): string {
  return version === null ? t('base model') : t('version {0}', version);
}

export function versionState(state: ExplainedVersion['state'], t: Translate): string {
  const words: Record<ExplainedVersion['state'], string> = {
    candidate: t('waits for the gate'),
    serving: t('serves'),
    retired: t('replaced by a later one'),
    rejected: t('refused'),
    rolledBack: t('rolled back'),
    quarantined: t('taken back'),
  };
  return words[state];
}

/** Of the status bar, the menu, the tree and the page. */
export function stateWord(state: Status['state'], t: Translate): string {
  const words: Record<Status['state'], string> = { starting: t('starting'), serving: t('serving'), learning: t('learning'), paused: t('paused'), offline: t('offline') };
  return words[state];
}

/** "40 % (22 to 61 %) of 20" */
export function shareText({ of, value, lower, upper }: Share, t: Translate): string {
  if (value === null || lower === null || upper === null) return t('none yet');
  return t('{0} % ({1} to {2} %) of {3}', Math.round(100 * value), Math.round(100 * lower), Math.round(100 * upper), of);
}

export function outcomeText({ outcome, held }: Pick<Lesson, 'outcome' | 'held'>, t: Translate): string {
  if (held) return t('held back');
  const words = new Map([
    ['accepted', t('accepted')],
    ['partial', t('accepted in part')],
    ['typedThrough', t('typed just so')],
    ['diverged', t('something else was written')],
    ['superseded', t('replaced by a newer one')],
    ['abandoned', t('left')],
    ['observed', t('its results came')],
    ['answered', t('answered')],
    ['kept', t('kept')],
    ['changed', t('changed')],
    ['reverted', t('reverted')],
  ]);
  return words.get(outcome) ?? outcome;
}

/** What was learned of it, or why nothing was. */
export function lessonState({ state, version, reason }: Pick<Lesson, 'state' | 'version' | 'reason'>, t: Translate): string {
  switch (state) {
    case 'learned':
      return version === null ? t('learned') : t('learned by version {0}', version);
    case 'waiting':
      return t('waits for the next step');
    case 'heldOut':
      return t('held out: it judges new versions and is never learned from');
    case 'dropped':
      return reason === null ? t('dropped') : t('dropped: {0}', reason);
    case 'none':
      return t('nothing to learn from');
  }
}

/** The last part of a file's name; what is no file is told by what it is. */
export function fileName(uri: string, t: Translate): string {
  return uri === '' ? t('conversation') : decodeURIComponent(uri.split('/').at(-1) ?? uri);
}

export function queueLines({ pipe }: Status, t: Translate): readonly (readonly [label: string, count: number])[] {
  return [
    [t('Suggestions that wait for an answer'), pipe.turnsOpen],
    [t('Suggestions answered'), pipe.turnsClosed],
    [t('Lessons that wait'), pipe.samplesReady],
    [t('Lessons in training'), pipe.samplesLeased],
    [t('Lessons learned'), pipe.samplesConsumed],
    [t('Lessons dropped'), pipe.samplesDropped],
    [t('Training steps'), pipe.steps],
  ];
}
