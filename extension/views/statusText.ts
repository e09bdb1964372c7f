// What the status bar item says. Pure: from the daemon's status and the owner's choice to text.
import type { ConsentState, Status } from '../../protocol/editor.ts';

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
  const words = ['Hindsight', version, stateWord(state), remoteWord(status)].filter((word) => word !== '').join(' ');
  const attention = status?.warning ?? (state === 'offline' ? failure : '');
  return {
    text: `${ICONS[state]} ${words}`,
    tooltip: [`**${words}**`, ...details(status), consentLine(consent), attention].filter((line) => line !== '').join('\n\n'),
    accessible: [words, consentLine(consent), attention].filter((line) => line !== '').join('. '),
    needsAttention: attention !== '',
  };
}

/** "v3", or nothing for the base model alone. */
export function versionText(adapter: number | null): string {
  return adapter === null ? '' : `v${adapter}`;
}

function stateWord(state: Status['state']): string {
  return state === 'serving' ? '' : state;
}

/** Names of models can be long, and the bar is shared. */
const MODEL_CHARS = 24;

/** What serves, on what, and how far away that is. */
function remoteWord(status: Status | undefined): string {
  const remote = status?.remote ?? null;
  if (remote === null) return '';
  if (remote.link === 'down') return '· remote is away';
  const model = remote.model.length > MODEL_CHARS ? `${remote.model.slice(0, MODEL_CHARS - 1)}…` : remote.model;
  return `· ${model} on ${remote.device}${remote.latencyMs === null ? '' : `, ${Math.round(remote.latencyMs)} ms`}`;
}

function remoteLine(status: Status): string {
  const { remote } = status;
  if (remote === null) return '';
  if (remote.link === 'down') return `Remote engine ${remote.address} is away (${remote.reason ?? 'no reason known'}): this machine serves meanwhile, and training goes on when it is back`;
  return `Remote engine ${remote.address}: ${remote.model} on ${remote.device}${remote.latencyMs === null ? '' : `, ${remote.latencyMs.toFixed(1)} ms away`}; serves ${remote.serve}, trains ${remote.train}`;
}

function details(status: Status | undefined): string[] {
  if (status === undefined) return [];
  const { pipe, model } = status;
  return [
    model === null ? '' : `Model ${model.name} on ${model.device}${status.adapter === null ? ', nothing learned yet' : `, version ${status.adapter}`}`,
    remoteLine(status),
    `${count(pipe.turnsClosed, 'suggestion')} answered, ${count(pipe.samplesReady, 'lesson')} waiting, ${count(pipe.steps, 'training step')}`,
  ];
}

function consentLine(consent: ConsentState): string {
  if (consent === 'granted') return '';
  return consent === 'refused' ? 'Does not learn from this workspace' : 'Does not learn from this workspace until you choose';
}

/** "1 lesson", "2 lessons". */
export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
