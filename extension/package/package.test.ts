// What would be shipped, from the same program that ships it.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { runNode } from '../../protocol/program.fixture.ts';

interface Staged {
  readonly files: string[];
  readonly floors: Record<string, { readonly glibc: string | null; readonly glibcxx: string | null }>;
  readonly bytes: number;
}

const root = path.resolve(import.meta.dirname, '../..');
const program = path.join(root, 'extension/package/main.mjs');
const onLinux = process.platform === 'linux';

/** The pictures of the walkthrough. */
const WALKTHROUGH = ['consent', 'ghost-text', 'review', 'learning'].map((name) => `docs/images/${name}.png`);

let staged: Staged;
beforeAll(async () => {
  staged = JSON.parse((await runNode(program, ['--check'], { timeoutMs: 110_000 })).out) as Staged;
}, 120_000);

describe('the package', () => {
  it('has at most 60 MiB', () => {
    expect(staged.bytes).toBeGreaterThan(10 * 2 ** 20);
    expect(staged.bytes).toBeLessThan(60 * 2 ** 20);
  });

  it('has what runs, and nothing of the repository beside it', () => {
    for (const file of ['dist/extension.js', 'dist/window.js', 'dist/hindsight.js', 'dist/engine.js', 'dist/hindsight_cpu.node', 'testdata/models/seed/model.safetensors', 'testdata/classifier/polarity.onnx', 'LICENSE', 'README.md', 'ThirdPartyNotices.txt', 'extension/media/icon.png', 'dist/learningPage.js', 'package.nls.json', 'package.nls.de.json', 'extension/l10n/bundle.l10n.de.json', ...WALKTHROUGH]) {
      expect(staged.files).toContain(file);
    }
    expect(staged.files.filter((file) => !WALKTHROUGH.includes(file) && /\.(ts|map|cpp|md\.orig)$|\.test\.|^(daemon|native|protocol|docs|\.ci)\//.test(file))).toEqual([]);
  });

  it.runIf(onLinux)('has the native packages of its own platform only', () => {
    const natives = staged.files.filter((file) => /\.(node|so(\.\d+)*|dll|dylib|exe)$/.test(file));
    expect(natives.length).toBeGreaterThanOrEqual(5);
    expect(natives.filter((file) => /darwin|win32|musl|\.dll$|\.dylib$|\.exe$/.test(file))).toEqual([]);
    expect(Object.keys(staged.floors).sort()).toEqual(natives.sort());
  });

  it.runIf(onLinux)('loads on the oldest Linux that VS Code runs on', () => {
    const version = (text: string | null): number[] => (text ?? '0').split('.').map(Number);
    for (const { glibc, glibcxx } of Object.values(staged.floors)) {
      expect(version(glibc)[1] ?? 0).toBeLessThanOrEqual(28);
      expect(version(glibcxx)[2] ?? 0).toBeLessThanOrEqual(25);
    }
  });

  it('says what is missing for a platform that it was not built on', async () => {
    const other = onLinux ? 'darwin-arm64' : 'linux-x64';
    const { code, err } = await runNode(program, ['--target', other, '--check']);
    expect(code).toBe(1);
    expect(err).toMatch(new RegExp(`^package: ${other} cannot be packaged here, dist/hindsight_cpu.node compiled on ${other}.*on that platform\\.\n$`));
  });

  it('is described for the marketplace', () => {
    const { icon, categories, license, publisher } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as Record<string, unknown>;
    expect(license).toBe('Apache-2.0');
    expect(publisher).toBe('hindsight');
    expect(categories).toContain('AI');
    const png = readFileSync(path.join(root, String(icon)));
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([256, 256]);
    const page = readFileSync(path.join(root, 'docs/marketplace.md'), 'utf8');
    for (const [, file] of page.matchAll(/!\[[^\]]+\]\(([^)]+)\)/g)) expect(readFileSync(path.join(root, 'docs', file ?? '')).length).toBeGreaterThan(1000);
  });
});
