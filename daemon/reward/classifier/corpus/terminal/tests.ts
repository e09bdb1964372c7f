/** Test runners on suites that pass, fail, break while loading, or hold nothing. */
import { camel, names, pascal, project, snake, testTitle, thing, type Scenario, type Tool } from './scenario.ts';
import type { Random } from '../random.ts';

type Shape = 'pass' | 'fail' | 'broken' | 'skipped';
const shape = (random: Random): Shape => random.pick(['pass', 'pass', 'pass', 'fail', 'fail', 'fail', 'broken', 'skipped']);
const ends = (kind: Shape): Pick<Scenario, 'label' | 'exit'> => (kind === 'pass' || kind === 'skipped' ? { label: 'worked', exit: 'zero' } : { label: 'failed', exit: 'nonzero' });

/** Bodies of `count` JavaScript tests; under 'fail' at least one is false. */
function javascriptTests(random: Random, kind: Shape, assertion: (good: boolean) => string): string {
  const titles = names(random, random.int(2, 7), testTitle);
  const bad = kind === 'fail' ? random.int(0, titles.length - 1) : -1;
  const body = titles.map((title, i) => `  ${kind === 'skipped' && i === 0 ? 'it.skip' : 'it'}('${title}', () => {\n    ${assertion(i !== bad && !(kind === 'fail' && random.chance(0.2)))}\n  });`);
  return `describe('${random.chance(0.5) ? pascal(random) : camel(random)}', () => {\n${body.join('\n')}\n});\n`;
}

const nodeAssertion = (random: Random) => (good: boolean): string =>
  good ? random.pick(['assert.equal(1 + 1, 2);', "assert.deepEqual([1, 2], [1, 2]);", "assert.throws(() => { throw new Error('x'); });"]) : random.pick(['assert.equal(1 + 1, 3);', "assert.deepEqual({ a: 1 }, { a: 2 });", "assert.throws(() => {});", `throw new TypeError('${thing(random)} is not a function');`, 'assert.ok(false);']);

const breakage = (random: Random): string => random.pick([`import '${'./'}${thing(random)}-missing.mjs';\n`, 'const = 3;\n', `${camel(random)}();\n`, `throw new Error('cannot read ${thing(random)}');\n`]);

function nodeTest(random: Random): Scenario {
  const kind = shape(random);
  const head = "import { describe, it } from 'node:test';\nimport assert from 'node:assert/strict';\n";
  const source = head + (kind === 'broken' ? breakage(random) : '') + javascriptTests(random, kind, nodeAssertion(random));
  return { files: { 'test/index.test.mjs': source }, command: `node --test${random.pick(['', ' --test-reporter=spec', ' --test-reporter=tap', ' test/index.test.mjs'])}`, ...ends(kind) };
}

function mocha(random: Random): Scenario {
  const kind = shape(random);
  const head = "import assert from 'node:assert/strict';\n";
  const source = head + (kind === 'broken' ? breakage(random) : '') + javascriptTests(random, kind, nodeAssertion(random));
  return { files: { 'test/index.spec.mjs': source }, command: `npx mocha ${random.pick(['', '--color ', '--reporter dot ', '--reporter tap '])}test/index.spec.mjs`, ...ends(kind) };
}

function vitest(random: Random): Scenario {
  const kind = shape(random);
  const assertion = (good: boolean): string => (good ? random.pick(['expect(1 + 1).toBe(2);', 'expect([1]).toEqual([1]);', "expect(() => { throw new Error('no'); }).toThrow();"]) : random.pick(['expect(1 + 1).toBe(3);', 'expect({ a: 1 }).toEqual({ a: 2 });', 'expect(() => {}).toThrow();']));
  const head = "import { describe, expect, it } from 'vitest';\n";
  const source = head + (kind === 'broken' ? breakage(random) : '') + javascriptTests(random, kind, assertion);
  return { files: { [`src/${thing(random)}.test.ts`]: source, 'vitest.config.mjs': 'export default { test: { pool: "threads" } };\n' }, command: 'npx vitest run', ...ends(kind) };
}

function pythonTests(random: Random, kind: Shape): string {
  const cases = names(random, random.int(2, 7), snake);
  const bad = kind === 'fail' ? random.int(0, cases.length - 1) : -1;
  const wrong = (): string => random.pick(['self.assertEqual(1 + 1, 3)', 'self.assertTrue(False)', `{}['${thing(random)}']`, 'self.assertIn(4, [1, 2, 3])', "int('x')", 'self.assertEqual([1, 2], [2, 1])']);
  const right = (): string => random.pick(['self.assertEqual(1 + 1, 2)', 'self.assertTrue(True)', "self.assertRaises(ValueError, int, 'x')"]);
  const body = cases.map((name, i) => `${kind === 'skipped' && i === 0 ? "    @unittest.skip('later')\n" : ''}    def test_${name}(self):\n        ${i === bad || (kind === 'fail' && random.chance(0.2)) ? wrong() : right()}\n`);
  const head = kind === 'broken' ? random.pick([`import ${snake(random)}\n`, `from os import ${snake(random)}\n`, 'def broken(:\n']) : '';
  return `${head}import unittest\n\n\nclass Test${pascal(random)}(unittest.TestCase):\n${body.join('\n')}\n\nif __name__ == '__main__':\n    unittest.main()\n`;
}

