import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IgnoredFiles } from './ignored.ts';

let folder: string;
let now = 0;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'hindsight-ignored-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const write = (name: string, text = ''): void => {
  mkdirSync(dirname(join(folder, name)), { recursive: true });
  writeFileSync(join(folder, name), text);
};
const uri = (name: string): string => pathToFileURL(join(folder, name)).href;
const rules = (globs?: string[]): IgnoredFiles => new IgnoredFiles(pathToFileURL(folder).href, globs, () => now);

describe('ignored files', () => {
  it('are those of git, rules in folders and exceptions to them included', () => {
    execFileSync('git', ['init', '-q'], { cwd: folder });
    write('.gitignore', 'dist/\n*.log\n!keep.log\n/only-here.ts\nlib/*\n!lib/mine/\n');
    write('packages/a/.gitignore', '/generated\n!loud.log\nsecret*\n!secret-not.ts\n');
    write('.git/info/exclude', 'mine-alone.ts\n');
    const files = [
      'a.ts', 'dist/a.js', 'src/dist/b.js', 'x.log', 'deep/x.log', 'keep.log', 'dist/keep.log', 'only-here.ts', 'src/only-here.ts', 'lib/a.ts', 'lib/mine/a.ts',
      'packages/a/generated/x.ts', 'packages/a/src/generated/x.ts', 'packages/a/loud.log', 'packages/b/loud.log', 'packages/a/secret-1.ts', 'packages/a/secret-not.ts', 'mine-alone.ts', 'sp ace/ü.log',
    ];
    for (const file of files) write(file);
    const byGit = files.filter((file) => {
      try {
        execFileSync('git', ['check-ignore', '-q', '--no-index', file], { cwd: folder });
        return true;
      } catch {
        return false;
      }
    });
    expect(byGit.length).toBeGreaterThan(8);
    expect(files.filter((file) => rules().ignores(uri(file)))).toEqual(byGit);
  });

  it('are those of the user and of .hindsightignore, whatever git says', () => {
    write('.gitignore', '!.env\n');
    write('.hindsightignore', 'customers/\n');
    expect(['.env', 'app/.env.local', 'id_rsa', 'tls/server.key', 'customers/list.ts', 'src/customers/a.ts'].filter((file) => !rules().ignores(uri(file)))).toEqual([]);
    expect(rules(['*.sql']).ignores(uri('db/dump.sql'))).toBe(true);
    expect(rules(['*.sql']).ignores(uri('.env'))).toBe(false);
    expect(rules().ignores(uri('src/environment.ts'))).toBe(false);
  });

  it('change with their rules, within seconds', () => {
    const ignored = rules();
    expect(ignored.ignores(uri('a.tmp'))).toBe(false);
    write('.gitignore', '*.tmp\n');
    now += 6000;
    expect(ignored.ignores(uri('a.tmp'))).toBe(true);
    ignored.setGlobs(['b.ts']);
    expect(ignored.ignores(uri('b.ts'))).toBe(true);
  });

  it('are none outside the workspace, nor without one on disk', () => {
    expect(rules().ignores(uri('../elsewhere/.env'))).toBe(false);
    expect(new IgnoredFiles('file:///nowhere').ignores('file:///nowhere/src/a.ts')).toBe(false);
    expect(new IgnoredFiles('untitled:x').ignores('untitled:y')).toBe(false);
  });
});
