// Bundles the programs: the editor's extension, the daemon with its command line, and the engine.
// `node esbuild.config.mjs [NAME…]` builds all or the named ones; vitest runs `setup` first, so that
// tests which start real processes never meet a stale bundle.
import { build } from 'esbuild';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(fileURLToPath(import.meta.url));

/** Native addons and packages with assets of their own stay in node_modules. */
const external = ['vscode', 'libsql', 'node-pty', 'onnxruntime-node', 'playwright-core', '*.node'];
/** zod's messages in fifty languages, which nobody here reads: a quarter of the extension. */
const english = {
  name: 'english',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /\/locales\/index\.js$/ }, ({ importer }) => (importer.includes('/zod/') ? { path: 'locales', namespace: 'nothing' } : undefined));
    onLoad({ filter: /.*/, namespace: 'nothing' }, () => ({ contents: 'export {};' }));
  },
};
/** The editor's interface is copied once, not once for each of the modules that name it. */
const editorOnce = {
  name: 'editorOnce',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^vscode$/ }, ({ namespace, kind }) => (namespace === 'editor' || kind === 'require-call' ? { path: 'vscode', external: true } : { path: 'vscode', namespace: 'editor' }));
    onLoad({ filter: /.*/, namespace: 'editor' }, () => ({ contents: "export * from 'vscode';" }));
  },
};
/** What activation loads is small: the window's bundle comes after it. */
const windowApart = {
  name: 'windowApart',
  setup({ onResolve }) {
    onResolve({ filter: /^\.\/window\.ts$/ }, ({ kind }) => (kind === 'dynamic-import' ? { path: './window.js', external: true } : undefined));
  },
};
const common = { absWorkingDir: root, bundle: true, platform: 'node', target: 'node20', format: 'cjs', sourcemap: true, logLevel: 'warning', external, plugins: [english, editorOnce], write: false };

const programs = {
  engine: { in: 'daemon/engine/main.ts' },
  hindsight: { in: 'daemon/main.ts', banner: { js: '#!/usr/bin/env node' } },
  /** Small, because the editor waits while they are compiled. */
  extension: { in: 'extension/extension.ts', minify: true, supported: { 'dynamic-import': false }, plugins: [...common.plugins, windowApart] },
  window: { in: 'extension/window.ts', minify: true },
  /** Of the learning view's webview. */
  learningPage: { in: 'extension/learning/page/page.ts', browser: true },
};

async function bundle(name) {
  const { in: entry, browser = false, ...options } = programs[name];
  const outfile = path.join(root, 'dist', `${name}.js`);
  const { outputFiles } = await build({ ...common, ...options, entryPoints: [entry], outfile, ...(browser ? { platform: 'browser', format: 'iife', target: 'es2022' } : {}) });
  mkdirSync(path.dirname(outfile), { recursive: true });
  for (const file of outputFiles) {
    if (existsSync(file.path) && Buffer.compare(readFileSync(file.path), file.contents) === 0) continue;
    // Renamed into place: a process that starts meanwhile reads the old one or the new one.
    const temporary = `${file.path}.${process.pid}`;
    writeFileSync(temporary, file.contents);
    renameSync(temporary, file.path);
  }
}

/** vitest's global setup. A program that does not build has no bundle, and its tests say so. */
export async function setup() {
  for (const name of Object.keys(programs)) {
    await bundle(name).catch(() => rmSync(path.join(root, 'dist', `${name}.js`), { force: true }));
  }
}

if (process.argv[1] && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const names = process.argv.slice(2);
  for (const name of names.length > 0 ? names : Object.keys(programs)) await bundle(name);
}
