/** Runs of the workspace's tests, whoever started them, and what their runners reported. */
import { z } from 'zod';
import { request } from './message.ts';

export const testCase = z.object({
  /** Full name: suites and title. Unique enough to compare two runs. */
  name: z.string(),
  file: z.string().nullable(),
  state: z.enum(['passed', 'failed', 'skipped']),
  /** What the runner says of a failure. */
  message: z.string().nullable(),
});
export type TestCase = z.output<typeof testCase>;

export const testReport = z.object({
  cases: z.array(testCase),
  /** Failures that belong to no test: a file that does not load, code that does not compile. */
  errors: z.array(z.string()),
});
export type TestReport = z.output<typeof testReport>;

const exampleReport: TestReport = { cases: [{ name: 'cart adds the prices', file: 'total.test.js', state: 'failed', message: 'Expected 5, got -5' }], errors: [] };

export const testsRun = request(
  'hindsight/tests/run',
  'editor→daemon',
  'Runs the workspace’s tests (all, or those of some files) in a terminal of the daemon that is mirrored to the editor, because the user asked for it. `problem` says why there is no report.',
  z.object({ stream: z.string().min(1).max(128), files: z.array(z.string()) }),
  z.object({ command: z.string().nullable(), report: testReport.nullable(), durationMs: z.number(), problem: z.string().nullable() }),
  {
    params: { stream: 'r-1', files: [] },
    result: { command: 'node --test', report: exampleReport, durationMs: 420, problem: null },
  },
);

export const testsRead = request(
  'hindsight/tests/read',
  'editor→daemon',
  'Reads a report that another run has written: JUnit XML, TAP, or the JSON of vitest, jest, mocha or go. null = it is none of them.',
  z.object({ uri: z.string().min(1) }),
  z.object({ report: testReport.nullable() }),
  { params: { uri: 'file:///p/junit.xml' }, result: { report: exampleReport } },
);

export const testMessages = [testsRun, testsRead] as const;
