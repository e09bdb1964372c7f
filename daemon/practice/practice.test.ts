// A task at which the agent failed is practised through the daemon's own link: real git worktrees, a real
// test runner in real namespaces, a scripted endpoint in place of a big model, and a real step of the seed.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { MessageConnection } from 'vscode-jsonrpc';
import { practiceRun } from '../../protocol/agent.ts';
import { USUAL_CLASSES } from '../../protocol/consent.ts';
import { consentSet, trainingNow } from '../../protocol/editor.ts';
import type { Result } from '../../protocol/message.ts';
import { startScriptedEndpoint } from '../../protocol/scriptedEndpoint.fixture.ts';
import type { Script } from '../../protocol/scriptedEndpoint.fixture.ts';
import { signalPublish } from '../../protocol/signals.ts';
import type { Signal } from '../../protocol/signals.ts';
import { call } from '../../protocol/transport.ts';
import { GOLDEN_TEXTS } from '../gate/golden.ts';
import { startEngine } from '../engine/client.ts';
import type { EngineClient } from '../engine/client.ts';
import type { Turn } from '../journal/records.ts';
import { turnOf } from '../learn/samples.fixture.ts';
import type { MachineFacts } from '../learn/conditions.ts';
import { DEFAULT_SETTINGS } from '../learn/settings.ts';
import type { LearnSettings } from '../learn/settings.ts';
import { VirtualClock } from '../replay/virtualClock.ts';
import { bundledModel } from '../models/bundled.ts';
import { Daemon } from '../server/daemon.ts';
import type { DaemonOptions } from '../server/daemon.ts';
import { openWindow } from '../server/window.fixture.ts';
import { practisedKey } from './failures.ts';
import { Bench, requireIsolation } from './bench.ts';

/** Where commands cannot be isolated, what is tested is that practice refuses. */
const isolates = await requireIsolation().then(() => true, () => false);

let engine: EngineClient;
let daemon: Daemon;
let home: string;
let folder: string;
let workspace: string;
let link: MessageConnection;

const git = (...words: string[]): string => execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...words], { cwd: folder, encoding: 'utf8' });

beforeAll(async () => (engine = await startEngine({ modelDir: bundledModel(), threads: 1 })));
afterAll(() => engine.close());
beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'hindsight-practice-home-'));
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'hindsight-practised-')));
  workspace = pathToFileURL(folder).href;
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module', scripts: { test: 'node --test' } }));
  writeFileSync(join(folder, 'sum.js'), 'export const sum = (a, b) => a - b;\n');
  writeFileSync(join(folder, 'sum.test.js'), "import test from 'node:test';\nimport assert from 'node:assert/strict';\nimport { sum } from './sum.js';\ntest('adds', () => assert.equal(sum(2, 3), 5));\n");
  git('init', '-q');
  git('add', '.');
  git('commit', '-qm', 'a sum');
  await start();
});

async function start(more: Partial<DaemonOptions> = {}, settings: Partial<LearnSettings> = {}): Promise<void> {
  daemon = await Daemon.start({ home, modelDir: bundledModel(), engine, golden: GOLDEN_TEXTS.slice(0, 4), settings: { ...DEFAULT_SETTINGS, quietSamples: 1, holdoutShare: 0, skillTexts: 1, ...settings }, ...more });
  await daemon.ready;
  link = await openWindow(daemon, workspace);
  await call(link, consentSet, { workspace, state: 'granted', classes: [...USUAL_CLASSES.filter((each) => each !== 'git'), 'chat'] });
}
afterEach(async () => {
  link.dispose();
  await daemon.stop();
  for (const each of [home, folder]) rmSync(each, { recursive: true, force: true });
});

/** As a chat leaves it in the journal. */
function failBefore(task: string, failed = 1): void {
  const turn: Turn = { ...turnOf([]), id: task, workspace, modality: 'tool', promptIds: [], action: { task, step: 0, request: 'Make the test pass.', calls: [{ id: 'c', tool: 'run_tests', arguments: {} }] } };
  daemon.journal.insertTurn({ ...turn, shownText: 'x' });
  daemon.journal.closeTurn({ turn: task, outcome: 'observed', acceptedChars: 0, developerText: null, survival: [], decidedAt: 1, observations: [{ kind: 'tests', command: 'node --test', passed: 1 - failed, failed, errors: 0, fixed: [], broken: [], testsEdited: [] }] });
}

