import { describe, expect, it } from 'vitest';
import { contextSnippets } from './context.ts';
import { MemoryIndex, wordCounts } from './memory.ts';

const snippet = (text: string): { path: string; text: string } => ({ path: 'a.ts', text });

describe('memory', () => {
  it('finds what shares the rarest words first, and nothing that shares none', () => {
    const memory = new MemoryIndex();
    memory.add(snippet('const total = sum(prices);'));
    memory.add(snippet('const logger = createLogger("billing");'));
    memory.add(snippet('const name = user.name;'));
    expect(memory.search('const log = createLogger(', 2)[0]?.text).toContain('createLogger');
    expect(memory.search('zebra', 5)).toEqual([]);
  });

  it('finds identifiers by their parts', () => {
    expect([...wordCounts('readFileSync').keys()]).toEqual(['readfilesync', 'read', 'file', 'sync']);
  });

  it('gives equal texts once, the newest', () => {
    const memory = new MemoryIndex();
    memory.add({ path: 'old.ts', text: 'const logger = 1;' });
    memory.add({ path: 'new.ts', text: 'const logger = 1;' });
    expect(memory.search('logger', 5)).toEqual([{ path: 'new.ts', text: 'const logger = 1;' }]);
  });

  it('forgets the oldest beyond its capacity', () => {
    const memory = new MemoryIndex(2);
    for (const name of ['first', 'second', 'third']) memory.add(snippet(`const ${name} = 1;`));
    expect(memory.size).toBe(2);
    expect(memory.search('first', 5)).toEqual([]);
    expect(memory.search('third', 5)).toHaveLength(1);
  });
});

describe('context from open files', () => {
  const other = { path: 'log.ts', text: `${'// filler\n'.repeat(10)}export function createLogger(name: string): Logger {\n  return new Logger(name);\n}\n` };

  it('is the part that is about the same things', () => {
    const found = contextSnippets('const logger = createLogger', [other]);
    expect(found[0]?.path).toBe('log.ts');
    expect(found[0]?.text).toContain('export function createLogger');
  });

  it('does not change while a line is typed', () => {
    const before = Array.from({ length: 20 }, (_, i) => `const logger${i} = createLogger("${i}");\n`).join('');
    expect(contextSnippets(before + 'const a', [other])).toEqual(contextSnippets(before + 'const a = filler', [other]));
  });

  it('follows the text of the file', () => {
    contextSnippets('createLogger', [other]);
    expect(contextSnippets('createLogger', [{ path: 'log.ts', text: 'function createLogger() {}' }])[0]?.text).toBe('function createLogger() {}');
  });
});
