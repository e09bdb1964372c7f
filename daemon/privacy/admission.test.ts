import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { classOf, SIGNAL_CLASSES, USUAL_CLASSES } from '../../protocol/consent.ts';
import type { SignalClass } from '../../protocol/consent.ts';
import type { Signal } from '../../protocol/signals.ts';
import { Journal } from '../journal/journal.ts';
import { Intake } from '../episodes/intake.ts';
import { systemClock } from '../clock.ts';
import { DEFAULT_SETTINGS } from '../learn/settings.ts';
import { rememberWish } from './forgotten.ts';

let home: string;
let folder: string;
let workspace: string;
let journal: Journal;
let intake: Intake;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'hindsight-admission-'));
  folder = join(home, 'project');
  mkdirSync(folder);
  workspace = pathToFileURL(folder).href;
  mkdirSync(join(home, 'data'));
  journal = Journal.open(join(home, 'data', 'journal.db'));
  intake = new Intake(journal, DEFAULT_SETTINGS, systemClock, { onSamples: () => undefined });
});
afterEach(() => {
  journal.close();
  rmSync(home, { recursive: true, force: true });
});

const MARK = 'zebra-quagga';
const file = (name: string): string => `${workspace}/${name}`;
const typed = (name: string, at = 1000): Signal => ({ kind: 'document.changed', at, uri: file(name), version: 2, changes: [{ offset: 0, length: 0, text: MARK }] });
const reviewed = (name: string): Signal => ({ kind: 'edit.reviewed', at: 1000, turn: 't', uri: file(name), before: '', proposed: MARK, now: MARK, state: 'kept', open: 0 });
const rated: Signal = { kind: 'chat.rated', at: 1000, turn: 't', rating: 'wrong', correction: MARK };
const ended: Signal = { kind: 'session.ended', at: 2000 };
const publish = (...signals: Signal[]): number => intake.publish({ session: 's', workspace, first: 0, signals });
const onDisk = (): string => readdirSync(join(home, 'data')).map((name) => readFileSync(join(home, 'data', name), 'latin1')).join('');

describe('what may be stored', () => {
  it('is what its class was granted for, class by class; the numbers of the rest add up', () => {
    const all = [typed('a.ts'), reviewed('a.ts'), rated, ended];
    for (const granted of SIGNAL_CLASSES) {
      journal.setConsent(workspace, 'granted', [granted]);
      expect(journal.consent(workspace)).toEqual({ state: 'granted', classes: [granted] });
      const session = `s-${granted}`;
      expect(intake.publish({ session, workspace, first: 0, signals: all })).toBe(3);
      expect(journal.signals(session).map(({ kind }) => kind)).toEqual(all.filter(({ kind }) => [granted, 'session'].includes(classOf(kind))).map(({ kind }) => kind));
    }
    expect(journal.verify()).toEqual([]);
  });

  it('leaves no byte of a refused class in any file', () => {
    journal.setConsent(workspace, 'granted', ['git', 'tests']);
    expect(publish(typed('a.ts'), reviewed('a.ts'), rated)).toBe(2);
    expect(onDisk()).not.toContain(MARK);
  });

  it('is without terminals, conversations and pages where a plain yes was said', () => {
    journal.setConsent(workspace, 'granted');
    expect(journal.consent(workspace).classes).toEqual(USUAL_CLASSES);
    expect((['terminal', 'chat', 'browser'] satisfies SignalClass[]).filter((each) => journal.consent(workspace).classes.includes(each))).toEqual([]);
    journal.setConsent(workspace, 'refused');
    expect(journal.consent(workspace)).toEqual({ state: 'refused', classes: [] });
    expect(() => publish(ended)).toThrow(/before its owner agrees/);
  });

  it('keeps a yes to conversations that was said before there were classes', () => {
    journal.setConsent(workspace, 'granted');
    journal.setConsent(`${workspace}#chat`, 'granted');
    expect(journal.consent(workspace).classes).toEqual(SIGNAL_CLASSES.filter((each) => each === 'chat' || USUAL_CLASSES.includes(each)));
    expect(journal.consent(`${workspace}2`).state).toBe('unknown');
  });

  it('is nothing of a file that git, the user or the repository ignores', () => {
    writeFileSync(join(folder, '.gitignore'), 'dist/\n');
    writeFileSync(join(folder, '.hindsightignore'), 'customers/\n');
    intake.admission.setIgnored(workspace, ['*.sql']);
    journal.setConsent(workspace, 'granted');
    publish(typed('dist/a.js'), typed('customers/a.ts'), reviewed('dump.sql'));
    expect(journal.signals('s')).toEqual([]);
    expect(onDisk()).not.toContain(MARK);
    expect(journal.acknowledged('s')).toBe(2);
  });

  it('is nothing from before it was forgotten: what a window still held does not bring it back', () => {
    journal.setConsent(workspace, 'granted');
    rememberWish(journal, workspace, file('src'), 5000);
    publish(typed('src/a.ts', 4000), typed('src/a.ts', 6000), typed('srcs/a.ts', 4000), typed('a.ts', 4000));
    expect(journal.signals('s').map((signal) => ('uri' in signal ? [signal.uri, signal.at] : []))).toEqual([[file('src/a.ts'), 6000], [file('srcs/a.ts'), 4000], [file('a.ts'), 4000]]);
    rememberWish(journal, null, null, 7000);
    expect(intake.publish({ session: 's', workspace, first: 4, signals: [typed('a.ts', 6500), typed('a.ts', 7500)] })).toBe(5);
    expect(journal.signals('s').filter((signal) => signal.at === 6500 || signal.at === 7500)).toHaveLength(1);
    // Not even the names of what was forgotten.
    expect(JSON.stringify(journal.get('forgotten'))).not.toContain('project');
  });
});
