/**
 * From a text to hashed n-grams: what the model sees. The same function runs in training and in
 * the daemon; the model file is useless with another one, so its version is part of the file.
 */
import { classOfMessage, classOfTerminal, emojiOf } from './lexicon.ts';
import { boundText, capText, stripControl } from './normalize.ts';

export interface TerminalText {
  kind: 'terminal';
  /** Command line, where the terminal's shell integration told it. */
  command?: string;
  exitCode?: number;
  text: string;
}

export interface MessageText {
  kind: 'message';
  text: string;
}

export type NextStateText = TerminalText | MessageText;

/** Raise it with every change of what is computed here. */
export const FEATURE_VERSION = 1;
/** Rows of the embedding table; hashes are taken modulo this. */
export const BUCKETS = 1 << 15;

export interface Features {
  /** Row of each feature, ascending, without repeats. */
  ids: Int32Array;
  /** Weight of each: 1 + log(count), the vector scaled to length 1. */
  values: Float32Array;
}

/** Tokens of the last lines are told apart: tools end with their result. */
const TAIL_LINES = 4;
/** A message's opening words carry its tone. */
const OPENING = 4;
const MAX_MESSAGE = 1200;
/** How much more a word class weighs than a word: there are few of them, and they carry over. */
const CLASS_WEIGHT = 3;
/** A counted class ("2 failed") is how test runners and linters end; it outweighs what passed beside it. */
const COUNT_WEIGHT = 8;

type Add = (name: string, weight?: number) => void;

export function featuresOf(input: NextStateText): Features {
  const counts = new Map<number, number>();
  const weights = new Map<number, number>();
  const add: Add = (name, weight = 1) => {
    const id = hash(name);
    counts.set(id, (counts.get(id) ?? 0) + 1);
    if (weight !== 1) weights.set(id, weight);
  };
  if (input.kind === 'terminal') addTerminal(input, add);
  else addMessage(input.text, add);
  return pack(counts, weights);
}

function addTerminal({ text, command, exitCode }: TerminalText, add: Add): void {
  const lines = capText(clean(text)).split('\n').filter((line) => line.trim() !== '');
  add(`t:lines:${Math.min(4, Math.ceil(Math.log2(lines.length + 1)))}`);
  lines.forEach((line, i) => {
    const tokens = tokenize(line);
    addGrams(tokens, 't:', add);
    if (tokens[0] !== undefined) add(`t:^${tokens[0]}`);
    if (i >= lines.length - TAIL_LINES) for (const token of tokens) add(`t:$${token}`);
    addClasses(tokens, classOfTerminal, 't:', add);
    if (i >= lines.length - TAIL_LINES) addClasses(tokens, classOfTerminal, 't:$', add);
  });
  add(`t:counts:${countedClasses(lines.slice(-TAIL_LINES))}`, COUNT_WEIGHT);
  if (exitCode !== undefined) add(exitCode === 0 ? 'x:zero' : `x:${exitCode > 2 && exitCode < 126 ? 'other' : exitCode}`);
  if (exitCode !== undefined && exitCode !== 0) add('x:nonzero');
  if (command !== undefined) for (const token of tokenize(command).slice(0, 12)) add(`c:${token}`);
  if (command !== undefined && exitCode !== undefined) add(`cx:${tokenize(command)[0] ?? ''}:${exitCode === 0}`);
}

