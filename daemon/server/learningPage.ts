/** What was learned, for a person: state, versions with their reasons, the latest lessons. Markdown. */
import type { Status } from '../../protocol/editor.ts';
import type { Journal } from '../journal/journal.ts';
import type { AdapterRecord } from '../journal/records.ts';
import type { Lesson } from '../../protocol/learning.ts';
import { latestLessons } from './lessons.ts';

const LESSONS = 12;

export function learningPage(journal: Journal, workspace: string, status: Status): string {
  const { pipe, model, adapter, warning } = status;
  return [
    '# What Hindsight learned',
    warning === null ? '' : `> ${warning}`,
    `${model === null ? 'No model is loaded' : `**${model.name}** on ${model.device}`}, ${adapter === null ? 'the base model alone' : `version ${adapter}`} serves. State: ${status.state}.`,
    `${pipe.turnsClosed} suggestions have an outcome, ${pipe.turnsOpen} are open. ${pipe.samplesConsumed} samples were learned from in ${pipe.steps} steps, ${pipe.samplesReady} wait, ${pipe.samplesDropped} were dropped.`,
    '## Versions',
    versions(journal.adapters(workspace)),
    '## Latest lessons',
    lessons(journal, workspace),
    '',
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

function versions(adapters: AdapterRecord[]): string {
  if (adapters.length === 0) return 'None yet.';
  const rows = adapters.map((one) => `| ${one.version} | ${one.state} | ${one.parent ?? 'base'} | ${one.samples} | ${new Date(one.createdAt).toISOString().slice(0, 16).replace('T', ' ')} | ${cell(one.reason)} |`);
  return ['| version | state | from | samples | made (UTC) | why |', '|---|---|---|---|---|---|', ...rows].join('\n');
}

function lessons(journal: Journal, workspace: string): string {
  const told = latestLessons(journal, workspace, LESSONS).map(lesson);
  return told.length === 0 ? 'None yet.' : told.join('\n\n');
}

function lesson({ uri, offered, held, written, score, evidence, state }: Lesson): string {
  const why = evidence.length === 0 ? 'No verdict.' : evidence.join(' ');
  const signed = score === null ? '' : ` (${score >= 0 ? '+' : ''}${score.toFixed(2)})`;
  const heldOut = state === 'heldOut' ? ' Held out: it judges new versions and is never learned from.' : '';
  return [
    `- \`${decodeURIComponent(uri.split('/').at(-1) ?? uri)}\`: ${why}${signed}${heldOut}`,
    fenced(held ? 'held back' : 'offered', offered),
    ...(written === null ? [] : [fenced('written', written)]),
  ].join('\n');
}

/** A fence longer than any in the text. */
function fenced(label: string, text: string): string {
  const fence = '`'.repeat(Math.max(3, ...[...text.matchAll(/`+/g)].map(([run]) => run.length + 1)));
  const lines = `${label}:\n${fence}\n${text.trimEnd()}\n${fence}`.split('\n');
  return lines.map((line) => `  ${line}`).join('\n');
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}
