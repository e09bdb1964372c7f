import fc from 'fast-check';
import { TextDocument } from 'vscode-languageserver-textdocument';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ACCEPTED_COMMAND, consentSet } from '../../protocol/editor.ts';
import { signalPublish } from '../../protocol/signals.ts';
import type { Signal } from '../../protocol/signals.ts';
import { handle } from '../../protocol/transport.ts';
import { Developer } from './developer.ts';
import { ReplayEditor } from './editor.ts';
import { memoryLink } from './link.ts';
import { planCommit, textAfter } from './plan.ts';
import type { StreamCommit } from './stream.ts';
import { VirtualClock } from './virtualClock.ts';

/** The other side of the link: documents by LSP alone, signals, and suggestions by a rule. */
class Peer {
  readonly documents = new Map<string, TextDocument>();
  readonly signals: Signal[] = [];
  requests = 0;
  suggestion: (before: string, after: string) => string = () => '';
  readonly link = memoryLink();

  constructor() {
    const { server } = this.link;
    server.onRequest('initialize', () => ({ capabilities: {} }));
    handle(server, consentSet, ({ state }) => ({ state, classes: [] }));
    handle(server, signalPublish, ({ first, signals }) => {
      expect(first).toBe(this.signals.length);
      this.signals.push(...signals);
      return { acknowledged: this.signals.length - 1 };
    });
    server.onNotification('textDocument/didOpen', ({ textDocument: d }: { textDocument: { uri: string; text: string } }) => {
      this.documents.set(d.uri, TextDocument.create(d.uri, '', 1, d.text));
    });
    server.onNotification('textDocument/didChange', ({ textDocument, contentChanges }: { textDocument: { uri: string; version: number }; contentChanges: [] }) => {
      TextDocument.update(this.#document(textDocument.uri), contentChanges, textDocument.version);
    });
    server.onRequest('textDocument/inlineCompletion', ({ textDocument, position }: { textDocument: { uri: string }; position: { line: number; character: number } }) => {
      this.requests += 1;
      const document = this.#document(textDocument.uri);
      const [text, at] = [document.getText(), document.offsetAt(position)];
      const insertText = this.suggestion(text.slice(0, at), text.slice(at));
      return insertText === '' ? [] : [{ insertText, command: { title: '', command: ACCEPTED_COMMAND, arguments: [`t-${this.requests}`] } }];
    });
    server.listen();
    this.link.client.listen();
  }

  #document(uri: string): TextDocument {
    const document = this.documents.get(uri);
    if (!document) throw new Error(uri);
    return document;
  }
}

let peer: Peer;
let editor: ReplayEditor;
let clock: VirtualClock;
beforeEach(async () => {
  peer = new Peer();
  clock = new VirtualClock(1_000_000);
  editor = new ReplayEditor(peer.link.client, { session: 's', workspace: 'file:///p', clock });
  await editor.start('in background');
});
afterEach(() => {
  peer.link.client.dispose();
  peer.link.server.dispose();
});

const noPrompt = (): Promise<{ promptIds: number[]; healed: string }> => Promise.resolve({ promptIds: [], healed: '' });
const work = async (commit: StreamCommit, maxLines = 1000): Promise<Awaited<ReturnType<Developer['commit']>>> => new Developer(editor, clock, noPrompt).commit(planCommit(commit, new Map(), maxLines));
const adds = (base: string, line: number, removed: number, added: string[], path = 'a.ts'): StreamCommit => ({ commit: 'c', files: [{ path, base, hunks: [{ line, removed, added }] }] });
const text = (uri = 'file:///p/a.ts'): string | undefined => peer.documents.get(uri)?.getText();