function addMessage(text: string, add: Add): void {
  const message = clean(text).slice(0, MAX_MESSAGE);
  const tokens = tokenize(message);
  add(`m:words:${Math.min(6, Math.ceil(Math.log2(tokens.length + 1)))}`);
  if (message.length > 3 && message === message.toUpperCase() && message !== message.toLowerCase()) add('m:shouted');
  if (/\n\s+(at|File) |Traceback|error(\[|:)/i.test(message)) add('m:trace');
  if (message.trimEnd().endsWith('?')) add('m:asks');
  const emoji = emojiOf(message);
  if (emoji !== null) add(`m:emoji:${emoji}`, CLASS_WEIGHT);
  addGrams(tokens, 'm:', add);
  addClasses(tokens, classOfMessage, 'm:', add);
  addClasses(tokens.slice(0, OPENING), classOfMessage, 'm:^', add);
  tokens.slice(0, OPENING).forEach((token, i) => add(`m:^${i === 0 ? '' : '+'}${token}`));
  for (const token of new Set(tokens)) for (const gram of pieces(token)) add(`m:#${gram}`);
}

function addGrams(tokens: string[], prefix: string, add: Add): void {
  tokens.forEach((token, i) => {
    add(prefix + token);
    const next = tokens[i + 1];
    if (next !== undefined) add(`${prefix}${token} ${next}`);
  });
}

/** Whether the last lines count good, bad, or both: "2 failed, 10 passed" is no success. */
function countedClasses(lines: string[]): string {
  const found = new Set<string>();
  for (const line of lines) {
    const tokens = tokenize(line);
    for (const [i, token] of tokens.entries()) if (tokens[i - 1] === '#') found.add(classOfTerminal(token) ?? '');
  }
  return `${found.has('good') ? 'good' : ''} ${found.has('bad') ? 'bad' : ''}`;
}

/** Word classes, which class comes after which ("not" before "works", "0" before "errors"), and
 *  which are counted ("7 failed"). */
function addClasses(tokens: string[], classOf: (word: string) => string | null, prefix: string, add: Add): void {
  let last = '';
  for (const [i, token] of tokens.entries()) {
    const name = classOf(token);
    if (name === null) continue;
    if (tokens[i - 1] === '#') add(`${prefix}#=${name}`, COUNT_WEIGHT);
    add(`${prefix}=${name}`, CLASS_WEIGHT);
    if (last !== '') add(`${prefix}=${last}=${name}`, CLASS_WEIGHT);
    last = name;
  }
}

/** Markers by which a text could pretend to be a verdict are no evidence: they are taken out. */
function clean(text: string): string {
  return stripControl(boundText(text)).replace(/\\boxed\s*\{[^}]*\}/g, ' ').replace(/\[user's hint \/ instruction\]/gi, ' ');
}

const TOKEN = /\p{L}+(?:['’]\p{L}+)?|\d+(?:[.,]\d+)*|[^\s\p{L}\d]/gu;

/** Lower-case words with their humps apart, numbers as 0 or #, punctuation with repeats as one. */
function tokenize(text: string): string[] {
  const out: string[] = [];
  for (const raw of text.replace(/(\p{Ll})(\p{Lu})/gu, '$1 $2').match(TOKEN) ?? []) {
    const token = /^\d/.test(raw) ? (Number(raw.replace(',', '.')) === 0 ? '0' : '#') : raw.toLowerCase().replace('’', "'");
    if (token !== out[out.length - 1] || /^\p{L}/u.test(token)) out.push(token);
  }
  return out;
}

/** Character 4-grams of a word with its borders; single characters and pairs where words are not spaced. */
function pieces(token: string): string[] {
  if (!/^\p{L}/u.test(token)) return [];
  const spaceless = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u.test(token);
  const size = spaceless ? 2 : 4;
  const framed = spaceless ? token : `<${token}>`;
  const out: string[] = [];
  for (let i = 0; i + size <= framed.length; i++) out.push(framed.slice(i, i + size));
  return spaceless ? [...out, ...token] : out;
}

/** FNV-1a over UTF-16 units, folded into the table. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return ((h ^ (h >>> 15)) >>> 0) % BUCKETS;
}

function pack(counts: Map<number, number>, weights: Map<number, number>): Features {
  const ids = Int32Array.from(counts.keys()).sort();
  const values = new Float32Array(ids.length);
  let square = 0;
  ids.forEach((id, i) => {
    const value = (weights.get(id) ?? 1) * (1 + Math.log(counts.get(id) ?? 1));
    values[i] = value;
    square += value * value;
  });
  const scale = square === 0 ? 0 : 1 / Math.sqrt(square);
  return { ids, values: values.map((value) => value * scale) };
}
