// Where in a program a cursor is: code, a comment or a string. The editor's stable API has no tokens, so the text before the
// cursor is read once, by the few rules that most languages share. Pure.

export type Place = 'code' | 'comment' | 'string';

interface Syntax {
  readonly line: readonly string[];
  readonly block: readonly (readonly [string, string])[];
  /** Quotes; `multi`: those whose text may go on over a line's end. */
  readonly quotes: readonly string[];
  readonly multi: readonly string[];
}

const C_LIKE: Syntax = { line: ['//'], block: [['/*', '*/']], quotes: ['"', "'"], multi: [] };
const SCRIPT: Syntax = { line: ['#'], block: [], quotes: ['"', "'"], multi: ['"', "'"] };
const SYNTAXES: Readonly<Record<string, Syntax>> = {
  javascript: { ...C_LIKE, quotes: ['"', "'", '`'], multi: ['`'] },
  go: { ...C_LIKE, quotes: ['"', "'", '`'], multi: ['`'] },
  // An apostrophe is a lifetime as often as a character.
  rust: { ...C_LIKE, quotes: ['"'], multi: ['"'] },
  php: { ...C_LIKE, line: ['//', '#'], multi: ['"', "'"] },
  css: { line: [], block: [['/*', '*/']], quotes: ['"', "'"], multi: [] },
  python: { ...SCRIPT, quotes: ['"""', "'''", '"', "'"], multi: ['"""', "'''"] },
  sql: { line: ['--'], block: [['/*', '*/']], quotes: ["'", '"'], multi: ["'"] },
  lua: { line: ['--'], block: [['--[[', ']]']], quotes: ['"', "'"], multi: [] },
  haskell: { line: ['--'], block: [['{-', '-}']], quotes: ['"'], multi: [] },
  html: { line: [], block: [['<!--', '-->']], quotes: [], multi: [] },
};
const SAME: Readonly<Record<string, string>> = { typescript: 'javascript', typescriptreact: 'javascript', javascriptreact: 'javascript', vue: 'javascript', svelte: 'javascript', scss: 'css', less: 'css', xml: 'html', markdown: 'html' };
const SCRIPTS = ['shellscript', 'ruby', 'perl', 'r', 'yaml', 'toml', 'dockerfile', 'makefile', 'powershell', 'elixir', 'julia', 'coffeescript'];
/** Farther back nothing is read: a comment that long has no code behind it. */
const LONGEST = 200_000;

/** @param before  the document's text before the cursor */
export function placeIn(languageId: string, before: string): Place {
  const syntax = SYNTAXES[SAME[languageId] ?? languageId] ?? (SCRIPTS.includes(languageId) ? SCRIPT : C_LIKE);
  const text = before.length <= LONGEST ? before : before.slice(before.indexOf('\n', before.length - LONGEST) + 1);
  for (let at = 0; at < text.length; ) {
    const block = syntax.block.find(([open]) => text.startsWith(open, at));
    const line = block === undefined ? syntax.line.find((open) => text.startsWith(open, at)) : undefined;
    const quote = block === undefined && line === undefined ? syntax.quotes.find((open) => text.startsWith(open, at)) : undefined;
    if (block !== undefined) {
      const end = text.indexOf(block[1], at + block[0].length);
      if (end < 0) return 'comment';
      at = end + block[1].length;
    } else if (line !== undefined) {
      const end = text.indexOf('\n', at);
      if (end < 0) return 'comment';
      at = end + 1;
    } else if (quote !== undefined) {
      const end = endOfString(text, at + quote.length, quote, syntax.multi.includes(quote));
      if (end === null) return 'string';
      at = end;
    } else at += 1;
  }
  return 'code';
}

/** @returns null where the string goes on at the end of the text */
function endOfString(text: string, from: number, quote: string, multi: boolean): number | null {
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text.startsWith(quote, at)) return at + quote.length;
    else if (text[at] === '\n' && !multi) return at;
  }
  return null;
}
