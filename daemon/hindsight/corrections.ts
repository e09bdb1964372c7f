/**
 * The correction of an action, in what follows it: what the user asked for instead, or, where they asked
 * for the same again, the answer that they then kept. Pure, by words: a retry by itself teaches nothing.
 */
import type { Turn } from '../journal/records.ts';
import { LEAST_HINT_LENGTH, usableHint } from '../reward/votes.ts';

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

export function correctedBy(turn: Turn): Corrected {
  return { request: turn.action?.request ?? '', reply: turn.rawText, files: turn.uri === '' ? [] : [turn.uri] };
}

export interface Exchange {
  message: string;
  /** What the reply changed, if the user kept it; null otherwise. */
  kept: string | null;
}

/** An opening "no", in the languages that the classifier reads, too; "no problem" and "no more errors" are none. */
const NO = /^\W*(?:(?:sorry|hm+|uh|well|but|oh)\b\W*){0,2}(?:no|nope|nah|wrong|not (?:quite|what|like)|nein|falsch|so nicht|das war nicht|non|não|нет)(?![\p{L}\d-])(?!\s+(?:problem|worr|need|complaint|error|more|further|issue|idea|doubt|rush|hurry|change|one|warning|thanks?\b|pasa))/iu;
/** What was wanted, said once more. */
const MEANT = /(?<!what )\bI (?:said|meant|wanted|(?:specifically |only |just )?(?:asked|told))\b|\bI['’]d rather you\b|\bich (?:meinte|sagte|wollte)\b|\bje voulais\b|\bquería\b/i;
/** What was not to be done. */
const NOT_THAT = /^\W*(?:please |pls |bitte )?(?:(?:don['’]t|do not|never|stop|nicht|kein)\b(?! (?:worry|forget|mind|bother|hesitate))|(?:undo|revert|restore|put .{1,60} back|roll back|mach .{1,40} rückgängig)\b)/i;
const SHOULD = /\b(?:(?:should|must)(?:n['’]t| not)\b|(?:that|it|this|they|you) should (?:have )?(?!be\W*$)\w|(?:it|that) must be\b|you (?:forgot|dropped|removed|deleted|ignored|missed|swapped|changed|renamed|broke|overwrote|hallucinated)\b)/i;
/** One thing in place of another. Who asks for something new says it like that, too. */
const INSTEAD = /\b(?:instead|rather than|in place of|stattdessen|anstatt|statt|sondern|lieber|plutôt|en vez de|em vez de|invece)\b|,\s*not\s+\S/i;
const PLEASED = /^\W*(?:ok(?:ay)?|thanks?|thx|thank you|great|good|nice|perfect|awesome|excellent|cool|super|yes|yep|yeah|lgtm|done|fine|danke|prima|merci|gracias|it['’]?s (?:perfect|fine|good))\b/i;

/**
 * What a message that follows an action says should have been done instead, by its words alone: "no, use
 * X instead". It is for the plain cases; what is not sure is left to a model's verdict.
 * @returns null where it says something else
 */
export function plainCorrection(action: Corrected, message: string): string | null {
  const said = worthSaying(message);
  if (said === null || bare(said) === bare(spoken(action.request) ?? action.request)) return null;
  if (NO.test(said)) return (said.replace(NO, '').match(/[\p{L}\d]{2,}/gu) ?? []).length >= 2 ? said : null;
  if (said.endsWith('?') || (PLEASED.test(said) && !/\b(?:but|aber|mais|pero)\b/i.test(said))) return null;
  if (MEANT.test(said) || NOT_THAT.test(said) || SHOULD.test(said)) return said;
  return INSTEAD.test(said) && isAbout(action, said) ? said : null;
}

/** What a message says to the agent, if it can say what was wrong. */
function worthSaying(message: string): string | null {
  const said = spoken(message)?.trim() ?? '';
  return usableHint(said) === null || said.length > LONGEST ? null : said;
}

/** Words in common with it, or a name that nobody writes by chance. */
function isAbout({ request, reply, files }: Corrected, said: string): boolean {
  const topic = wordsOf([request, reply, ...files].join('\n'));
  const shared = [...wordsOf(said)].filter(([word]) => topic.has(word));
  return shared.length >= SHARED_WORDS || shared.some(([, identifier]) => identifier);
}

/** Of an action that is known to be bad: a message corrects it that says something new about the same thing.
 *  @param later what followed it, oldest first; @returns null where nothing corrects it */
export function correctionIn(action: Corrected, later: readonly Exchange[]): string | null {
  const asked = bare(spoken(action.request) ?? action.request);
  for (const { message, kept } of later) {
    const said = worthSaying(message);
    if (said === null) continue;
    if (bare(said) === asked) {
      if ((kept?.trim().length ?? 0) >= LEAST_HINT_LENGTH) return kept;
      continue;
    }
    if (isAbout(action, said)) return said;
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
