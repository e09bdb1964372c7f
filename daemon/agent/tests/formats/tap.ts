/**
 * TAP 13 and 14 (testanything.org), with the indented subtests that `node --test` and node-tap write.
 * A test point that closes a block of subtests stands for them; it counts by itself only where it
 * fails and none of them did.
 */
import type { TestCase, TestReport } from '../../../../protocol/tests.ts';

interface Point {
  title: string;
  state: TestCase['state'];
  details: string[];
}

interface Level {
  indent: number;
  cases: TestCase[];
  /** Name from `# Subtest:`, until the point that closes it. */
  open: string[];
}

const POINT = /^( *)(not ok|ok)\b *(\d+)? *(?:- )?(.*)$/;
const SUBTEST = /^( *)# Subtest: (.*)$/;

/** Lines that a file wrote before it failed to load. */
const MOST_REMARKS = 30;

/** A failing point that is named as its own file is `node --test` saying that the file did not load.
 *  @throws where the text is no TAP at all */
export function parseTap(text: string): TestReport {
  const lines = text.split(/\r?\n/);
  const root: Level = { indent: 0, cases: [], open: [] };
  const levels: Level[] = [root];
  const errors: string[] = [];
  let points = 0;
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    const subtest = SUBTEST.exec(line);
    if (subtest) {
      enter(levels, (subtest[1] ?? '').length).open.push(subtest[2] ?? '');
      continue;
    }
    const bail = /^ *Bail out!\s*(.*)$/.exec(line);
    if (bail) errors.push(bail[1] === '' ? 'Bail out!' : (bail[1] ?? ''));
    const match = POINT.exec(line);
    if (match === null) continue;
    points += 1;
    const indent = (match[1] ?? '').length;
    const block = yamlBlock(lines, at + 1, indent);
    at += block.length;
    close(levels, indent, pointOf(match, block));
  }
  if (points === 0 && !/^TAP version|^1\.\.0/m.test(text)) throw new Error('no TAP');
  // A run that was cut off: what its open subtests had said counts.
  const cases = levels.flatMap((level) => level.cases);
  const loads = (one: TestCase): boolean => !(one.state === 'failed' && one.name === one.file);
  const remarks = lines.filter((line) => /^# (?!Subtest:|(?:tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$)/.test(line)).map((line) => line.slice(2).replaceAll('\\#', '#'));
  return { cases: cases.filter(loads), errors: [...errors, ...cases.filter((one) => !loads(one)).map((one) => `${one.name} does not load: ${one.message ?? ''}\n${remarks.slice(0, MOST_REMARKS).join('\n')}`.trim())] };
}

function pointOf(match: RegExpExecArray, details: string[]): Point {
  const directive = / # (SKIP|TODO)\b.*$/i.exec(match[4] ?? '');
  const title = (match[4] ?? '').replace(/ # (SKIP|TODO|time=).*$/i, '').replaceAll('\\#', '#').trim();
  return { title, state: directive ? 'skipped' : match[2] === 'ok' ? 'passed' : 'failed', details };
}

/** The level of an indentation, made where it is new; deeper ones stay open until their parent's point. */
function enter(levels: Level[], indent: number): Level {
  const known = levels.find((level) => level.indent === indent);
  if (known) return known;
  const level: Level = { indent, cases: [], open: [] };
  levels.push(level);
  levels.sort((a, b) => a.indent - b.indent);
  return level;
}

function close(levels: Level[], indent: number, point: Point): void {
  const level = enter(levels, indent);
  const children = levels.filter((one) => one.indent > indent).flatMap((one) => one.cases);
  levels.splice(levels.indexOf(level) + 1);
  level.open.pop();
  const path = levels.filter((one) => one.indent < indent).map((one) => one.open.at(-1) ?? '').filter((name) => name !== '');
  const stands = point.state === 'failed' && !children.some((one) => one.state === 'failed');
  if (children.length > 0) level.cases.push(...children);
  if (children.length === 0 || stands) level.cases.push({ name: [...path, point.title].join(' '), file: fileOf(point.details), state: point.state, message: point.state === 'failed' ? messageOf(point.details) : null });
}

function yamlBlock(lines: readonly string[], from: number, indent: number): string[] {
  if (!/^ *---/.test(lines[from] ?? '') || indentOf(lines[from] ?? '') <= indent) return [];
  const end = lines.findIndex((line, at) => at > from && /^ *\.\.\. *$/.test(line) && indentOf(line) > indent);
  return end < 0 ? [] : lines.slice(from, end + 1);
}

/** The block without its fences and without what only a machine reads. */
function messageOf(block: readonly string[]): string {
  const inside = block.slice(1, -1);
  const indent = Math.min(...inside.filter((line) => line.trim() !== '').map(indentOf), Infinity);
  return inside.filter((line) => !/^ *(duration_ms|type|failureType|name|code):/.test(line)).map((line) => line.slice(Number.isFinite(indent) ? indent : 0)).join('\n').trim();
}

function fileOf(block: readonly string[]): string | null {
  const location = block.map((line) => /^ *location: '?(.*?):\d+:\d+'?$/.exec(line)?.[1]).find((file) => file !== undefined);
  return location ?? null;
}

function indentOf(line: string): number {
  return line.length - line.trimStart().length;
}
