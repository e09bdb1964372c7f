/** Expands templates such as "{no}, use {lib} {instead}" and roughens them as typing people do. */
import type { Random } from '../random.ts';

/** `[a|b|]` is a choice in place; `{slot}` is a choice from the slot's list. */
export const SLOTS: Record<string, readonly string[]> = {
  fn: ['parseConfig', 'load_users', 'handleClick', 'render()', 'get_total', '`sumAll`', 'retry_request', 'the constructor', 'useSession', 'main()', 'toJson', '`_flush`', 'validate_input', 'the reducer'],
  file: ['utils.py', 'src/app.ts', 'index.js', 'README.md', 'server/main.go', 'models.py', 'the config file', 'package.json', '`auth.ts`', 'lib/parser.rs', 'styles.css', 'Dockerfile', 'the test file', 'schema.sql'],
  thing: ['the login form', 'the cache', 'the parser', 'the date picker', 'pagination', 'the retry logic', 'the sidebar', 'the upload', 'the logger', 'the migration', 'the search', 'dark mode', 'the table', 'error handling', 'the API client', 'the tooltip', 'the queue', 'sorting', 'the export'],
  short: ['button', 'query', 'loop', 'header', 'timeout', 'regex', 'import', 'type', 'index', 'path', 'column', 'flag', 'default', 'key', 'response', 'name'],
  lib: ['pathlib', 'lodash', 'zod', 'pytest', 'async/await', 'the repo\'s logger', 'a dict', 'requests', 'a dataclass', 'the standard library', 'fetch', 'a generator', 'tailwind', 'our helper', 'a context manager', 'const', 'tabs', 'type hints', 'sqlite'],
  lib2: ['os.path', 'moment', 'console.log', 'unittest', 'callbacks', 'print', 'a list', 'urllib', 'a class', 'numpy', 'axios', 'a global', 'inline styles', 'regex', 'var', 'spaces', 'any', 'a new dependency', 'comments'],
  err: ['TypeError: undefined is not a function', "KeyError: 'id'", 'error TS2345', 'segmentation fault', 'a 500', 'ModuleNotFoundError', 'NullPointerException', 'a syntax error', "can't read property 'map' of undefined", 'the same error', 'exit code 1', 'ECONNREFUSED', 'an IndentationError', 'a type error', 'E0382 borrow of moved value', 'a stack overflow', '404s', 'a deadlock'],
  value: ['0', 'NaN', 'undefined', 'null', 'an empty list', 'the wrong order', 'duplicates', '[object Object]', 'yesterday\'s date', 'None', 'twice the amount', 'nothing', 'the old value', '-1'],
  do: ['add a test for', 'refactor', 'rename', 'document', 'move', 'simplify', 'split up', 'type', 'speed up', 'extract', 'remove', 'add logging to', 'make async', 'cache', 'port', 'validate', 'clean up', 'convert', 'extend'],
  ok: ['ok', 'okay', 'good', 'great', 'nice', 'cool', 'perfect', 'awesome', 'alright', 'excellent', 'sweet', 'fine', 'lovely', 'super', 'right on', 'yay', 'brilliant', 'amazing'],
  no: ['no', 'nope', 'nah', 'hmm no', 'no no', 'wrong', 'not quite', 'uh no', 'no!', 'sorry but no', 'hm', 'well no'],
  thanks: ['thanks', 'thank you', 'thx', 'ty', 'cheers', 'many thanks', 'thanks a lot', 'tysm', 'much appreciated', 'thank you so much'],
  please: ['please', 'pls', 'can you', 'could you', '', '', '', 'now', 'i want you to', 'let\'s', 'would you', 'we should', 'i need you to'],
  swear: ['wtf', 'ugh', 'come on', 'seriously?', 'jeez', 'sigh', 'argh', 'for the third time', 'damn it', 'oh god'],
  lang: ['python', 'typescript', 'rust', 'go', 'plain js', 'java', 'c++', 'bash', 'sql', 'kotlin'],
};

export interface Family {
  name: string;
  label: 'worked' | 'failed' | 'neutral';
  templates: readonly string[];
}

/** One message of the family. */
export function phrase(family: Family, random: Random): string {
  return roughen(expand(random.pick(family.templates), random), random);
}

export function expand(template: string, random: Random): string {
  let text = template;
  for (let depth = 0; depth < 4 && /[[{]/.test(text); depth++) {
    text = text
      .replace(/\[([^[\]]*\|[^[\]]*)\]/g, (_, options: string) => random.pick(options.split('|')))
      .replace(/\{(\w+)\}/g, (whole, slot: string) => (SLOTS[slot] === undefined ? whole : random.pick(SLOTS[slot])));
  }
  return text.replace(/ {2,}/g, ' ').replace(/ ([,.!?])/g, '$1').trim();
}

/** Case, apostrophes, punctuation, a slip of a finger: what differs between people and says nothing. */
export function roughen(text: string, random: Random): string {
  let out = text;
  if (random.chance(0.3)) out = out.charAt(0).toUpperCase() + out.slice(1);
  if (random.chance(0.25)) out = out.replace(/(\w)'(\w)/g, '$1$2');
  if (random.chance(0.05)) out = out.toUpperCase();
  if (random.chance(0.12)) out = slip(out, random);
  if (/\w$/.test(out)) out += random.pick(['', '', '', '.', '.', '!', '..', '...']);
  return out;
}

function slip(text: string, random: Random): string {
  const at = random.int(1, Math.max(1, text.length - 2));
  const pair = text.slice(at, at + 2);
  if (!/^[a-z]{2}$/.test(pair)) return text;
  return random.pick([text.slice(0, at) + text.slice(at + 1), text.slice(0, at) + (pair[1] ?? '') + (pair[0] ?? '') + text.slice(at + 2)]);
}
