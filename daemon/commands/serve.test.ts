import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import Libsql from 'libsql';
import { SCHEMA_VERSION } from '../journal/migrations.ts';
import { HINDSIGHT, runHindsight } from '../../protocol/program.fixture.ts';
import type { Ended } from '../../protocol/program.fixture.ts';

let home: string;
const started: ChildProcess[] = [];

beforeEach(() => (home = mkdtempSync(join(tmpdir(), 'hindsight-cli-'))));
afterEach(async () => {
  for (const child of started.splice(0)) if (child.exitCode === null) child.kill('SIGKILL');
  rmSync(home, { recursive: true, force: true });
});

/** Runs a command to its end. */
const run = (...args: string[]): Promise<Ended> => runHindsight(home, ...args);

/** Starts `serve`. @returns what it printed first, and its end */
async function serve(...args: string[]): Promise<{ child: ChildProcess; said: string; ended: Promise<number | null> }> {
  const child = spawn(process.execPath, [HINDSIGHT, 'serve', '--when', 'always', '--idle', '30', ...args], { env: { ...process.env, HINDSIGHT_HOME: home }, stdio: ['ignore', 'pipe', 'pipe'] });
  started.push(child);
  const ended = new Promise<number | null>((done) => child.once('exit', (code) => done(code)));
  const said = await new Promise<string>((done) => {
    let text = '';
    const hear = (chunk: Buffer): void => {
      text += String(chunk);
      if (text.includes('\n')) done(text);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.once('exit', () => done(text));
  });
  return { child, said, ended };
}

/** Exactly one JSON object on stdout. */
const json = (out: string): Record<string, unknown> => JSON.parse(out) as Record<string, unknown>;

describe('serve, status, stop', () => {
  it('one daemon serves a home; the second finds it; stop ends it', async () => {
    const first = await serve();
    expect(first.said).toContain('listens on');
    const second = await serve();
    expect(second.said).toContain('already serves');
    expect(await second.ended).toBe(0);
    const status = await run('status', '--json', '-', '--workspace', 'file:///p');
    expect(status.code).toBe(0);
    expect(json(status.out)).toMatchObject({ workspace: 'file:///p', consent: 'unknown', adapter: null, daemon: { pid: first.child.pid } });
    const stop = await run('stop', '--json', '-');
    expect(json(stop.out)).toEqual({ stopped: true, pid: first.child.pid });
    expect(await first.ended).toBe(0);
    expect(existsSync(join(home, 'daemon.sock'))).toBe(false);
    expect(json((await run('stop', '--json', '-')).out)).toMatchObject({ stopped: false });
  });

  it('takes over what a killed daemon left', async () => {
    const first = await serve();
    first.child.kill('SIGKILL');
    await first.ended;
    expect(existsSync(join(home, 'daemon.sock'))).toBe(true);
    expect((await serve()).said).toContain('listens on');
  });

  it('ends by itself when idle and alone', async () => {
    const { ended } = await serve('--idle', '1');
    expect(await ended).toBe(0);
  });
});

describe('a model by its name', () => {
  it('serves what was imported, and says where there is none', async () => {
    expect((await run('model', 'import', resolve(import.meta.dirname, '../../testdata/models/seed'), '--name', 'mine')).code).toBe(0);
    const { child, said } = await serve('--model', 'mine');
    expect(said).toContain('listens on');
    let model: unknown = null;
    for (const deadline = Date.now() + 30_000; model === null && Date.now() < deadline; ) model = json((await run('status', '--json', '-', '--workspace', 'file:///p')).out)['model'] ?? null;
    expect(model).toMatchObject({ name: 'mine' });
    child.kill('SIGKILL');
    for (const command of [['serve'], ['replay', '--preference'], ['simulate', 'personal'], ['engine', '--listen', '0']]) {
      const none = await run(...command, '--model', 'nowhere');
      expect(none.code).toBe(1);
      expect(none.err).toMatch(/There is no model in nowhere/);
    }
  });
});

describe('bad input: one sentence, exit code 1', () => {
  const fails = (result: Ended, sentence: RegExp): void => {
    expect(result.code).toBe(1);
    expect(result.err).toMatch(sentence);
    expect(result.err.trim().split('\n')).toHaveLength(1);
  };

  it('no daemon', async () => fails(await run('status'), /^hindsight: No Hindsight daemon is running\. Start one with `hindsight serve`\.$/m));

  it('an option, a command or an argument that there is not', async () => {
    fails(await run('serve', '--threds', '2'), /^hindsight: unknown option '--threds' \(Did you mean --threads\?\)\. See --help\.$/m);
    fails(await run('serf'), /^hindsight: unknown command 'serf' .*\. See --help\.$/m);
    fails(await run('bench', 'gem'), /^hindsight: command-argument value 'gem' is invalid .*\. See --help\.$/m);
    expect((await run('--version')).out.trim()).toMatch(/^\d+\.\d+\.\d+$/);
  });

  it('an occupied socket', async () => {
    const stranger = createServer().listen(join(home, 'daemon.sock'));
    await new Promise((ready) => stranger.once('listening', ready));
    const { said, ended } = await serve();
    expect(await ended).toBe(1);
    expect(said).toMatch(/^hindsight: The socket .* is held by something that is not a Hindsight daemon\. Stop that program/);
    await new Promise((closed) => stranger.close(closed));
  });

  it('a journal of a newer version, and garbage', async () => {
    const database = new Libsql(join(home, 'journal.db'));
    database.exec('pragma user_version = 99');
    database.close();
    fails(await run('serve'), /newer Hindsight \(schema 99, this one knows \d+\)\. Update Hindsight/);
    fails(await run('journal', 'stats'), /schema 99/);
    writeFileSync(join(home, 'journal.db'), 'garbage '.repeat(400));
    fails(await run('serve'), /The journal .* cannot be opened: .*\. Move it away/);
  });

  it('a setting that is none, an adapter that is none, nothing to forget', async () => {
    fails(await run('serve', '--set', 'lrate=1'), /There is no setting lrate\. Settings are seed, rank/);
    fails(await run('adapters', 'show', '7'), /There is no adapter version 7/);
    fails(await run('adapters', 'show', 'seven'), /seven is not a version/);
    fails(await run('journal', 'forget'), /Exactly one thing can be forgotten at once/);
  });
});

describe('journal', () => {
  it('stats, verify, export and forget', async () => {
    const { ended } = await serve('--idle', '0.2');
    await ended;
    expect(json((await run('journal', 'stats', '--json', '-')).out)).toMatchObject({ signals: 0, turns: 0, schema: SCHEMA_VERSION });
    expect(json((await run('journal', 'verify', '--json', '-')).out)).toEqual({ sound: true, problems: [] });
    expect((await run('journal', 'export', join(home, 'turns.jsonl'))).code).toBe(0);
    expect(readFileSync(join(home, 'turns.jsonl'), 'utf8')).toBe('');
    expect(json((await run('journal', 'forget', '--workspace', 'file:///p', '--json', '-')).out)).toEqual({ signals: 0, turns: 0, samples: 0, remembered: 0, adapters: [], serving: [] });
  });

  it('is forgotten by the daemon that has it in memory, while one runs', async () => {
    await serve();
    const { code, out } = await run('journal', 'forget', '--session', 's');
    expect(code).toBe(0);
    expect(out).toContain('Forgot 0 turns and 0 signals');
  });
});

describe('doctor', () => {
  it('load-tests the seven named packages, the engine and the journal', async () => {
    const { out, code } = await run('doctor', '--json', '-');
    const { findings } = json(out) as { findings: { check: string; state: string; says: string }[] };
    expect(findings.filter(({ state }) => state === 'broken')).toEqual([]);
    expect(code).toBe(0);
    const checked = findings.map(({ check }) => check);
    for (const name of ['vscode-languageserver', 'vscode-languageclient', 'vscode-jsonrpc', 'simple-git', 'node-pty', 'onnxruntime-node', '@vscode/test-electron']) expect(checked).toContain(name);
  });
});
