// Secrets of every kind that we know, in what the developer writes and is learned from, and in what goes wrong on the way.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { consentSet, trainingNow } from '../../protocol/editor.ts';
import { signalPublish } from '../../protocol/signals.ts';
import { call } from '../../protocol/transport.ts';
import { startEngine } from '../engine/client.ts';
import { DEFAULT_SETTINGS } from '../learn/settings.ts';
import { bundledModel } from '../models/bundled.ts';
import { plantedSecrets } from '../../protocol/planted.fixture.ts';
import { VirtualClock } from '../replay/virtualClock.ts';
import { Daemon } from './daemon.ts';
import { openWindow } from './window.fixture.ts';

const WORKSPACE = 'file:///p';
const TEXT = 'export function read(path: string): string {\n  \n}\n';
const CURSOR = TEXT.indexOf('  \n}') + 2;

it('no secret reaches the journal, the log, or the receipts of the versions that learned beside it', async () => {
  const home = mkdtempSync(join(tmpdir(), 'hindsight-secrets-'));
  const engine = await startEngine({ modelDir: bundledModel(), threads: 1 });
  const clock = new VirtualClock(1_790_000_000_000);
  const log: string[] = [];
  const daemon = await Daemon.start({ home, modelDir: bundledModel(), engine, clock, typist: 'replay', log: (line) => log.push(line), settings: { ...DEFAULT_SETTINGS, holdoutShare: 0, quietSamples: 1, stepSamples: 4 } });
  await daemon.ready;
  const client = await openWindow(daemon, WORKSPACE);
  try {
    await call(client, consentSet, { workspace: WORKSPACE, state: 'granted' });
    const secrets = plantedSecrets(23).slice(0, process.env['HINDSIGHT_FULL'] ? undefined : 12);
    let first = 0;
    for (const [index, { text }] of secrets.entries()) {
      const uri = `${WORKSPACE}/${index}.ts`;
      await client.sendNotification('textDocument/didOpen', { textDocument: { uri, languageId: 'typescript', version: 1, text: TEXT } });
      await client.sendRequest('textDocument/inlineCompletion', { textDocument: { uri }, position: { line: 1, character: 2 }, context: { triggerKind: 2 } });
      const written = [`zebra(${index}); `, text, '\n'];
      let offset = CURSOR;
      let now = TEXT;
      const signals = written.map((inserted, at) => {
        const signal = { kind: 'document.changed' as const, at: clock.now() + at, uri, version: 2 + at, changes: [{ offset, length: 0, text: inserted }] };
        now = now.slice(0, offset) + inserted + now.slice(offset);
        offset += inserted.length;
        return signal;
      });
      await client.sendNotification('textDocument/didChange', { textDocument: { uri, version: 4 }, contentChanges: [{ text: now }] });
      await call(client, signalPublish, { session: 's', first, signals });
      first += signals.length;
      await client.sendNotification('textDocument/didClose', { textDocument: { uri } });
      clock.advance(60_000);
    }
    expect((await call(client, trainingNow, { workspace: WORKSPACE }, { deadline: 240 })).steps).toBeGreaterThan(0);
    // What goes wrong is said in the log: not with what was in it.
    const [{ text: wrong } = { text: '' }] = secrets;
    await expect(client.sendRequest(signalPublish.method, { session: 's', first, signals: [{ kind: 'document.changed', uri: wrong, text: wrong }] })).rejects.toThrow();
    const paths = readdirSync(home, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(home, name)).isFile());
    expect(paths.some((name) => name.endsWith('receipt.json'))).toBe(true);
    const files = paths.map((name) => readFileSync(join(home, name), 'latin1')).join('');
    expect(files).toContain('zebra(');
    for (const { kind, secret } of secrets) for (const line of secret.split('\n')) expect([kind, files.includes(line), log.join('\n').includes(line)]).toEqual([kind, false, false]);
  } finally {
    client.dispose();
    await daemon.stop();
    await engine.close();
    rmSync(home, { recursive: true, force: true });
  }
}, 300_000);
