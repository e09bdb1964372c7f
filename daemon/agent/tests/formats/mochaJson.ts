/** The report of mocha's `json` reporter. */
import { z } from 'zod';
import { plainText } from '../../terminal/plainText.ts';
import type { TestCase, TestReport } from '../../../../protocol/tests.ts';

const test = z.object({ fullTitle: z.string(), file: z.string().nullish(), err: z.object({ message: z.string().optional(), stack: z.string().optional() }).loose() });
const report = z.object({ tests: z.array(test), pending: z.array(test), failures: z.array(test), passes: z.array(test) });

/** @throws on anything else */
export function parseMochaJson(text: string): TestReport {
  const { pending, failures, passes } = report.parse(JSON.parse(text));
  const as = (state: TestCase['state']) => (one: z.output<typeof test>): TestCase => ({
    name: one.fullTitle,
    file: one.file ?? null,
    state,
    message: state === 'failed' ? plainText(one.err.stack ?? one.err.message ?? '') : null,
  });
  // A failing hook is among the failures under a title of its own.
  return { cases: [...passes.map(as('passed')), ...failures.map(as('failed')), ...pending.map(as('skipped'))], errors: [] };
}
