/** `cargo test`, as it prints: its JSON is not stable. */
import type { TestCase, TestReport } from '../../../../protocol/tests.ts';

const STATES: Readonly<Record<string, TestCase['state']>> = { ok: 'passed', FAILED: 'failed', ignored: 'skipped' };
const LINE = /^test (.+?) \.\.\. (ok|FAILED|ignored)\b/;

/** @throws where no test binary ran and the compiler said nothing */
export function parseCargo(text: string): TestReport {
  const cases: TestCase[] = [];
  const messages = new Map<string, string>();
  const errors: string[] = [];
  let crate = '';
  let ran = false;
  const lines = text.split(/\r?\n/);
  for (const [at, line] of lines.entries()) {
    const running = /^\s+(?:Running|Doc-tests) (?:unittests )?(\S+)/.exec(line);
    if (running) crate = running[1] ?? '';
    if (/^running \d+ tests?$/.test(line)) ran = true;
    const test = LINE.exec(line);
    if (test) cases.push({ name: test[1] ?? '', file: crate === '' ? null : crate, state: STATES[test[2] ?? ''] ?? 'failed', message: null });
    const stdout = /^---- (.+) stdout ----$/.exec(line);
    if (stdout) messages.set(stdout[1] ?? '', until(lines, at + 1, /^(---- .+ stdout ----|failures:|test result:.*)$/));
    if (/^error(\[E\d+\])?: /.test(line) && !/^error: test failed/.test(line)) errors.push(until(lines, at, /^$/));
  }
  if (!ran && errors.length === 0) throw new Error('no output of cargo test');
  return { cases: cases.map((one) => ({ ...one, message: one.state === 'failed' ? (messages.get(one.name) ?? '') : null })), errors };
}

function until(lines: readonly string[], from: number, end: RegExp): string {
  const length = lines.slice(from).findIndex((line, at) => at > 0 && end.test(line));
  return lines.slice(from, length < 0 ? undefined : from + length).join('\n').trim();
}
