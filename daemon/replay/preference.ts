/**
 * A stream with a planted preference: a small project that always logs through `log.at(level, …)`,
 * never through `console`. Each commit adds one function to a file of its own; the probes stand in
 * files that no commit touches, where nothing near the cursor says how this project logs.
 */
import type { Probe } from './probes.ts';
import { generator } from '../random.ts';
import type { Stream, StreamCommit } from './stream.ts';

/** At a line's start, and after its first word. */
const WANTED = { line: 'log.at(', word: '.at(' };
const UNWANTED = { line: 'console.', word: '(' };
const FIRST_WORD = 'log';

const VERBS = ['load', 'store', 'send', 'parse', 'merge', 'refresh', 'archive', 'index', 'verify', 'publish'];
const NOUNS = ['order', 'invoice', 'ticket', 'message', 'report', 'session', 'payment', 'shipment', 'profile', 'schedule'];
const HELD_OUT = ['coupon', 'refund', 'voucher', 'survey', 'device', 'contract', 'holiday', 'customer', 'warehouse', 'forecast'];
const EVENTS = ['was empty', 'took too long', 'came twice', 'is unknown', 'has expired', 'was refused'];

/** @param commits  of one function each */
export function preferenceStream(commits: number, seed: number): { stream: Stream; probes: Probe[] } {
  const random = generator(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const made = Array.from({ length: commits }, (_, at): StreamCommit => {
    const [verb, noun] = [VERBS[at % VERBS.length] ?? '', NOUNS[(at + Math.floor(at / VERBS.length)) % NOUNS.length] ?? ''];
    const added = functionOf(verb, noun, pick(EVENTS), at % 3).map((line) => `${line}\n`);
    return { commit: `preference-${at}`, files: [{ path: `src/${noun}/${verb}.ts`, base: headOf(noun), hunks: [{ line: headOf(noun).split('\n').length - 1, removed: 0, added }] }] };
  });
  return {
    stream: { name: 'planted preference', origin: `seed ${seed}`, commits: made },
    probes: HELD_OUT.flatMap((noun, at) => probesOf(VERBS[(at * 3 + 1) % VERBS.length] ?? '', noun, at % 3)),
  };
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

function headOf(noun: string): string {
  return `import type { ${capital(noun)}, Store } from '../types';\n\n`;
}

/** Three shapes, each with log lines at its start, at a failure and at its end. */
function functionOf(verb: string, noun: string, event: string, shape: number): string[] {
  const name = `${verb}${capital(noun)}`;
  const head = `export async function ${name}(store: Store, id: string): Promise<${capital(noun)} | null> {`;
  const log = (level: string, text: string): string => `log.at('${level}', '${text}');`;
  if (shape === 0) {
    return [head, `  ${log('info', `${name} started`)}`, `  const ${noun} = await store.get(id);`, `  if (!${noun}) {`, `    ${log('warn', `${noun} ${event}`)}`, '    return null;', '  }', `  ${log('info', `${name} done`)}`, `  return ${noun};`, '}'];
  }
  if (shape === 1) {
    return [head, '  try {', `    ${log('debug', `${verb} the ${noun}`)}`, `    return await store.${verb}(id);`, '  } catch (error) {', `    ${log('error', `${noun} ${event}`)}`, '    return null;', '  }', '}'];
  }
  return [head, `  const known = store.has(id);`, `  ${log('debug', `${name} starts`)}`, '  if (!known) {', `    ${log('warn', `${noun} ${event}`)}`, '  }', `  return known ? store.get(id) : null;`, '}'];
}

/** The same shapes, cut before each of their log lines, with no log line before the cut. */
function probesOf(verb: string, noun: string, shape: number): Probe[] {
  const lines = functionOf(verb, noun, 'is missing', shape);
  return lines.flatMap((line, at) => {
    if (!line.trim().startsWith(WANTED.line)) return [];
    const before = [headOf(noun), ...lines.slice(0, at).filter((earlier) => !earlier.trim().startsWith(WANTED.line)).map((earlier) => `${earlier}\n`)].join('');
    const start = `${before}${/^ */.exec(line)?.[0] ?? ''}`;
    return (['line', 'word'] as const).map((kind): Probe => {
      const text = kind === 'line' ? start : `${start}${FIRST_WORD}`;
      return { kind, path: `src/${noun}/${verb}-${at}.ts`, languageId: 'typescript', text, offset: text.length, wanted: WANTED[kind], unwanted: UNWANTED[kind] };
    });
  });
}
