// What real runners wrote (jest 30, pytest 9, cargo 1.9x, go's test2json format), and the runners that
// are installed with this project, run for real.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runInTerminal } from '../terminal/run.ts';
import { parseCargo } from './formats/cargo.ts';
import { parseGoJson } from './formats/goJson.ts';
import { parseJestJson } from './formats/jestJson.ts';
import { parseJUnit } from './formats/junit.ts';
import { parseTap } from './formats/tap.ts';
import { changesOf, countsOf, describeReport, isGreen } from './report.ts';
import type { TestReport } from '../../../protocol/tests.ts';
import { runTests } from './run.ts';
import { detectRunner, quoted, recogniseReport } from './runners.ts';
import type { RunnerName } from './runners.ts';

const JEST = {
  testResults: [
    {
      name: '/p/a.test.js', status: 'failed', message: '● sums',
      assertionResults: [
        { fullName: 'sums adds', status: 'passed', failureMessages: [] },
        { fullName: 'sums is wrong', status: 'failed', failureMessages: ['Error: \u001b[2mexpect(\u001b[22mreceived).toBe(expected)\n\nExpected: 3\nReceived: 2'] },
        { fullName: 'sums later', status: 'pending', failureMessages: [] },
      ],
    },
    { name: '/p/b.test.js', status: 'failed', message: "Cannot find module './nothing' from 'b.test.js'", assertionResults: [] },
  ],
};

const PYTEST = `<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="0" failures="1" skipped="1" tests="3">
<testcase classname="test_a" name="test_ok" time="0.001" /><testcase classname="test_a" name="test_bad" time="0.001"><failure message="AssertionError: sum&#10;assert (1 + 1) == 3">&gt;   def test_bad(): assert 1 + 1 == 3, "sum"
E   AssertionError: sum</failure></testcase><testcase classname="test_a" name="test_later"><skipped type="pytest.skip" message="later">test_a.py:4: later</skipped></testcase></testsuite></testsuites>`;

const CARGO = `   Compiling sums v0.1.0 (/p)
    Finished \`test\` profile [unoptimized + debuginfo] target(s) in 1.62s
     Running unittests src/lib.rs (target/debug/deps/sums-ecd90ae6b2807d0f)

running 3 tests
test tests::slow ... ignored
test tests::zero ... ok
test tests::two ... FAILED

failures:

---- tests::two stdout ----

thread 'tests::two' (21072) panicked at src/lib.rs:6:24:
assertion \`left == right\` failed: one and one
  left: 0
 right: 2


failures:
    tests::two

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.28s

error: test failed, to rerun pass \`--lib\`
`;

const GO = [
  { Action: 'run', Package: 'p/sums', Test: 'TestAdd' },
  { Action: 'run', Package: 'p/sums', Test: 'TestAdd/two' },
  { Action: 'output', Package: 'p/sums', Test: 'TestAdd/two', Output: '    sums_test.go:7: got 0, want 2\n' },
  { Action: 'fail', Package: 'p/sums', Test: 'TestAdd/two' },
  { Action: 'run', Package: 'p/sums', Test: 'TestAdd/zero' },
  { Action: 'pass', Package: 'p/sums', Test: 'TestAdd/zero' },
  { Action: 'fail', Package: 'p/sums', Test: 'TestAdd' },
  { Action: 'skip', Package: 'p/sums', Test: 'TestSlow' },
  { Action: 'fail', Package: 'p/sums' },
  { Action: 'build-output', ImportPath: 'p/broken', Output: '# p/broken\n./x.go:3:1: syntax error\n' },
  { Action: 'build-fail', ImportPath: 'p/broken' },
].map((one) => JSON.stringify(one)).join('\n');

const TAP = `TAP version 14
1..4
ok 1 - reads
not ok 2 - writes
  ---
  message: "disk is full"
  ...
ok 3 - dreams # SKIP no bed
not ok 4 - flies # TODO wings
`;

const told = (report: TestReport): unknown => [countsOf(report), report.cases.filter((one) => one.state === 'failed').map((one) => one.name)];

