/** What a test run said, whichever runner it was: the strongest signal there is. */
import type { TestCase, TestReport } from '../../../protocol/tests.ts';

export interface TestCounts {
  passed: number;
  failed: number;
  skipped: number;
  errors: number;
}

export function countsOf(report: TestReport): TestCounts {
  const count = (state: TestCase['state']): number => report.cases.filter((one) => one.state === state).length;
  return { passed: count('passed'), failed: count('failed'), skipped: count('skipped'), errors: report.errors.length };
}

/** Something ran, and nothing of it failed. */
export function isGreen(report: TestReport): boolean {
  const { passed, failed, errors } = countsOf(report);
  return passed > 0 && failed === 0 && errors === 0;
}

/** Tests whose state changed between two runs; a test that was not run before has no change. */
export function changesOf(before: TestReport, after: TestReport): { fixed: string[]; broken: string[] } {
  // Some runners name the file of a failure only.
  const named = new Map<string, TestCase[]>();
  for (const one of before.cases) named.set(one.name, [...(named.get(one.name) ?? []), one]);
  const was = (one: TestCase): TestCase['state'] | undefined => named.get(one.name)?.find((old) => old.file === null || one.file === null || old.file === one.file)?.state;
  const turned = (from: TestCase['state'], to: TestCase['state']): string[] => after.cases.filter((one) => one.state === to && was(one) === from).map((one) => one.name);
  return { fixed: turned('failed', 'passed'), broken: turned('passed', 'failed') };
}

const FAILURES_KEPT = 3;
const KEPT_CHARS = 400;

/** What the first of those that fail say, for the journal. */
export function failuresOf(report: TestReport): string[] {
  const failed = report.cases.filter(({ state }) => state === 'failed').map(({ name, message }) => `${name}: ${message ?? 'it fails'}`);
  return [...failed, ...report.errors].slice(0, FAILURES_KEPT).map((text) => text.slice(0, KEPT_CHARS));
}

const FAILURES_SHOWN = 12;
const MESSAGE_CHARS = 1200;

/** For a model to read: the counts, and what failed. */
export function describeReport(report: TestReport): string {
  const { passed, failed, skipped, errors } = countsOf(report);
  const counts = [`${passed} passed`, `${failed} failed`, ...(skipped > 0 ? [`${skipped} skipped`] : []), ...(errors > 0 ? [`${errors} errors outside tests`] : [])].join(', ');
  const failures = [
    ...report.errors.map((error) => `Error:\n${short(error)}`),
    ...report.cases.filter((one) => one.state === 'failed').map((one) => `FAILED ${one.name}${one.file === null ? '' : ` (${one.file})`}\n${short(one.message ?? '')}`),
  ];
  const more = failures.length > FAILURES_SHOWN ? [`… and ${failures.length - FAILURES_SHOWN} more`] : [];
  return [counts, ...failures.slice(0, FAILURES_SHOWN), ...more].join('\n\n').trim();
}

function short(message: string): string {
  return message.length <= MESSAGE_CHARS ? message : `${message.slice(0, MESSAGE_CHARS)} …`;
}
