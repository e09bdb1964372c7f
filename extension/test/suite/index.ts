// The entry that VS Code calls inside the extension host: runs the test files that stand beside it with mocha.
import { appendFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { format } from 'node:util';
import Mocha from 'mocha';
import { TEST_ENV, type SuiteResult } from '../driver/commands.ts';
import { user } from './user.ts';

export async function run(): Promise<void> {
  const output = process.env[TEST_ENV.output];
  // The extension host's own console goes to the workbench's log, mixed with the editor's.
  if (output !== undefined) Mocha.reporters.Base.consoleLog = (...parts: unknown[]) => appendFileSync(output, `${format(...parts)}\n`);
  const mocha = new Mocha({ ui: 'tdd', color: false, timeout: 60_000, reporter: 'spec', bail: true });
  for (const file of readdirSync(__dirname).sort()) {
    if (file.endsWith('.test.js')) mocha.addFile(path.join(__dirname, file));
  }
  const pictures: Promise<unknown>[] = [];
  const result = await new Promise<SuiteResult>((resolve) => {
    const runner = mocha.run((failures) => {
      const { passes = 0, pending = 0, duration = 0 } = runner.stats ?? {};
      resolve({ passes, failures, pending, durationMs: duration });
    });
    // What the window showed says more than the assertion.
    runner.on('fail', () => {
      if (output !== undefined) pictures.push(user.screenshot(`${output}.failed.png`).catch(() => undefined));
    });
  });
  await Promise.all(pictures);
  writeResult(result);
  if (result.failures > 0) throw new Error(`${result.failures} tests failed`);
}

/** Renamed into place, so that the runner never reads half of it. */
function writeResult(result: SuiteResult): void {
  const file = process.env[TEST_ENV.result];
  if (file === undefined) return;
  writeFileSync(`${file}.partial`, JSON.stringify(result));
  renameSync(`${file}.partial`, file);
}
