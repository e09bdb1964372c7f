/** Which runner a folder's tests need, and the command that makes it write a report. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { TestReport } from '../../../protocol/tests.ts';
import { parseCargo } from './formats/cargo.ts';
import { parseGoJson } from './formats/goJson.ts';
import { parseJestJson } from './formats/jestJson.ts';
import { parseJUnit } from './formats/junit.ts';
import { parseMochaJson } from './formats/mochaJson.ts';
import { parseTap } from './formats/tap.ts';

export type RunnerName = 'vitest' | 'jest' | 'mocha' | 'node' | 'pytest' | 'go' | 'cargo' | 'script';

export interface Runner {
  /** @param files quoted for a shell; '' = all tests
   *  @param report quoted, a file that does not exist */
  command(files: string, report: string): string;
  /** Where the report is found. */
  writes: 'report' | 'output';
  parse(text: string): TestReport;
}

const RUNNERS: Readonly<Record<RunnerName, Runner>> = {
  vitest: { command: (files, report) => words('npx vitest run', files, '--reporter=default --reporter=json', `--outputFile.json=${report}`), writes: 'report', parse: parseJestJson },
  jest: { command: (files, report) => words('npx jest', files, '--json', `--outputFile=${report}`), writes: 'report', parse: parseJestJson },
  mocha: { command: (files, report) => words('npx mocha', files, '--reporter=json', `--reporter-option=output=${report}`), writes: 'report', parse: parseMochaJson },
  node: { command: (files, report) => words('node --test --test-reporter=spec --test-reporter-destination=stdout --test-reporter=tap', `--test-reporter-destination=${report}`, files), writes: 'report', parse: parseTap },
  pytest: { command: (files, report) => words('python3 -m pytest -q', files, `--junit-xml=${report}`), writes: 'report', parse: parseJUnit },
  go: { command: (files) => words('go test -json', files === '' ? './...' : files), writes: 'output', parse: parseGoJson },
  cargo: { command: (files) => words('cargo test --no-fail-fast', files === '' ? '' : `-- ${files}`), writes: 'output', parse: parseCargo },
  // The project's own script, whose output may be any of the formats.
  script: { command: (files) => words('npm test', files === '' ? '' : `-- ${files}`), writes: 'output', parse: recogniseReport },
};

export function runnerOf(name: RunnerName): Runner {
  return RUNNERS[name];
}

/** @returns null where nothing says how the folder is tested */
export function detectRunner(folder: string): RunnerName | null {
  const has = (file: string): boolean => existsSync(path.join(folder, file));
  const manifest = read(folder, 'package.json');
  if (manifest !== '') {
    const found = ofManifest(manifest);
    if (found !== null) return found;
  }
  if (has('go.mod')) return 'go';
  if (has('Cargo.toml')) return 'cargo';
  if (has('pytest.ini') || has('conftest.py') || has('tox.ini') || /\bpytest\b/.test(read(folder, 'pyproject.toml') + read(folder, 'setup.cfg') + read(folder, 'requirements.txt'))) return 'pytest';
  if (has('pyproject.toml') || has('setup.py')) return 'pytest';
  return null;
}

/** The first of the formats that a runner's output on a terminal turns out to be.
 *  @throws where it is none */
export function recogniseReport(text: string): TestReport {
  for (const parse of [parseJestJson, parseMochaJson, parseJUnit, parseGoJson, parseCargo, parseTap]) {
    try {
      return parse(text.trim());
    } catch {
      continue;
    }
  }
  throw new Error('no test report in this output');
}

/** One word of a POSIX shell, whatever is in it. */
export function quoted(word: string): string {
  return /^[\w./:@%+=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

function ofManifest(text: string): RunnerName | null {
  let manifest: { scripts?: Record<string, unknown>; dependencies?: object; devDependencies?: object };
  try {
    manifest = JSON.parse(text) as typeof manifest;
  } catch {
    return null;
  }
  const script = String(manifest.scripts?.['test'] ?? '');
  const packages = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies });
  // The script says which of several installed runners is meant; a chain of steps is more than one runner.
  const named = (['vitest', 'jest', 'mocha'] as const).filter((name) => new RegExp(`\\b${name}\\b`).test(script));
  if (named.length === 1 && named[0] !== undefined) return named[0];
  if (/\bnode\b.*--test\b/.test(script)) return 'node';
  const installed = (['vitest', 'jest', 'mocha'] as const).find((name) => packages.includes(name));
  if (installed !== undefined) return installed;
  return script === '' || /no test specified/.test(script) ? null : 'script';
}

function read(folder: string, file: string): string {
  try {
    return readFileSync(path.join(folder, file), 'utf8');
  } catch {
    return '';
  }
}

function words(...parts: string[]): string {
  return parts.filter((part) => part !== '').join(' ');
}
