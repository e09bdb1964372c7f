/** One edit of a selection: what the model is shown, and the replacement that its answer holds. */
import type { ChatMessage } from '../chat/model.ts';

export interface EditRequest {
  path: string;
  languageId: string;
  /** The file up to the selection, as far as it is shown, the selection, and what follows it. */
  before: string;
  selected: string;
  after: string;
  instruction: string;
}

const SYSTEM = 'You edit code. You are given a file with one marked part and an instruction. Answer with the new text of the marked part alone, whole, in one fenced code block, with the indentation that it has in the file. Explain nothing.';

export function editMessages({ path, languageId, before, selected, after, instruction }: EditRequest): ChatMessage[] {
  const file = [before, '<<<PART\n', selected, '\nPART>>>', after].join('');
  return [
    { role: 'system', content: SYSTEM },
    { role: 'user', content: `${path} (${languageId}), the part between <<<PART and PART>>>:\n\`\`\`${languageId}\n${file}\n\`\`\`\n\n${instruction}` },
  ];
}

/** The code in an answer, also while it is being written (`whole` false): then without what may be the fence.
 *  @param like the text that it replaces: its end of line, or none, is kept */
export function codeOf(answer: string, like: string, whole: boolean): string {
  const opened = /(^|\n)[ \t]*(`{3,}|~{3,})[^\n]*\n/.exec(answer);
  if (opened === null) return whole ? withEnd(answer.trim(), like) : '';
  const fence = opened[2] ?? '```';
  const body = answer.slice(opened.index + opened[0].length);
  const close = new RegExp(`(^|\\n)[ \\t]*${fence[0] ?? '`'}{${fence.length},}[ \\t]*(?=\\n|$)`).exec(body);
  if (close !== null) return withEnd(body.slice(0, close.index), like);
  return whole ? withEnd(body, like) : body.replace(/\n?[ \t]*[`~]*$/, '');
}

function withEnd(code: string, like: string): string {
  const text = code.replace(/^\n+|\s+$/g, '');
  const windows = like.includes('\r\n');
  const body = windows ? text.replace(/\r?\n/g, '\r\n') : text;
  return body + (/\r?\n[ \t]*$/.exec(like)?.[0] ?? '');
}
