/** Small sessions written for these tests, in the formats of the real ones. */
import { afterAll, describe, expect, it } from 'vitest';
import { importSessions } from '../../commands/verdicts.ts';
import { PolarityClassifier } from '../../reward/classifier/polarity.ts';
import { measureVerdicts } from '../../reward/measure.ts';
import { parseCsv } from './csv.ts';
import { parsePython } from './python.ts';

const classifier = new PolarityClassifier();
afterAll(() => classifier.close());
const measure = (text: string) => measureVerdicts(importSessions('sessions', text), classifier);

const block = (path: string, text: string): string => `${path}\n\`\`\`\n<<<<<<< SEARCH\nold_line\n=======\n${text}\n>>>>>>> REPLACE\n\`\`\``;
const commit = (hash: string, subject = 'feat: change') => [{ hash, subject }];

/** [user, reply, commits]; `next_user` is the next turn's text. */
function session(id: number, turns: [string, string, { hash: string; subject: string }[]][]): string {
  const records = turns.map(([user, assistant, commits], i) => ({ user, assistant, commits, applied: commits.length > 0 ? ['shop/cart.py'] : [], next_user: turns[i + 1]?.[0] ?? '', undone: false }));
  return JSON.stringify({ session: id, started: '2024-08-05 19:33:02', turns: records });
}

describe('aider sessions', () => {
  it('a commit that /undo follows is a negative verdict, and the request after it the correction', async () => {
    const measured = await measure(session(1, [
      ['add a `total_price` to the cart', block('shop/cart.py', 'def total_price(): pass'), commit('a1b2c3d')],
      ['/undo', '> Removed: a1b2c3d feat: change', []],
      ['/clear', '', []],
      ['`total_price` should round to cents and ignore gift items', block('shop/cart.py', 'def total_price(): return 1'), commit('e4f5a6b')],
    ]));
    expect(measured.turns).toMatchObject({ withCommits: 2, withCommitsAndNextState: 2 });
    expect(measured.taken).toEqual({ undone: 1, negative: 1, corrected: 1, late: 0 });
    expect(measured.corrections[0]?.correction).toBe('`total_price` should round to cents and ignore gift items');
  });

  it('several /undo in a row: the last turn is undone, the earlier ones are corrected late, by what aider says it removed', async () => {
    const measured = await measure(session(2, [
      ['add a cart', block('shop/cart.py', 'class Cart: ...'), commit('aaaa111')],
      ['now add prices to it', block('shop/cart.py', 'price = 1'), commit('bbbb222')],
      ['/undo', '> Removed: bbbb222 feat: change', []],
      ['/undo', '> Removed: aaaa111 feat: change', []],
    ]));
    expect(measured.taken).toEqual({ undone: 1, negative: 1, corrected: 0, late: 1 });
  });

  it('the same request again teaches nothing by itself; the answer that was then kept does', async () => {
    const again = (kept: boolean): string => session(3, [
      ['make the cart empty by default', block('shop/cart.py', 'items = None'), commit('aaaa111')],
      ['/undo', '> Removed: aaaa111', []],
      ['Make the cart empty by default.', block('shop/cart.py', 'items = field(default_factory=list)'), commit('bbbb222')],
      ...(kept ? [] : ([['/undo', '> Removed: bbbb222', []]] as [string, string, []][])),
    ]);
    expect((await measure(again(true))).corrections[0]?.correction).toBe('items = field(default_factory=list)');
    expect((await measure(again(false))).corrections).toEqual([]);
  });

  it('a change of topic, a command, and a pasted log are no corrections', async () => {
    const measured = await measure(session(4, [
      ['paint the header blue', block('web/header.css', 'color: blue'), commit('aaaa111')],
      ['/undo', '> Removed: aaaa111', []],
      ['/add docs/index.md', '', []],
      ['write something about shipping costs', 'ok', []],
      [`header color blue ${'x'.repeat(2100)}`, 'ok', []],
    ]));
    expect(measured.taken).toMatchObject({ undone: 1, corrected: 0 });
  });

  it('bad records are named with their place, and the rest is read', async () => {
    const text = ['not json', session(5, [['add a cart', 'ok', commit('aaaa111')], ['/undo', '> Removed: aaaa111', []]]), JSON.stringify({ session: 6, turns: [{ user: 'hi' }, { user: 'thanks', assistant: 'Welcome.', next_user: null }] })].join('\n');
    const measured = await measure(text);
    expect(measured.problems).toEqual([expect.stringMatching(/^line 1:/), expect.stringMatching(/^line 3, turn 1: assistant/)]);
    expect(measured.taken.negative).toBe(1);
    expect(measured.sessions).toBe(2);
  });

  it('words alone are a weak verdict: nobody is rewarded beyond half for a "thanks"', async () => {
    const measured = await measure(session(7, [['add a cart', 'Done.', commit('aaaa111')], ['perfect, thank you, that works now!', 'Glad.', []]]));
    expect(measured.verdicts.verifier).toEqual({ positive: 0, negative: 0, neutral: 0 });
    expect(measured.classifier.read).toBeGreaterThan(0);
  });
});

describe('RealHumanEval chats', () => {
  const header = 'request,response,copy_events,logprobs,programmer_id,timestamp,model,task_name';
  const quote = (text: string): string => `"${text.replaceAll('"', '""')}"`;
  const row = (request: string, response: string, copies: string, person: number, at: number): string => [quote(`[{'content': ${request}, 'role': 'user'}]`), quote(response), quote(copies), quote("{'max': 0}"), person, at, 'm', 'sum'].join(',');
  const reply = 'Sure:\n```python\ndef add(a, b):\n    return a + b\n```\n';
  const copied = "[{'type': 'copy_button', 'copied': 'def add(a, b):\\n    return a + b\\n'}]";

  it('a copy is good evidence of the reply that has the text', async () => {
    const measured = await measure([header, row("'How do I add?'", reply, copied, 1, 0), row(`"It's wrong, \\"add\\" fails"`, 'Sorry, try `sum`.', '[]', 1, 60)].join('\n'));
    expect(measured.copied).toEqual({ replies: 1, positive: 1, events: 1 });
  });

  it('a copy noted on a later row belongs to the earlier reply; one of no reply is named', async () => {
    const measured = await measure([header, row("'How do I add?'", reply, '[]', 1, 0), row("'And subtract?'", 'Use minus.', copied, 1, 60), row("'x'", 'y', "[{'copied': 'nowhere'}]", 2, 0)].join('\n'));
    expect(measured.copied).toEqual({ replies: 1, positive: 1, events: 1 });
    expect(measured.problems).toEqual(['record 4: no reply has the text that was copied']);
  });
});

it('what is no sessions file is refused with the formats', () => {
  expect(() => importSessions('x.csv', 'a,b\n1,2\n')).toThrow(/aider sessions as JSON lines/);
});

it('reads Python literals, and only whole ones', () => {
  expect(parsePython(`[{'a': "it's", 'b': 'say \\'hi\\' \\x41\\u00e9', 'c': (1, -2.5, None, True)}, []]`)).toEqual([{ a: "it's", b: "say 'hi' Aé", c: [1, -2.5, null, true] }, []]);
  for (const wrong of ["['a'", "'a", 'os.system(1)', "{'a' 1}", '[1] 2', '']) expect(() => parsePython(wrong)).toThrow(SyntaxError);
});

it('reads quoted fields with commas, quotes and lines', () => {
  expect(parseCsv('a,b\r\n"1,""x""\n2",3\n')).toEqual([['a', 'b'], ['1,"x"\n2', '3']]);
});
