import { describe, expect, it } from 'vitest';
import { turnOf } from '../learn/samples.fixture.ts';
import { hintSnippets, injectIntoChat, teacherPrompt } from './inject.ts';
import type { HintSnippet } from './inject.ts';

const turn = turnOf(['foo', '\n'], { before: 'a\nb\nc\nd\ne\n  ', after: '\n}\n', promptIds: [0, 101, 102], uri: 'file:///p/src/my%20file.ts' });
/** One id per character, as good as any tokenizer here. */
const snippetIds = (snippet: HintSnippet): Promise<number[]> => Promise.resolve([...snippet.text].map((char) => 1000 + char.charCodeAt(0)));

describe('the hint as a snippet', () => {
  it('is the developer’s text in its place, under the file’s path', () => {
    expect(hintSnippets(turn, 'bar();\n')[0]).toEqual({ path: 'src/my file.ts', text: 'a\nb\nc\nd\ne\n  bar();\n}\n' });
  });

  it('is put between BOS and the untouched student prompt', async () => {
    const ids = await teacherPrompt(turn, 'bar', { bos: 0, room: 100, snippetIds });
    expect(ids?.[0]).toBe(0);
    expect(ids?.slice(-2)).toEqual([101, 102]);
    expect(ids?.filter((id) => id === 0)).toHaveLength(1);
    const withoutBos = await teacherPrompt(turn, 'bar', { bos: null, room: 100, snippetIds });
    expect(withoutBos?.slice(-3)).toEqual(turn.promptIds);
  });

  it('is trimmed to fit, the prompt never is; what cannot fit is no teacher', async () => {
    const ids = await teacherPrompt(turn, 'bar', { bos: 0, room: 8, snippetIds });
    expect(ids).not.toBeNull();
    expect((ids?.length ?? 0) - turn.promptIds.length).toBeLessThanOrEqual(8);
    expect(ids?.slice(-2)).toEqual([101, 102]);
    expect(await teacherPrompt(turn, 'a long text that fits nowhere', { bos: 0, room: 8, snippetIds })).toBeNull();
  });

  it('does not exist for an empty hint: the teacher’s prompt is the student’s', async () => {
    expect(await teacherPrompt(turn, ' \n', { bos: 0, room: 100, snippetIds })).toBe(turn.promptIds);
  });

  it('conformance 8: leaves the turn as it was', async () => {
    const before = structuredClone(turn);
    await teacherPrompt(turn, 'bar();\n', { bos: 0, room: 100, snippetIds });
    expect(turn).toEqual(before);
  });
});

describe('the hint in a conversation', () => {
  const messages = [{ role: 'user', content: 'one' }, { role: 'assistant', content: 'two' }, { role: 'user', content: 'three' }, { role: 'assistant', content: '' }];
  it('ends the last user message, and the given messages stay as they are', () => {
    const before = structuredClone(messages);
    expect(injectIntoChat(messages, 'use the logger').map((message) => message.content)).toEqual(['one', 'two', "three\n\n[user's hint / instruction]\nuse the logger", '']);
    expect(messages).toEqual(before);
    expect(injectIntoChat(messages, '  ')).toEqual(messages);
  });
});
