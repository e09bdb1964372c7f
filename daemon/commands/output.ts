/** What every command does alike: facts as JSON or text on stdout, everything else on stderr. */
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { HindsightError } from '../../protocol/errors.ts';

export interface JsonOption {
  /** A file, or `-` for stdout. */
  json?: string;
}

export function withJson(command: Command): Command {
  return command.option('--json <file>', 'write the facts as one JSON object; - writes them to stdout and everything else to stderr');
}

/** With `--json -` stdout has exactly one JSON object; otherwise it has the text. */
export function print(facts: object, text: string, { json }: JsonOption): void {
  const object = `${JSON.stringify(facts, null, 2)}\n`;
  if (json === '-') {
    process.stdout.write(object);
    return;
  }
  if (json !== undefined) writeFileSync(json, object);
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
}

const UNITS: Record<string, number> = { MB: 1e6, GB: 1e9, MiB: 2 ** 20, GiB: 2 ** 30 };

/** An amount of memory as people write it, in bytes. @throws badRequest */
export function bytes(text: string): number {
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?) ?([MG]i?B)$/.exec(text) ?? [];
  const size = Math.round(Number(amount) * (UNITS[unit] ?? NaN));
  if (!(size > 0)) throw new HindsightError('badRequest', { problem: `${text} is no amount of memory`, remedy: 'Give it as 800MB or 1.2GB.' });
  return size;
}

export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Columns padded to their widest cell; numbers are the caller's to format. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd()).join('\n');
}
