/**
 * Who may use a listening engine. A token is 256 random bits that only its owner has; the file keeps
 * its hash. Each token is a tenant of its own: revoking it is the end of everything that it holds.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { HindsightError } from '../../../protocol/errors.ts';

const tokenRecord = z.object({ id: z.string(), name: z.string(), sha256: z.string(), createdAt: z.number() });
/** `id` names the tenant, in folders and lists; `sha256` is of the token. */
export type TokenRecord = z.output<typeof tokenRecord>;

export class Tokens {
  readonly #path: string;
  #records: TokenRecord[] = [];
  #read = '';

  constructor(home: string) {
    this.#path = join(home, 'tokens.json');
  }

  /** Nobody has ever been let in: a first start makes the first token. */
  get untouched(): boolean {
    return !existsSync(this.#path);
  }

  /** As the file says now: another process may have added or revoked one. */
  list(): TokenRecord[] {
    const stat = statSync(this.#path, { throwIfNoEntry: false });
    const version = stat === undefined ? 'none' : `${stat.mtimeMs} ${stat.ino} ${stat.size}`;
    if (version !== this.#read) {
      this.#records = stat === undefined ? [] : parse(this.#path);
      this.#read = version;
    }
    return this.#records;
  }

  /** @returns the token itself, for this one time */
  add(name: string): { token: string; record: TokenRecord } {
    if (!/^[\w .@-]{1,60}$/.test(name)) throw new HindsightError('badRequest', { problem: `${JSON.stringify(name)} is no name for a token`, remedy: 'Use letters, digits, spaces and . @ _ -, 60 at most.' });
    if (this.list().some((one) => one.name === name)) throw new HindsightError('badRequest', { problem: `There is a token ${name} already`, remedy: 'Give it another name, or revoke the old one first.' });
    const token = `hs_${randomBytes(32).toString('base64url')}`;
    const record = { id: randomBytes(6).toString('hex'), name, sha256: digest(token).toString('hex'), createdAt: Date.now() };
    this.#write([...this.list(), record]);
    return { token, record };
  }

  /** @param which  a name or an id
   *  @throws badRequest where there is none */
  revoke(which: string): TokenRecord {
    const found = this.list().find((one) => one.name === which || one.id === which);
    if (found === undefined) throw new HindsightError('badRequest', { problem: `There is no token ${which}`, remedy: 'See `hindsight engine tokens list`.' });
    this.#write(this.list().filter((one) => one !== found));
    return found;
  }

  /** Compares with every token, whatever it finds, so that time tells nothing. */
  find(token: string): TokenRecord | null {
    const given = digest(token);
    let found: TokenRecord | null = null;
    for (const record of this.list()) if (timingSafeEqual(given, Buffer.from(record.sha256.padEnd(64, '0').slice(0, 64), 'hex'))) found = record;
    return found;
  }

  isValid(id: string): boolean {
    return this.list().some((one) => one.id === id);
  }

  #write(records: readonly TokenRecord[]): void {
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
    writeFileSync(`${this.#path}.tmp`, `${JSON.stringify(records, null, 1)}\n`, { mode: 0o600 });
    renameSync(`${this.#path}.tmp`, this.#path);
  }
}

function parse(path: string): TokenRecord[] {
  try {
    return z.array(tokenRecord).parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    throw new HindsightError('badRequest', { problem: `${path} is damaged: nobody is let in`, remedy: 'Restore it, or remove it and pair every machine again.' });
  }
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** Refused tokens, by address: after too many in a minute nothing from there is looked at any more. */
export class Attempts {
  readonly #refused = new Map<string, { count: number; until: number }>();

  constructor(private readonly limit = { refusals: 10, seconds: 60 }) {}

  /** @throws tooManyAttempts */
  check(address: string, now: number): void {
    const entry = this.#refused.get(address);
    if (entry !== undefined && entry.until > now && entry.count >= this.limit.refusals) throw new HindsightError('tooManyAttempts', { seconds: Math.ceil((entry.until - now) / 1000) });
  }

  refuse(address: string, now: number): void {
    const entry = this.#refused.get(address);
    if (entry !== undefined && entry.until > now) entry.count++;
    else {
      // The map stays small whoever knocks.
      for (const [key, { until }] of this.#refused) if (until <= now) this.#refused.delete(key);
      if (this.#refused.size < 10_000) this.#refused.set(address, { count: 1, until: now + this.limit.seconds * 1000 });
    }
  }
}
