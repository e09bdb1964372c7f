// What the status bar item says. Pure: from the daemon's status and the owner's choice to text.
import type { ConsentState, Status } from '../../protocol/editor.ts';
import { stateWord } from '../learning/words.ts';
import { t } from '../translate.ts';

export interface StatusText {
  readonly text: string;
  /** Markdown. */
  readonly tooltip: string;
  /** Read aloud: the icons are not. */
  readonly accessible: string;
  readonly needsAttention: boolean;
}

const ICONS: Record<Status['state'], string> = {
  starting: '$(loading~spin)',
  serving: '$(sparkle)',
  learning: '$(mortar-board)',
  paused: '$(debug-pause)',
  offline: '$(debug-disconnect)',
};

/** @param status   undefined while there is no connection
 *  @param failure  why there is no connection, or an empty text */
export function statusText(status: Status | undefined, consent: ConsentState, failure: string): StatusText {
  const state = status?.state ?? 'offline';
  const version = status === undefined ? '' : versionText(status.adapter);
  const words = ['Hindsight', version, stateWordShown(state), quietWord(status), remoteWord(status)].filter((word) => word !== '').join(' ');
  const attention = status?.warning ?? (state === 'offline' ? failure : '');
  return {
    text: `${ICONS[state]} ${words}`,
    tooltip: [`**${words}**`, ...details(status), quietLine(status), consentLine(consent), attention].filter((line) => line !== '').join('\n\n'),
    accessible: [words, consentLine(consent), attention].filter((line) => line !== '').join('. '),
    needsAttention: attention !== '',
  };
}

/** "v3", or nothing for the base model alone. */
export function versionText(adapter: number | null): string {
  return adapter === null ? '' : `v${adapter}`;
}

function stateWordShown(state: Status['state']): string {
  return state === 'serving' ? '' : stateWord(state, t);
}

function quietWord(status: Status | undefined): string {
  return status?.quietUntil == null ? '' : t('quiet');
}

function quietLine(status: Status | undefined): string {
  if (status?.quietUntil == null) return '';
  const until = new Date(status.quietUntil).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  return t('Suggests only when asked until {0}: many suggestions in a row were turned down', until);
}

/** Names of models can be long, and the bar is shared. */
const MODEL_CHARS = 24;

/** What serves, on what, and how far away that is. */
function remoteWord(status: Status | undefined): string {
  const remote = status?.remote ?? null;
  if (remote === null) return status?.model == null ? '' : `· ${status.model.device}`;
  if (remote.link === 'down') return t('· remote is away');
  const model = remote.model.length > MODEL_CHARS ? `${remote.model.slice(0, MODEL_CHARS - 1)}…` : remote.model;
  return remote.latencyMs === null ? t('· {0} on {1}', model, remote.device) : t('· {0} on {1}, {2} ms', model, remote.device, Math.round(remote.latencyMs));
}

function remoteLine(status: Status): string {
  const { remote } = status;
  if (remote === null) return '';
  if (remote.link === 'down') return t('Remote engine {0} is away ({1}): this machine serves meanwhile, and training goes on when it is back', remote.address, remote.reason ?? t('no reason known'));
  const { address, model, device, latencyMs, serve, train } = remote;
  return latencyMs === null
    ? t('Remote engine {0}: {1} on {2}; serves {3}, trains {4}', address, model, device, serve, train)
    : t('Remote engine {0}: {1} on {2}, {3} ms away; serves {4}, trains {5}', address, model, device, latencyMs.toFixed(1), serve, train);
}

function details(status: Status | undefined): string[] {
  if (status === undefined) return [];
  const { pipe, model, adapter } = status;
  return [
    model === null ? '' : adapter === null ? t('Model {0} on {1}, nothing learned yet', model.name, model.device) : t('Model {0} on {1}, version {2}', model.name, model.device, adapter),
    remoteLine(status),
    [pipe.turnsClosed === 1 ? t('1 suggestion answered') : t('{0} suggestions answered', pipe.turnsClosed), lessonsWaiting(pipe.samplesReady), trainingSteps(pipe.steps)].join(', '),
  ];
}

function consentLine(consent: ConsentState): string {
  if (consent === 'granted') return '';
  return consent === 'refused' ? t('Does not learn from this workspace') : t('Does not learn from this workspace until you choose');
}

export function lessonsWaiting(number: number): string {
  return number === 1 ? t('1 lesson waiting') : t('{0} lessons waiting', number);
}

export function trainingSteps(number: number): string {
  return number === 1 ? t('1 training step') : t('{0} training steps', number);
}
