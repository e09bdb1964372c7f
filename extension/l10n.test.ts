// Every text that a person can see has its German, and nothing is left over: in the code by `t`, in the manifest by keys.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const folder = import.meta.dirname;
const json = (name: string): Record<string, string> => JSON.parse(readFileSync(path.join(folder, name), 'utf8')) as Record<string, string>;
const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && !name.startsWith('test'))
  .map((name) => ts.createSourceFile(name, readFileSync(path.join(folder, name), 'utf8'), ts.ScriptTarget.ESNext, true));

/** Words, rather than a name, a selector or a path. */
const isProse = (text: string): boolean => /^(\$\([\w~-]+\) ?)?[A-Z][a-z]+( |…|$)|[A-Za-z]{2,}[,;:]? [a-z]{2,}/.test(text.trim());
/** Nobody but the log, the model or a terminal reads these. */
const UNSEEN = /(^|\.)(info|warn|debug|error|log|say|createOutputChannel|createTerminal|TypeError|test|exec|replace|replaceAll)$/;
/** By file, texts that no person sees in the editor's own language: what the model reads stays in the language that it
 *  was trained on, what only the log says is for whoever reads logs, and the page's frame has no words. */
const EXEMPT: readonly (readonly [file: RegExp, texts: RegExp])[] = [
  [/^chat\/participant\.ts$/, /^(Go on\.|Fix the problems|Write tests for|Explain this|Improve this|Attached|The file in front|Problems in it)/],
  [/^chat\/(editorTools|requests)\.ts$/, /./],
  [/^review\/reviews\.ts$/, /^The (file|editor) /],
  [/^signals\//, /./],
  [/^learning\/(shell|page\/page)\.ts$/, /./],
];
const NAMES = new Set(['Hindsight', 'Hindsight: ', 'Hindsight ', 'Hindsight (']);

function visit(node: ts.Node, inside: readonly string[], found: (text: string, inside: readonly string[], node: ts.Node) => void): void {
  if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node) || ts.isTemplateHead(node) || ts.isTemplateMiddle(node) || ts.isTemplateTail(node)) found(node.text, inside, node);
  const within = ts.isCallExpression(node) || ts.isNewExpression(node) ? [...inside, node.expression.getText()] : inside;
  if (ts.isImportDeclaration(node) || ts.isTypeNode(node)) return;
  ts.forEachChild(node, (child) => visit(child, within, found));
}

const isTranslation = (call: string): boolean => /^(t|vscode\.l10n\.t)$/.test(call);

/** [text, how many values it takes] of each call of `t`. */
function translated(): Map<string, Set<number>> {
  const calls = new Map<string, Set<number>>();
  const look = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && isTranslation(node.expression.getText())) {
      const [first, ...values] = node.arguments;
      expect(first !== undefined && ts.isStringLiteralLike(first), `${node.getSourceFile().fileName}: ${node.getText().slice(0, 80)} is no literal, so it cannot be looked up`).toBe(true);
      if (first !== undefined && ts.isStringLiteralLike(first)) calls.set(first.text, (calls.get(first.text) ?? new Set()).add(values.length));
    }
    ts.forEachChild(node, look);
  };
  sources.forEach(look);
  return calls;
}

const placeholders = (text: string): string[] => [...new Set([...text.matchAll(/\{(\d)\}/g)].map(([whole]) => whole))].sort();
const icons = (text: string): string[] => [...text.matchAll(/\$\([\w~-]+\)/g)].map(([whole]) => whole);
const commands = (text: string): string[] => [...text.matchAll(/\(command:[\w.]+\)/g)].map(([whole]) => whole);

describe('texts of the code', () => {
  it('leave none out that a person sees', () => {
    const left: string[] = [];
    for (const source of sources) {
      visit(source, [], (text, inside, node) => {
        if (!isProse(text) || NAMES.has(text) || inside.some((call) => isTranslation(call) || UNSEEN.test(call))) return;
        if (EXEMPT.some(([file, texts]) => file.test(source.fileName) && texts.test(text))) return;
        left.push(`${source.fileName}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1} ${text}`);
      });
    }
    expect(left).toEqual([]);
  });

  it('are all in German, and none is kept that nobody says any more', () => {
    expect(Object.keys(json('l10n/bundle.l10n.de.json')).sort()).toEqual([...translated().keys()].sort());
  });

  it('keep their places for values, their icons and their commands', () => {
    for (const [text, german] of Object.entries(json('l10n/bundle.l10n.de.json'))) {
      expect([placeholders(german), icons(german)], text).toEqual([placeholders(text), icons(text)]);
      expect(german.trim(), text).not.toBe('');
    }
    for (const [text, counts] of translated()) expect([...counts], text).toEqual([placeholders(text).length]);
  });
});

describe('texts of the manifest', () => {
  const manifest = readFileSync(path.join(folder, '../package.json'), 'utf8');
  const english = json('../package.nls.json');
  const german = json('../package.nls.de.json');

  it('are there for every key in both languages, and no other', () => {
    const used = [...new Set([...manifest.matchAll(/"%([\w.-]+)%"/g)].map(([, key]) => key))].sort();
    expect(Object.keys(english).sort()).toEqual(used);
    expect(Object.keys(german).sort()).toEqual(used);
    for (const [key, text] of Object.entries(english)) expect([commands(german[key] ?? ''), (german[key] ?? '').trim() !== ''], key).toEqual([commands(text), true]);
  });

  it('are keys wherever a person would see them', () => {
    const fields = new Set(['title', 'description', 'markdownDescription', 'altText', 'contents', 'name', 'enumDescriptions', 'markdownEnumDescriptions']);
    const left: string[] = [];
    const look = (value: unknown, place: string): void => {
      if (Array.isArray(value)) value.forEach((one, index) => look(one, `${place}[${index}]`));
      else if (typeof value === 'object' && value !== null) Object.entries(value).forEach(([key, one]) => look(one, `${place}.${key}`));
      else if (typeof value === 'string' && fields.has(place.split('.').at(-1)?.replace(/\[\d+\]$/, '') ?? '') && !/^%.*%$/.test(value) && isProse(value) && value !== 'Hindsight') left.push(`${place} ${value}`);
    };
    look((JSON.parse(manifest) as { contributes: unknown }).contributes, 'contributes');
    expect(left).toEqual([]);
  });
});
