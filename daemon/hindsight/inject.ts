/**
 * Where a hint goes. The teacher reads it; the student's prompt and the stored messages never hold
 * it (conformance 8). teacher_ids = BOS + snippet + student_prompt_ids + response_ids: the student's
 * ids are taken over as they were served, nothing is re-tokenised.
 */
import type { Hint, Turn } from '../journal/records.ts';

/** A piece of a file as the completion prompt shows it; its renderer is the agent's. */
export interface HintSnippet {
  path: string;
  text: string;
}

/** OpenClaw-RL's heading of a hint in a conversation. */
const CHAT_HEADING = "\n\n[user's hint / instruction]\n";

/**
 * The developer's text in its place, as a snippet of the same file: base models do not obey
 * comments, they copy (measured on the seed: snippet +0.335 ± 0.101 nats, comment -0.969 ± 0.209).
 * @returns the full frame first, then smaller ones for where it does not fit: what is before the
 *   text is cut first, then what is after it, then the text's own end. Empty for an empty hint.
 */
export function hintSnippets(turn: Turn, hint: string): HintSnippet[] {
  if (hint.trim() === '') return [];
  const path = pathOf(turn);
  const after = hint.endsWith('\n') && turn.after.startsWith('\n') ? turn.after.slice(1) : turn.after;
  const snippet = (before: string, text: string, rest: string): HintSnippet => ({ path, text: before + text + rest });
  const near = lastLines(turn.before, 2);
  const lines = hint.split('\n');
  return [
    snippet(turn.before, hint, after),
    snippet(lastLines(turn.before, 4), hint, after),
    snippet(near, hint, after),
    snippet(near, hint, ''),
    snippet(near, lines.slice(0, 4).join('\n'), ''),
    snippet(lastLines(turn.before, 1), lines[0] ?? '', ''),
  ];
}

export interface TeacherPrompt {
  bos: number | null;
  /** Longest snippet that leaves room for the student's prompt and what follows it, tokens. */
  room: number;
  snippetIds: (snippet: HintSnippet) => Promise<number[]>;
}

/** The hinted prompt; the student's own for an empty hint, heading included.
 *  @returns null where not even the smallest snippet fits: the teacher would know no more */
export async function teacherPrompt(turn: Turn, hint: string, options: TeacherPrompt): Promise<number[] | null> {
  if (hint.trim() === '') return turn.promptIds;
  for (const snippet of hintSnippets(turn, hint)) {
    const ids = await options.snippetIds(snippet);
    if (ids.length > 0 && ids.length <= options.room) return insertSnippet(turn.promptIds, ids, options.bos);
  }
  return null;
}

/** BOS, if the prompt has it, stays first. */
export function insertSnippet(promptIds: readonly number[], snippet: readonly number[], bos: number | null): number[] {
  return bos !== null && promptIds[0] === bos ? [bos, ...snippet, ...promptIds.slice(1)] : [...snippet, ...promptIds];
}

/** A hint in the words of an instruction: what a checker or the developer's text is would not be plain without. */
export function instruction({ source, text }: Pick<Hint, 'source' | 'text'>): string {
  switch (source) {
    case 'developer':
      return `This is what then stood in its place:\n\`\`\`\n${text.replace(/\n$/, '')}\n\`\`\``;
    case 'diagnostic':
      return `Avoid this problem:\n${text}`;
    default:
      return text;
  }
}

export interface Message {
  role: string;
  content: string;
}

/** Chat: the hint is the end of the last user message. The given messages stay as they are. */
export function injectIntoChat(messages: readonly Message[], hint: string): Message[] {
  const last = messages.findLastIndex((message) => message.role === 'user');
  if (hint.trim() === '' || last < 0) return [...messages];
  return messages.map((message, index) => (index === last ? { ...message, content: `${message.content}${CHAT_HEADING}${hint.trim()}` } : message));
}

/** The messages as they are without the hint: it stands at a message's end. */
export function withoutHint(messages: readonly Message[]): Message[] {
  return messages.map((message) => {
    const at = message.role === 'user' ? message.content.indexOf(CHAT_HEADING) : -1;
    return at < 0 ? message : { ...message, content: message.content.slice(0, at) };
  });
}

/** Path within the workspace where the file is in it, else the file's name. */
export function pathOf(turn: Turn): string {
  const root = turn.workspace.endsWith('/') ? turn.workspace : `${turn.workspace}/`;
  const path = turn.uri.startsWith(root) ? turn.uri.slice(root.length) : turn.uri.slice(turn.uri.lastIndexOf('/') + 1);
  return decodeURIComponent(path);
}

function lastLines(text: string, count: number): string {
  return text.split('\n').slice(-count).join('\n');
}
