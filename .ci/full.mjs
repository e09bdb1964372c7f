// npm run test:full: every suite with the full counts of the issues (HINDSIGHT_FULL=1), one suite at
// a time. Resumable: a suite that passed at this commit is not run again. The result, with the
// commit's hash, is .cache/full/<hash>.json; a dirty tree is named `<hash>+changes` and never resumed.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';

const git = (...args) => execFileSync('git', args, { encoding: 'utf8' }).trim();
const hash = git('rev-parse', 'HEAD');
const dirty = git('status', '--porcelain') !== '';
const name = dirty ? `${hash}+changes` : hash;
mkdirSync('.cache/full', { recursive: true });
const file = `.cache/full/${name}.json`;
const result = !dirty && existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { commit: name, suites: {} };

const suites = git('ls-files', '*.test.ts').split('\n').filter((path) => !path.startsWith('extension/test/'));
const editors = ['newest', 'oldest'].map((editor) => [`extension/test (${editor} editor)`, ['npm', 'run', 'test:editor'], { HINDSIGHT_EDITOR: editor }]);
const commands = [...suites.map((path) => [path, ['npx', 'vitest', 'run', path], {}]), ...editors];
for (const [index, [suite, [command, ...args], settings]] of commands.entries()) {
  if (result.suites[suite]?.passed) continue;
  console.log(`[${index + 1}/${commands.length}] ${suite}`);
  const started = Date.now();
  const run = spawnSync(command, args, { stdio: 'inherit', env: { ...process.env, ...settings, HINDSIGHT_FULL: '1' } });
  result.suites[suite] = { passed: run.status === 0, seconds: Math.round((Date.now() - started) / 1000) };
  writeFileSync(file, JSON.stringify(result, null, 1));
}
const failed = Object.entries(result.suites).filter(([, suite]) => !suite.passed);
for (const [suite] of failed) console.error(`failed: ${suite}`);
console.log(`${Object.keys(result.suites).length - failed.length} passed, ${failed.length} failed`);
console.log(`result: ${file}`);
process.exit(failed.length === 0 ? 0 : 1);