function unittest(random: Random): Scenario {
  const kind = shape(random);
  const file = `test_${thing(random)}`;
  return { files: { [`${file}.py`]: pythonTests(random, kind) }, command: random.pick([`python3 -m unittest ${file}`, 'python3 -m unittest discover -v', `python3 -m unittest -v ${file}`, 'python3 -m unittest']), ...ends(kind) };
}

function pytest(random: Random): Scenario {
  if (random.chance(0.1)) return { files: { 'app.py': 'x = 1\n' }, command: 'pytest', label: 'neutral', exit: 'nonzero' };
  const kind = shape(random);
  return { files: { [`tests/test_${thing(random)}.py`]: pythonTests(random, kind) }, command: `${random.pick(['pytest', 'python3 -m pytest'])}${random.pick([' -q', ' -v', '', ' --tb=short', ' -x', ' --color=yes'])}`, ...ends(kind) };
}

function cargoTest(random: Random): Scenario {
  const kind = random.pick(['pass', 'pass', 'fail', 'fail', 'broken'] as const);
  const cases = names(random, random.int(2, 5), snake);
  const bad = kind === 'fail' ? random.int(0, cases.length - 1) : -1;
  const tests = cases.map((name, i) => `    #[test]\n    fn ${name}_works() {\n        ${i === bad ? random.pick(['assert_eq!(super::twice(2), 5);', 'panic!("not implemented");', 'assert!(super::twice(1) > 9, "too small");']) : 'assert_eq!(super::twice(2), 4);'}\n    }\n`);
  const body = `pub fn twice(x: i32) -> i32 {\n    ${kind === 'broken' ? random.pick(['x * two', '"x"', 'x.double()']) : 'x * 2'}\n}\n\n#[cfg(test)]\nmod tests {\n${tests.join('\n')}}\n`;
  const command = random.pick(['cargo test --offline', 'cargo test --offline', 'cargo test --offline --lib']);
  return { files: { 'Cargo.toml': `[package]\nname = "${project(random)}"\nversion = "0.${random.int(1, 9)}.0"\nedition = "2021"\n`, 'src/lib.rs': body }, command, ...ends(kind) };
}

function cargoBuild(random: Random): Scenario {
  const kind = random.pick(['pass', 'fail', 'warn', 'deps'] as const);
  const manifest = `[package]\nname = "${project(random)}"\nversion = "0.1.${random.int(0, 9)}"\nedition = "2021"\n${kind === 'deps' ? `\n[dependencies]\n${thing(random)}-missing-kit = "1"\n` : ''}`;
  const main = `fn main() {\n${kind === 'warn' ? '    let spare = 1;\n' : ''}    println!("${thing(random)}");\n${kind === 'fail' ? `    let n: i32 = "${thing(random)}";\n` : ''}}\n`;
  const label = kind === 'pass' ? 'worked' : kind === 'warn' ? 'neutral' : 'failed';
  return { files: { 'Cargo.toml': manifest, 'src/main.rs': main }, command: `cargo ${random.pick(['build', 'check'])} --offline`, label, exit: label === 'failed' ? 'nonzero' : 'zero' };
}

function ctest(random: Random): Scenario {
  const cases = names(random, random.int(2, 5), snake);
  const bad = random.chance(0.5) ? random.pick(cases) : '';
  const list = `cmake_minimum_required(VERSION 3.10)\nproject(${project(random)} NONE)\nenable_testing()\n${cases.map((name) => `add_test(NAME ${name} COMMAND ${name === bad ? 'false' : 'true'})`).join('\n')}\n`;
  return { files: { 'CMakeLists.txt': list }, setup: ['cmake -S . -B build'], command: `ctest --test-dir build${random.pick(['', ' --output-on-failure', ' -V'])}`, label: bad === '' ? 'worked' : 'failed', exit: bad === '' ? 'zero' : 'nonzero' };
}

export const TEST_RUNNERS: Tool[] = [
  { family: 'node', runs: 70, make: nodeTest },
  { family: 'mocha', runs: 60, make: mocha },
  { family: 'vitest', runs: 40, make: vitest },
  { family: 'python', runs: 90, make: unittest },
  { family: 'pytest', runs: 70, make: pytest },
  { family: 'cargo', runs: 40, make: cargoTest },
  { family: 'cargo', runs: 24, make: cargoBuild },
  { family: 'cmake', runs: 40, make: ctest },
];
