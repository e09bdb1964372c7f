/** `go test -json` (cmd/test2json): one event a line; other lines are the build's. */
import { z } from 'zod';
import type { TestCase, TestReport } from '../../../../protocol/tests.ts';

const event = z.object({ Action: z.string(), Package: z.string().optional(), ImportPath: z.string().optional(), Test: z.string().optional(), Output: z.string().optional() });

const STATES: Readonly<Record<string, TestCase['state']>> = { pass: 'passed', fail: 'failed', skip: 'skipped' };

/** @throws where no line is an event */
export function parseGoJson(text: string): TestReport {
  const cases = new Map<string, TestCase>();
  const output = new Map<string, string>();
  const failedPackages = new Set<string>();
  let events = 0;
  for (const line of text.split('\n')) {
    const parsed = event.safeParse(jsonOf(line));
    if (!parsed.success) continue;
    events += 1;
    const { Action, Package = parsed.data.ImportPath ?? '', Test, Output } = parsed.data;
    const key = `${Package} ${Test ?? ''}`;
    if (Action === 'output' || Action === 'build-output') output.set(key, (output.get(key) ?? '') + (Output ?? ''));
    const state = STATES[Action];
    if (state === undefined && Action !== 'build-fail') continue;
    if (Test === undefined) {
      if (state === 'failed' || Action === 'build-fail') failedPackages.add(Package);
    } else cases.set(key, { name: `${Package} ${Test}`, file: null, state: state ?? 'failed', message: state === 'failed' ? (output.get(key) ?? '').trim() : null });
  }
  if (events === 0) throw new Error('no events of go test -json');
  const all = [...cases.values()];
  // A parent of subtests stands for them.
  const leaves = all.filter((one) => !all.some((other) => other.name.startsWith(`${one.name}/`)));
  const errors = [...failedPackages].filter((name) => !leaves.some((one) => one.state === 'failed' && one.name.startsWith(`${name} `))).map((name) => `${name}: ${(output.get(`${name} `) ?? 'it does not build').trim()}`);
  return { cases: leaves, errors };
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
