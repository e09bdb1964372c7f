// What is in the VSIX of a target, laid out in a folder of its own: the bundles, the native addon, the
// model and the classifier, and of each native package only the files that this target loads.
import { copyFileSync, existsSync, linkSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { notices } from './notices.mjs';

/** Fields of the manifest that only a build of the repository needs. */
const BUILD_FIELDS = ['scripts', 'devDependencies', 'dependencies', 'overrides', 'allowScripts', 'private'];

const OWN = ['LICENSE', 'CHANGELOG.md', '.vscodeignore', 'extension/media/icon.png', 'extension/l10n', 'docs/images/consent.png', 'docs/images/ghost-text.png', 'docs/images/review.png', 'docs/images/learning.png', 'dist/extension.js', 'dist/window.js', 'dist/learningPage.js', 'dist/hindsight.js', 'dist/engine.js', 'dist/hindsight_cpu.node', 'testdata/models/seed', 'testdata/classifier/polarity.onnx'];

/** The packages that stay out of the bundles, each with what it needs at run time.
 *  @param {{libsql: string, pty: string, onnx: string | null}} target */
function nativePackages({ libsql, pty, onnx }) {
  return {
    libsql: ['index.js', 'auth.js', 'sqlite-error.js', 'package.json'],
    '@neon-rs/load': ['dist', 'package.json'],
    'detect-libc': ['lib', 'package.json'],
    [`@libsql/${libsql}`]: ['index.node', 'package.json'],
    'node-pty': ['lib', `prebuilds/${pty}`, 'package.json', 'LICENSE'],
    ...(onnx === null ? {} : { 'onnxruntime-node': ['dist', `bin/napi-v6/${onnx}`, 'package.json'], 'onnxruntime-common': ['dist/cjs', 'package.json'] }),
    'playwright-core': ['lib', 'browsers.json', 'index.js', 'package.json', 'LICENSE', 'NOTICE', 'ThirdPartyNotices.txt'],
  };
}

/** Never loaded: types, debug symbols, and the pages with which Playwright shows traces and records. */
const LEFT_OUT = /\.(map|pdb|d\.ts|d\.mts|test\.js)$|playwright-core\/lib\/(vite|tools\/skills)(\/|$)/;

/** @param {string | undefined} pictures the https address at which docs/ is published
 *  @returns {string[]} what this machine lacks for the target; empty when all was staged */
export function stage(root, target, folder, pictures) {
  rmSync(folder, { recursive: true, force: true });
  const missing = [];
  const take = (from, to) => (existsSync(from) ? place(from, to) : missing.push(path.relative(root, from)));
  for (const name of OWN) take(path.join(root, name), path.join(folder, name));
  for (const name of readdirSync(root).filter((each) => each.startsWith('package.nls'))) take(path.join(root, name), path.join(folder, name));
  // Beside the bundles that require them: the packager takes no node_modules at the root without a tree of packages that npm finds whole.
  const packages = nativePackages(target);
  for (const [name, files] of Object.entries(packages)) {
    for (const file of files) take(path.join(root, 'node_modules', name, file), path.join(folder, 'dist/node_modules', name, file));
  }
  if (missing.length > 0) return missing;
  const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  for (const field of BUILD_FIELDS) delete manifest[field];
  writeFileSync(path.join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  writeFileSync(path.join(folder, 'README.md'), withPictures(readFileSync(path.join(root, 'docs/marketplace.md'), 'utf8'), pictures));
  writeFileSync(path.join(folder, 'ThirdPartyNotices.txt'), notices(root, Object.keys(packages)));
  return [];
}

/** Every file of a folder, relative to it, sorted. */
export function filesOf(folder) {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(path.join(folder, name)).isFile()).sort();
}

/** Linked where that is possible: the libraries are large. */
function place(from, to) {
  if (LEFT_OUT.test(from)) return;
  if (statSync(from).isDirectory()) {
    for (const each of readdirSync(from)) place(path.join(from, each), path.join(to, each));
    return;
  }
  mkdirSync(path.dirname(to), { recursive: true });
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}

/** The editor and the marketplace show pictures of a page by https alone: neither from the package nor
 *  from data in the page. So they stand where the caller says, or are left out. */
function withPictures(markdown, address) {
  return markdown.replace(/!\[([^\]]*)\]\(([\w/.-]+)\)\n\n/g, (_all, text, file) => (address === undefined ? '' : `![${text}](${address.replace(/\/*$/, '/')}${file})\n\n`));
}