async function practise(script: Script): Promise<Result<typeof practiceRun>['tasks']> {
  const endpoint = await startScriptedEndpoint(script);
  try {
    return (await call(link, practiceRun, { workspace, limit: 3, endpoint: { url: endpoint.url, model: 'scripted' } }, { deadline: 300 })).tasks;
  } finally {
    await endpoint.close();
  }
}

const REFLECTION = 'The function multiplied; it has to add.';
const edit = (text: string) => ({ tool: 'edit_file', arguments: { path: 'sum.js', old_text: 'a - b', new_text: text } });
/** Fails without the reflection, succeeds with it. */
const LEARNS: Script = (messages, step) => {
  if (messages[0]?.content.startsWith('You look back')) return { text: REFLECTION };
  const reflected = messages.some(({ role, content }) => role === 'user' && content.includes(REFLECTION));
  return [edit(reflected ? 'a + b' : 'a * b'), { text: 'Done.' }][step] ?? { text: 'lost' };
};

describe.runIf(isolates)('practice', () => {
  it('tries again with a reflection, and what turned the tests green becomes likelier without it', async () => {
    failBefore('red');
    failBefore('green', 0);
    const before = readFileSync(join(folder, 'sum.js'), 'utf8');
    expect(await practise(LEARNS)).toMatchObject([{ task: 'red', outcome: 'solvedWithReflection', samples: 2 }]);
    expect(readFileSync(join(folder, 'sum.js'), 'utf8'), 'the user’s files are as they were').toBe(before);
    expect([git('worktree', 'list').trim().split('\n').length, git('status', '--short')]).toEqual([1, '']);
    const turns = daemon.journal.turnsOf({ workspace }).filter(({ action }) => action?.practised);
    expect(turns).toHaveLength(2);
    for (const { promptIds, action } of turns) expect(`${(await engine.detokenize({ ids: promptIds })).text}${JSON.stringify(action)}`).not.toContain(REFLECTION);
    expect(daemon.journal.samples({ workspace }).map(({ route, state }) => [route, state])).toEqual([['distillation', 'ready'], ['distillation', 'ready']]);
    expect(await practise(LEARNS), 'once is enough').toEqual([]);

    await call(link, trainingNow, { workspace }, { deadline: 300 });
    const [candidate] = daemon.journal.adapters(workspace);
    await engine.adapterLoad({ name: 'practised', dir: candidate?.dir ?? '' });
    for (const turn of turns) expect(await likelihood(turn, 'practised')).toBeGreaterThan(await likelihood(turn, null));
  });

  async function likelihood({ promptIds, responseIds }: Turn, adapter: string | null): Promise<number> {
    const { sequences } = await engine.score({ sequences: [{ ids: [...promptIds, ...responseIds], positions: responseIds.map((_, at) => promptIds.length + at) }], adapter });
    return (sequences[0]?.logprobs ?? []).reduce<number>((sum, logprob) => sum + (logprob ?? NaN), 0);
  }

  it('takes tests that were changed, or are gone, for no success', async () => {
    failBefore('red');
    const cheat = { tool: 'run_command', arguments: { command: 'echo > sum.test.js; sed -i "s/5/-1/" sum.test.js' } };
    expect(await practise((messages, step) => (messages[0]?.content.startsWith('You look back') ? { text: 'Hm.' } : step === 0 ? cheat : { text: 'Done.' }))).toMatchObject([{ outcome: 'failed', samples: 0, sentence: expect.stringContaining('changed how the tests judge') as string }]);
    expect(daemon.journal.samples({ workspace })).toEqual([]);
  });

  it('reads no file that is ignored', async () => {
    failBefore('red');
    writeFileSync(join(folder, '.env'), 'NAME=do-not-read\n');
    git('add', '-f', '.env');
    git('commit', '-qm', 'a mistake');
    let read = '';
    const script: Script = (messages, step) => {
      read += messages.filter(({ role }) => role === 'tool').map(({ content }) => content).join('\n');
      return messages[0]?.content.startsWith('You look back') ? { text: 'Hm.' } : step === 0 ? { tool: 'read_file', arguments: { path: '.env' } } : { text: 'Done.' };
    };
    expect(await practise(script)).toMatchObject([{ outcome: 'failed', samples: 0 }]);
    expect(read).toContain('not read or recorded here');
    expect(read).not.toContain('do-not-read');
  });

  it('leaves alone what passes already', async () => {
    failBefore('red');
    writeFileSync(join(folder, 'sum.js'), 'export const sum = (a, b) => a + b;\n');
    git('commit', '-qam', 'fixed');
    expect(await practise(LEARNS)).toMatchObject([{ outcome: 'passesAlready', samples: 0 }]);
  });

  it('needs consent to conversations', async () => {
    failBefore('red');
    await call(link, consentSet, { workspace, state: 'granted', classes: ['suggestions'] });
    await expect(practise(LEARNS)).rejects.toThrow(/before its owner agrees/);
  });

  it('by itself begins when nobody has worked for ten minutes and the machine has power, and ends at the next key', async () => {
    link.dispose();
    await daemon.stop();
    const clock = new VirtualClock(1_790_000_000_000);
    let machine: Pick<MachineFacts, 'onBattery' | 'loadPerCore'> = { onBattery: true, loadPerCore: 0 };
    await start({ clock, machine: () => machine, chatAnySize: true }, { practice: true });
    failBefore('red');
    /** Time passes; what began has time to end. */
    const practised = async (minutes: number): Promise<unknown> => {
      for (let minute = 0; minute < minutes; minute += 1) clock.advance(60_000);
      await daemon.practice.settled();
      return daemon.journal.get(practisedKey('red'));
    };
    let keys = 0;
    const type = (): Promise<unknown> => {
      const change: Signal = { kind: 'document.changed', at: clock.now(), uri: `${workspace}/sum.js`, version: 2 + keys, changes: [{ offset: 0, length: 0, text: 'x' }] };
      return call(link, signalPublish, { session: 's', first: keys++, signals: [change] });
    };
    expect(await practised(20), 'on battery').toBeUndefined();
    machine = { onBattery: false, loadPerCore: 9 };
    expect(await practised(20), 'on a busy machine').toBeUndefined();
    await type();
    machine = { onBattery: false, loadPerCore: 0 };
    expect(await practised(9), 'nine minutes after a key').toBeUndefined();
    await call(link, consentSet, { workspace, state: 'granted', classes: ['suggestions'] });
    expect(await practised(20), 'without consent to conversations').toBeUndefined();
    await call(link, consentSet, { workspace, state: 'granted', classes: ['suggestions', 'chat'] });
    clock.advance(11 * 60_000);
    await type();
    expect(await practised(9), 'broken off is not failed').toBeUndefined();
    expect(await practised(2)).toMatchObject({ outcome: 'failed' });
  });

  it('happens where there is no network, no git, and the user’s files cannot be written', async () => {
    const bench = await Bench.open(folder);
    try {
      const run = async (command: string): Promise<number | null> => (await bench.run({ command })).exitCode;
      expect(await run('test -f sum.js && echo x > own.txt')).toBe(0);
      expect(await run('git log')).not.toBe(0);
      expect(await run(`cat ${join(folder, '.git/HEAD')}`)).not.toBe(0);
      expect(await run(`echo x > ${join(folder, 'sum.js')}`)).not.toBe(0);
      const { output } = await bench.run({ command: 'cat /proc/net/dev | tail -n +3 | cut -d: -f1' });
      expect(output.trim().split(/\s+/)).toEqual(['lo']);
    } finally {
      await bench.close();
    }
    expect(readdirSync(folder)).not.toContain('own.txt');
  });
});

it.runIf(!isolates)('refuses in one sentence where commands cannot be isolated', async () => {
  failBefore('red');
  await expect(practise(LEARNS)).rejects.toThrow(/Practice is not supported: .* Practise on a Linux machine/);
});
