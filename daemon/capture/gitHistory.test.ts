import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { GitHistory } from './gitHistory.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hindsight-history-'));
  git('init', '--quiet');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function git(...args: string[]): string {
  return execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', ...args], { cwd: folder, encoding: 'utf8' }).trim();
}

function commit(text: string, ...options: string[]): string {
  writeFileSync(join(folder, 'a.txt'), `${text}\n`);
  git('add', '.');
  git('commit', '--quiet', '-m', text, ...options);
  return git('rev-parse', 'HEAD');
}

it('tells the commits since the last look, once', async () => {
  const history = new GitHistory(pathToFileURL(folder).href);
  const first = commit('one');
  expect(await history.news(null)).toEqual({ head: first, commits: [] });
  const second = commit('two');
  expect(await history.news(first)).toMatchObject({ head: second, commits: [{ subject: 'two' }] });
  expect(await history.news(second)).toBeNull();
});

it('goes on from where it is when git has thrown away the commit of the last look', async () => {
  const amended = commit('one');
  commit('another', '--amend');
  git('reflog', 'expire', '--expire=now', '--all');
  git('gc', '--quiet', '--prune=now');
  expect(() => git('cat-file', '-e', amended)).toThrow();
  const next = commit('two');
  const history = new GitHistory(pathToFileURL(folder).href);
  expect(await history.news(amended)).toEqual({ head: next, commits: [] });
  const last = commit('three');
  expect((await history.news(next))?.head).toBe(last);
});
