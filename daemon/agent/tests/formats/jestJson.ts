/** The JSON report of jest (`--json`), which vitest's `--reporter=json` follows. */
import { z } from 'zod';
import { plainText } from '../../terminal/plainText.ts';
import type { TestCase, TestReport } from '../../../../protocol/tests.ts';

const report = z.object({
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      message: z.string().nullish(),
      assertionResults: z.array(z.object({ fullName: z.string(), status: z.string(), failureMessages: z.array(z.string()).nullish() })),
    }),
  ),
});

const STATES: Readonly<Record<string, TestCase['state']>> = { passed: 'passed', failed: 'failed' };

/** @throws on anything else */
export function parseJestJson(text: string): TestReport {
  const { testResults } = report.parse(JSON.parse(text));
  const cases = testResults.flatMap((file) =>
    file.assertionResults.map((one): TestCase => {
      const state = STATES[one.status] ?? 'skipped';
      return { name: one.fullName.trim(), file: file.name, state, message: state === 'failed' ? plainText((one.failureMessages ?? []).join('\n')) : null };
    }),
  );
  // A file that fails without a failing test did not load, or fell over its own hooks.
  const errors = testResults
    .filter((file) => file.status === 'failed' && !file.assertionResults.some((one) => one.status === 'failed'))
    .map((file) => `${file.name}: ${plainText(file.message ?? '')}`.trim());
  return { cases, errors };
}
