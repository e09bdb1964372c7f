// The manifest and the code declare the same, and what the store and the trust rules need is declared.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { IGNORED_BY_DEFAULT } from '../protocol/ignored.ts';
import { COMMANDS } from './views/commandIds.ts';

interface Setting {
  readonly default?: unknown;
  readonly scope?: string;
  readonly markdownDescription?: string;
}
interface Manifest {
  readonly activationEvents: string[];
  readonly contributes: {
    readonly commands: { readonly command: string; readonly title: string; readonly category: string; readonly enablement?: string }[];
    readonly walkthroughs: { readonly steps: { readonly media: { readonly image: string } }[] }[];
    readonly configuration: { readonly properties: Record<string, Setting> };
  };
  readonly capabilities: { readonly untrustedWorkspaces: { readonly supported: unknown; readonly restrictedConfigurations: string[] }; readonly virtualWorkspaces: { readonly supported: unknown } };
  readonly enabledApiProposals?: string[];
}

const folder = import.meta.dirname;
const manifest = JSON.parse(readFileSync(path.join(folder, '../package.json'), 'utf8')) as Manifest;
const code = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && !name.startsWith('test'))
  .map((name) => readFileSync(path.join(folder, name), 'utf8'))
  .join('\n');

describe('manifest', () => {
  it('declares every command that the code registers, and no other', () => {
    expect(manifest.contributes.commands.map((each) => each.command).sort()).toEqual(Object.values(COMMANDS).sort());
    expect(manifest.contributes.commands.filter((each) => each.category !== 'Hindsight')).toEqual([]);
  });

  it('declares every setting that the code reads, and no other', () => {
    const read = [...code.matchAll(/\.get<[^>]+>\('([\w.]+)', (?:''|\[\]|true|false)\)/g)].map((match) => `hindsight.${match[1]}`).filter((name) => !name.startsWith('hindsight.consent'));
    expect(Object.keys(manifest.contributes.configuration.properties).sort()).toEqual(read.sort());
  });

  it('lets no workspace decide what is run or where it is kept', () => {
    const properties = manifest.contributes.configuration.properties;
    for (const name of ['hindsight.home', 'hindsight.daemonArguments', 'hindsight.chat.endpoint', 'hindsight.chat.model', 'hindsight.privacy.ignoredFiles', 'hindsight.tools.allowedCommands']) {
      expect(properties[name]?.scope).toBe('machine');
      expect(manifest.capabilities.untrustedWorkspaces.restrictedConfigurations).toContain(name);
    }
    expect(manifest.capabilities.untrustedWorkspaces.supported).toBe('limited');
    expect(manifest.capabilities.virtualWorkspaces.supported).toBe(false);
    expect(Object.values(properties).filter((each) => each.scope === undefined || each.markdownDescription === undefined)).toEqual([]);
  });

  it('ignores the same files as a daemon that no window has told', () => {
    expect(manifest.contributes.configuration.properties['hindsight.privacy.ignoredFiles']?.default).toEqual(IGNORED_BY_DEFAULT);
  });

  it('has the pictures of its walkthrough, and ships them', () => {
    const shipped = readFileSync(path.join(folder, '../.vscodeignore'), 'utf8').split('\n');
    const pictures = manifest.contributes.walkthroughs.flatMap(({ steps }) => steps.map(({ media }) => media.image));
    expect(pictures).toHaveLength(4);
    for (const picture of pictures) expect([picture, existsSync(path.join(folder, '..', picture)), shipped.includes(`!${picture}`)]).toEqual([picture, true, true]);
  });

  it('uses no proposed API and delays no start', () => {
    expect(manifest.enabledApiProposals).toBeUndefined();
    expect(manifest.activationEvents).toEqual(['onStartupFinished']);
  });
});
