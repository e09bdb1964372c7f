/**
 * The correction of an action that was taken back, in what follows it: what the user asked for
 * instead, or, where they asked for the same again, the answer that they then kept. Pure, by words: a
 * message counts that says something new and is about the same thing; a retry by itself teaches nothing.
 */
import { LEAST_HINT_LENGTH } from '../reward/votes.ts';

/** Chat commands whose argument is a message to the agent. */
const SPEAKING_COMMAND = /^\/(?:ask|code|architect|edit|fix|chat-mode\s+\w+)\s+/;
/** A long message is an output that was pasted, or a new task. */
const LONGEST = 2000;
/** Words in common that make two texts be about the same thing. */
const SHARED_WORDS = 2;
const COMMON = new Set(
  'about actually after again also always another because been before being cannot change could does doing done dont each else error even every file from give have here how instead into just keep like line lines make more must need never only other please really remove same should show some still that their them then there these they thing this those that try used using very want well were what when where which while will with without would your'.split(' '),
);

export interface Corrected {
  request: string;
  reply: string;
  files: readonly string[];
}

export interface Exchange {
  message: string;
  /** What the reply changed, if the user kept it; null otherwise. */
  kept: string | null;
}

/** @param later what followed the action, oldest first; @returns null where nothing corrects it */
export function correctionIn(action: Corrected, later: readonly Exchange[]): string | null {
  const topic = wordsOf([action.request, action.reply, ...action.files].join('\n'));
  const asked = bare(spoken(action.request) ?? action.request);
  for (const { message, kept } of later) {
    const said = spoken(message);
    if (said === null || said.length < LEAST_HINT_LENGTH || said.length > LONGEST) continue;
    if (bare(said) === asked) {
      if ((kept?.trim().length ?? 0) >= LEAST_HINT_LENGTH) return kept;
      continue;
    }
    const shared = [...wordsOf(said)].filter(([word]) => topic.has(word));
    if (shared.length >= SHARED_WORDS || shared.some(([, identifier]) => identifier)) return said;
  }
  return null;
}

/** What a message says to the agent; null for a command of the chat program. */
function spoken(message: string): string | null {
  const text = message.trim();
  if (!text.startsWith('/')) return text;
  return SPEAKING_COMMAND.test(text) ? text.replace(SPEAKING_COMMAND, '') : null;
}

const bare = (text: string): string => text.toLowerCase().replace(/[\s"'`.,!?]+/g, ' ').trim();

/** Words in lower case, and whether each is an identifier: snake_case, camelCase or a name with a digit,
 *  which nobody writes by chance. */
function wordsOf(text: string): Map<string, boolean> {
  const words = new Map<string, boolean>();
  for (const word of text.match(/[A-Za-z_]\w{3,}/g) ?? []) {
    const key = word.toLowerCase();
    if (!COMMON.has(key)) words.set(key, (words.get(key) ?? false) || /[a-z]_[a-z]|[a-z]\d/i.test(word) || /[a-z][A-Z]/.test(word));
  }
  return words;
}