describe('reports', () => {
  it('jest and vitest: a failing test, and a file that does not load', () => {
    const report = parseJestJson(JSON.stringify(JEST));
    expect(told(report)).toEqual([{ passed: 1, failed: 1, skipped: 1, errors: 1 }, ['sums is wrong']]);
    expect(describeReport(report)).toContain('Error: expect(received).toBe(expected)');
    expect(describeReport(report)).toContain("Cannot find module './nothing'");
  });

  it('JUnit XML', () => {
    const report = parseJUnit(PYTEST);
    expect(told(report)).toEqual([{ passed: 1, failed: 1, skipped: 1, errors: 0 }, ['test_a test_bad']]);
    expect(report.cases[1]?.message).toContain('AssertionError: sum\nassert (1 + 1) == 3');
    expect(() => parseJUnit('<testsuites><testsuite>')).toThrow();
    expect(() => parseJUnit('<html></html>')).toThrow();
  });

  it('cargo', () => {
    const report = parseCargo(CARGO);
    expect(told(report)).toEqual([{ passed: 1, failed: 1, skipped: 1, errors: 0 }, ['tests::two']]);
    expect(report.cases[2]?.message).toContain('left: 0');
    expect(parseCargo('error[E0425]: cannot find value `x` in this scope\n --> src/lib.rs:1:1\n\nerror: could not compile `sums`\n').errors).toHaveLength(2);
  });

  it('go test -json: subtests count, their parents do not, and a package that does not build is an error', () => {
    const report = parseGoJson(GO);
    expect(told(report)).toEqual([{ passed: 1, failed: 1, skipped: 1, errors: 1 }, ['p/sums TestAdd/two']]);
    expect(report.cases[0]?.message).toContain('got 0, want 2');
    expect(report.errors[0]).toContain('syntax error');
  });

  it('TAP with directives and diagnostics', () => {
    const report = parseTap(TAP);
    expect(told(report)).toEqual([{ passed: 1, failed: 1, skipped: 2, errors: 0 }, ['writes']]);
    expect(report.cases[1]?.message).toBe('message: "disk is full"');
  });

  it('any of them is recognised by itself, and nothing else is', () => {
    for (const text of [JSON.stringify(JEST), PYTEST, CARGO, GO, TAP]) expect(countsOf(recogniseReport(text)).passed).toBe(1);
    for (const text of ['', 'all good', '{}', '[1,2]', '<a/>']) expect(() => recogniseReport(text)).toThrow(/no test report/);
  });

  it('green means that something passed and nothing failed; changes are by name and file', () => {
    const before = parseTap('ok 1 - a\nnot ok 2 - b\nok 3 - c\n');
    const after = parseTap('not ok 1 - a\nok 2 - b\nok 3 - c\nok 4 - d\n');
    expect(changesOf(before, after)).toEqual({ fixed: ['b'], broken: ['a'] });
    expect(isGreen(parseTap('ok 1 - a\n'))).toBe(true);
    expect(isGreen(parseTap('1..0\n'))).toBe(false);
    expect(isGreen(after)).toBe(false);
  });
});

describe('runners that are here, on real files', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'hindsight-runners-'));
    symlinkSync(path.resolve('node_modules'), path.join(folder, 'node_modules'));
    writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ type: 'module', private: true }));
    mkdirSync(path.join(folder, "it's here"));
    const body = `describe('sums', () => { it('adds', () => assert.equal(1 + 1, 2)); it('is wrong', () => assert.equal(1 + 1, 3)); it.skip('later', () => {}); });\n`;
    writeFileSync(path.join(folder, "it's here/node.mjs"), `import { describe, it } from 'node:test';\nimport assert from 'node:assert/strict';\n${body}`);
    writeFileSync(path.join(folder, "it's here/mocha.mjs"), `import assert from 'node:assert/strict';\n${body}`);
    writeFileSync(path.join(folder, "it's here/vitest.test.mjs"), `import { describe, it } from 'vitest';\nimport assert from 'node:assert/strict';\n${body}`);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each<[RunnerName, string]>([['node', 'node.mjs'], ['mocha', 'mocha.mjs'], ['vitest', 'vitest.test.mjs']])('%s', async (runner, file) => {
    const run = await runTests(folder, [`it's here/${file}`], (command, cap) => runInTerminal({ command, cap, cwd: folder }).outcome, runner);
    expect(run?.outcome.exitCode).toBe(1);
    expect(run?.report === null || run === null ? run?.outcome.output : told(run.report)).toEqual([{ passed: 1, failed: 1, skipped: 1, errors: 0 }, ['sums is wrong']]);
  });

  it('is told from what the folder says of itself', () => {
    const found = (files: Record<string, string>): RunnerName | null => {
      const place = mkdtempSync(path.join(folder, 'detect-'));
      for (const [name, text] of Object.entries(files)) writeFileSync(path.join(place, name), text);
      return detectRunner(place);
    };
    const manifest = (parts: object): Record<string, string> => ({ 'package.json': JSON.stringify(parts) });
    expect(found(manifest({ scripts: { test: 'vitest run' }, devDependencies: { mocha: '1', vitest: '3' } }))).toBe('vitest');
    expect(found(manifest({ scripts: { test: 'node --import tsx --test' } }))).toBe('node');
    expect(found(manifest({ devDependencies: { jest: '30' } }))).toBe('jest');
    expect(found(manifest({ scripts: { test: 'make check' } }))).toBe('script');
    expect(found(manifest({ scripts: { test: 'echo "Error: no test specified" && exit 1' } }))).toBeNull();
    expect(found({ 'go.mod': 'module p' })).toBe('go');
    expect(found({ 'Cargo.toml': '' })).toBe('cargo');
    expect(found({ 'pyproject.toml': '[tool.pytest.ini_options]' })).toBe('pytest');
    expect(found({ 'README.md': '' })).toBeNull();
  });

  it('a file’s name cannot become a command', async () => {
    const name = `a'; touch "$HOME/pwned" #.mjs`;
    const { output } = await runInTerminal({ command: `printf '%s' ${quoted(name)}`, cwd: folder }).outcome;
    expect(output).toBe(name);
  });
});
