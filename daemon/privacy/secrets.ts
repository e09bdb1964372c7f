/**
 * Secrets are masked before anything is stored, and before a prompt is made: what the model never
 * reads can neither be learned nor suggested. A mask keeps length and line ends, so that offsets of
 * the editor stay true.
 *
 * Known formats come from secretlint; `OWN` adds what its recommended rules leave out. A false alarm
 * costs a few masked characters, a miss costs a secret on the disk: where a rule must err, it masks.
 */
import { lintSource } from '@secretlint/core';
import { secretLintProfiler } from '@secretlint/profiler';
import { creator } from '@secretlint/secretlint-rule-preset-recommend';

/** UTF-16 units, [from, to). */
export interface Range {
  from: number;
  to: number;
}

/** Shorter texts hold no secret that could be told from a word. */
const SHORTEST = 8;
/** Every format that secretlint knows has a run of so many of these, which spares it most of what is typed. */
const LONG = /[\w+/=.:@%~-]{16,}/;
const MASK = '*';
/** So many of them are a mask already. */
const MASKED = MASK.repeat(8);

// Each run leaves marks in the process's performance timeline, and each mark searches all earlier ones: a
// daemon that lives for days would slow down and grow.
secretLintProfiler.mark = (): void => undefined;

const RULES = { rules: [{ id: '@secretlint/secretlint-rule-preset-recommend', rule: creator }] };

/** A group named `secret` is masked, or the whole match where there is none. */
const OWN: readonly RegExp[] = [
  // cloud and service keys with a prefix of their own
  /\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b/g,
  /\bgl(?:pat|ptt|dt|rt|soat)-[\w-]{20,}/g,
  /\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}/g,
  /\bAIza[\w-]{35}/g,
  /\bhf_[A-Za-z0-9]{30,}/g,
  /\b\d{8,10}:AA[\w-]{33}/g,
  /\b(?:SK|AC)[0-9a-f]{32}\b/g,
  /\bxapp-\d-[A-Z0-9]+-\d+-[a-f0-9]{20,}/g,
  /\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{16,}/g,
  // private keys: from the heading on, also where the end is not there (yet)
  /-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----|[A-Za-z0-9+/=\\\s]*)/g,
  // headers and settings
  /\b(?:authorization|proxy-authorization)["']?\s*[:=]\s*["'`]?(?:bearer|basic|token)\s+(?<secret>[\w.~+/=-]{12,})/gi,
  /\b_authToken\s*=\s*(?<secret>[^\s"']{12,})/g,
  /\b(?:AccountKey|SharedAccessKey)=(?<secret>[A-Za-z0-9+/]{30,}={0,2})/g,
  /[a-z][a-z0-9+.-]*:\/\/[^\s:/@"'`]+:(?<secret>[^\s:/@"'`]{4,})@/gi,
  // a value that is called a secret: quoted, or up to the end of a line of an env file
  /(?:password|passwd|pwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)s?["'\]]{0,2}\s*(?::|=>?|:=)\s*(?<quote>["'`])(?<secret>(?!\s)[^\s"'`]{8,})\k<quote>/gi,
  /(?<![\w.])[A-Z0-9_]*(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIAL)S?[A-Z0-9_]*=(?<secret>[^\s"'`$<(;]{8,})(?=[\s;]|$)/g,
];

/** Where secrets are in a text; disjoint, in order. */
export async function secretsIn(text: string): Promise<Range[]> {
  if (text.length < SHORTEST) return [];
  return merged([...(LONG.test(text) ? await knownFormats(text) : []), ...OWN.flatMap((rule) => matches(rule, text))]);
}

async function knownFormats(text: string): Promise<Range[]> {
  const source = { content: text, filePath: '/text', ext: '', contentType: 'text' as const };
  const { messages } = await lintSource({ source, options: { config: RULES, noPhysicFilePath: true } });
  return messages.map(({ range }) => ({ from: range[0], to: range[1] }));
}

export function mask(text: string, ranges: readonly Range[]): string {
  let out = '';
  let at = 0;
  for (const { from, to } of ranges) {
    out += text.slice(at, from) + text.slice(from, to).replace(/[^\r\n]/g, MASK);
    at = to;
  }
  return out + text.slice(at);
}

/** The text as it may be stored. */
export async function scrub(text: string): Promise<string> {
  return mask(text, await secretsIn(text));
}

/** Plain data with every string in it scrubbed. */
export async function scrubAll<T>(value: T): Promise<T> {
  const clean = new Map<string, string>();
  const visit = async (part: unknown): Promise<void> => {
    if (typeof part === 'string') {
      if (!clean.has(part)) clean.set(part, await scrub(part));
    } else if (part !== null && typeof part === 'object') for (const inner of Object.values(part)) await visit(inner);
  };
  await visit(value);
  return JSON.parse(JSON.stringify(value), (_, part: unknown) => (typeof part === 'string' ? (clean.get(part) ?? part) : part)) as T;
}

function matches(rule: RegExp, text: string): Range[] {
  return [...text.matchAll(rule)].flatMap((match) => {
    const secret = match.groups?.['secret'] ?? match[0];
    if (secret.includes(MASKED)) return [];
    const from = match.index + match[0].lastIndexOf(secret);
    return { from, to: from + secret.length };
  });
}

function merged(ranges: Range[]): Range[] {
  const out: Range[] = [];
  for (const range of ranges.sort((a, b) => a.from - b.from)) {
    const last = out.at(-1);
    if (last !== undefined && range.from <= last.to) last.to = Math.max(last.to, range.to);
    else out.push({ ...range });
  }
  return out;
}
