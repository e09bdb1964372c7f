// docs/settings.md is generated from the manifest: `npx vitest run extension/settings.test.ts -u` writes it anew.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';

interface Setting {
  readonly type: string;
  readonly default: unknown;
  readonly scope: string;
  readonly markdownDescription: string;
  readonly enum?: readonly string[];
}

const SCOPES: Readonly<Record<string, string>> = {
  machine: 'the machine: user settings only, never a workspace',
  window: 'user, workspace',
  resource: 'user, workspace, folder',
  'language-overridable': 'user, workspace, folder, and per language',
  'machine-overridable': 'the machine; a workspace may change it',
};

const root = path.resolve(import.meta.dirname, '..');
const read = (file: string): Record<string, unknown> => JSON.parse(readFileSync(path.join(root, file), 'utf8')) as Record<string, unknown>;
const manifest = read('package.json') as { contributes: { configuration: { properties: Record<string, Setting> } } };

/** A text of the manifest may stand in package.nls.json. */
function plain(text: string): string {
  const key = /^%(.+)%$/.exec(text)?.[1];
  if (key === undefined) return text;
  const found = read('package.nls.json')[key];
  return typeof found === 'string' ? found : ((found as { message?: string } | undefined)?.message ?? text);
}

function section([name, setting]: [string, Setting]): string {
  const facts = [`- type: ${setting.type}${setting.enum === undefined ? '' : ` (${setting.enum.join(', ')})`}`, `- default: \`${JSON.stringify(setting.default)}\``, `- scope: ${SCOPES[setting.scope] ?? setting.scope}`];
  return [`## \`${name}\``, plain(setting.markdownDescription).replace(/`#([\w.]+)#`/g, '`$1`'), facts.join('\n')].join('\n\n');
}

it('the settings reference is that of the manifest', async () => {
  const sections = Object.entries(manifest.contributes.configuration.properties).map(section);
  await expect(`# Settings\n\nGenerated from package.json; a test keeps it up to date.\n\n${sections.join('\n\n')}\n`).toMatchFileSnapshot('../docs/settings.md');
});