describe('the simulated developer', () => {
  it('asks after the indentation and after the next two words, with nothing of what comes next in sight', async () => {
    const seen: string[] = [];
    peer.suggestion = (before, after) => {
      seen.push(`${before}|${after}`);
      return '';
    };
    const { count, places } = await work(adds('a\nold\nb\n', 1, 1, ['  const x = y;\n', '  z\n']));
    expect(seen).toEqual(['a\n  |\nb\n', 'a\n  const|\nb\n', 'a\n  const x|\nb\n', 'a\n  const x = y;\n  |\nb\n']);
    expect(count).toMatchObject({ lines: 2, chars: 13, shown: 0, accepted: 0 });
    expect(places.map((p) => p.text.slice(0, p.offset))).toEqual(['a\n  ', 'a\n  const x = y;\n  ']);
    expect(text()).toBe('a\n  const x = y;\n  z\nb\n');
  });

  it('takes a right suggestion with one key, and its following lines as far as they match', async () => {
    peer.suggestion = (before) => (before.endsWith('\n  ') ? 'if (a) {\n    b();\n  }\n  wrong();' : '');
    const { count, places } = await work(adds('', 0, 0, ['  if (a) {\n', '    b();\n', '  }\n', '  right();\n']));
    expect(text()).toBe('  if (a) {\n    b();\n  }\n  right();\n');
    // The first line has no line above it, so it is asked for at the start of the text, and typed.
    expect(count.accepted).toBe(0);
    expect(places).toHaveLength(4);
    const second = await new Developer(editor, clock, noPrompt).commit(planCommit(adds('x\n', 1, 0, ['  if (a) {\n', '    b();\n', '  }\n', '  right();\n'], 'b.ts'), new Map(), 100));
    expect(second.count).toMatchObject({ lines: 4, chars: 21, shown: 2, accepted: 1, acceptedChars: 13, exactLines: 3 });
    // What came with the suggestion is measured as if it had been asked for: later lines are not there yet.
    expect(second.places.map((p) => [p.text.slice(0, p.offset), p.rest, p.suggestion !== null])).toEqual([
      ['x\n  ', 'if (a) {', true],
      ['x\n  if (a) {\n    ', 'b();', false],
      ['x\n  if (a) {\n    b();\n  ', '}', false],
      ['x\n  if (a) {\n    b();\n  }\n  ', 'right();', true],
    ]);
    expect(second.places.every((p) => p.text.slice(p.offset) === '\n')).toBe(true);
    expect(peer.signals.some((s) => s.kind === 'suggestion.accepted')).toBe(false);
  });

  it('tells of a whole acceptance by the accept command, right after its change', async () => {
    peer.suggestion = (before) => (before.endsWith('\t') ? 'return total;' : '');
    const { count } = await work(adds('', 0, 0, ['f() {\n', '\treturn total;\n', '}\n']));
    expect(count).toMatchObject({ shown: 1, accepted: 1, acceptedChars: 13, exactLines: 1 });
    const at = peer.signals.findIndex((s) => s.kind === 'suggestion.accepted');
    expect(peer.signals[at]).toMatchObject({ turn: 't-3' });
    expect(peer.signals[at - 1]).toMatchObject({ kind: 'document.changed', changes: [{ text: 'return total;' }] });
  });

  it('keeps CRLF whatever the suggestion has', async () => {
    peer.suggestion = (before) => (before.endsWith('\r\n ') ? 'a();\n b();' : '');
    await work(adds('x\r\n', 1, 0, [' a();\r\n', ' b();\r\n']));
    expect(text()).toBe('x\r\n a();\r\n b();\r\n');
  });

  it('lets every horizon of a commit pass before the next', async () => {
    await work(adds('', 0, 0, ['a\n', 'b\n']));
    const [first, last] = [peer.signals[0], peer.signals.at(-1)];
    expect((last?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(900_000);
  });

  it('leaves exactly the text of the commit, whatever is suggested', async () => {
    const line = fc.tuple(fc.constantFrom('', ' ', '\t'), fc.constantFrom('', 'foo bar', 'const abcdefgh = 1;', '}'), fc.constantFrom('\n', '\r\n')).map((parts) => parts.join(''));
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 6 }), fc.array(line, { minLength: 1, maxLength: 8 }), fc.nat(6), fc.nat(3), fc.boolean(), fc.nat(8), fc.integer(), async (base, added, at, removed, cut, max, salt) => {
        const lineAt = Math.min(at, base.length);
        const last = cut && lineAt + removed >= base.length ? added.map((l, n) => (n === added.length - 1 ? l.trimEnd() : l)) : added;
        const lines = last.filter((l) => l !== '');
        const commit = adds(base.join(''), lineAt, Math.min(removed, base.length - lineAt), lines);
        const wanted = lines.join('');
        peer.suggestion = (before) => wanted.slice((before.length * 7 + salt) % (wanted.length + 1), wanted.length - (Math.abs(salt) % 5));
        const plan = planCommit(commit, new Map(), max);
        const { count, places } = await new Developer(editor, clock, noPrompt).commit(plan);
        expect(text()).toBe(plan[0] && textAfter(plan[0]));
        expect(places.map((p) => p.rest)).toEqual(plan.flatMap((f) => f.hunks.flatMap((h) => h.added.filter((l) => l.measured).map((l) => l.body))));
        expect(count.lines).toBe(places.length);
      }),
      { numRuns: 60 },
    );
  });
});
