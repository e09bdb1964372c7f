/** What was learned, for a person: state, versions with their reasons, the latest lessons. Markdown. */
import type { Status } from '../../protocol/editor.ts';
import type { Journal } from '../journal/journal.ts';
import type { AdapterRecord, Turn } from '../journal/records.ts';

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
  const told = journal.turnsOf({ workspace, role: 'main', open: false, limit: 8 * LESSONS }).flatMap((turn) => lesson(journal, turn));
  return told.length === 0 ? 'None yet.' : told.slice(0, LESSONS).join('\n\n');
}

function lesson(journal: Journal, turn: Turn): string[] {
  const verdict = journal.verdicts(turn.id).at(-1);
  const hint = journal.hints(turn.id)[0];
  if (verdict === undefined && hint === undefined) return [];
  const evidence = verdict?.evidence.join(' ') ?? 'No verdict.';
  const score = verdict === undefined ? '' : ` (${verdict.score >= 0 ? '+' : ''}${verdict.score.toFixed(2)})`;
  const heldOut = turn.split === 'holdout' ? ' Held out: it judges new versions and is never learned from.' : '';
  return [
    [`- \`${decodeURIComponent(turn.uri.split('/').at(-1) ?? turn.uri)}\`: ${evidence}${score}${heldOut}`, turn.held === undefined ? fenced('offered', turn.shownText) : fenced('held back', turn.held), ...(hint ? [fenced('written', hint.text)] : [])].join('\n'),
  ];
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
