// npm run package: the VSIX of this machine's platform, checked before it is written.
//   --target T   another entry of targets.json; says what is missing here for it
//   --targets    what each platform needs, and what of it is here
//   --out FILE   where to write it; default .cache/package/hindsight-TARGET-VERSION.vsix
//   --pictures A the https address at which docs/ is published: the page's pictures, left out without it
//   --check      stage and check only, without the packager; one JSON object on stdout
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { deflateRawSync } from 'node:zlib';
import { floorOf, isAtMost } from './floor.mjs';
import { filesOf, stage } from './stage.mjs';

const VSCE = '3.9.2';
const MOST_BYTES = 60 * 2 ** 20;

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const cache = path.join(root, '.cache/package');
const targets = JSON.parse(readFileSync(path.join(root, 'extension/package/targets.json'), 'utf8'));
const here = `${process.platform}-${process.arch}`;
const flags = parseArgs({ options: { target: { type: 'string', default: here }, out: { type: 'string' }, pictures: { type: 'string' }, targets: { type: 'boolean' }, check: { type: 'boolean' } } }).values;

class Refusal extends Error {}

function staged(name) {
  if (!(name in targets)) throw new Refusal(`there is no target ${name}: use one of ${Object.keys(targets).join(', ')}.`);
  const folder = path.join(cache, name);
  const missing = stage(root, targets[name], folder, flags.pictures);
  if (name !== here) missing.unshift(`dist/hindsight_cpu.node compiled on ${name}`);
  return { folder, missing };
}

/** Checks what was staged; throws where it must not be shipped. */
function check(name, folder) {
  const files = filesOf(folder);
  const manifest = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
  if (manifest.enabledApiProposals !== undefined) throw new Refusal('the manifest asks for proposed API, which the marketplace refuses: remove enabledApiProposals.');
  const { glibc, glibcxx } = targets[name];
  const floors = {};
  if (glibc !== undefined) {
    for (const file of files.filter((each) => /\.node$|\.so(\.\d+)*$/.test(each))) {
      floors[file] = floorOf(path.join(folder, file));
      if (!isAtMost(floors[file].glibc, glibc) || !isAtMost(floors[file].glibcxx, glibcxx)) {
        throw new Refusal(`${file} needs glibc ${floors[file].glibc} and libstdc++ ${floors[file].glibcxx}, newer than VS Code's own floor of ${glibc} and ${glibcxx}: bind the new symbols in native/src/io/glibc_floor.cpp.`);
      }
    }
  }
  return { target: name, files, floors };
}

/** As large as the VSIX will be: a zip deflates each file by itself. */
const deflated = (folder, files) => files.reduce((bytes, file) => bytes + deflateRawSync(readFileSync(path.join(folder, file)), { level: 6 }).length, 0);

/** The packager, in a folder of its own: its 280 packages would be installed by everyone who builds. */
function packager() {
  const folder = path.join(root, '.cache/vsce');
  const program = path.join(folder, 'node_modules/@vscode/vsce/vsce');
  const installed = path.join(folder, 'node_modules/@vscode/vsce/package.json');
  if (existsSync(installed) && JSON.parse(readFileSync(installed, 'utf8')).version === VSCE) return program;
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ name: 'packager', private: true }));
  process.stderr.write(`installing @vscode/vsce ${VSCE}\n`);
  execFileSync('npm', ['install', `@vscode/vsce@${VSCE}`, '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error'], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'], shell: process.platform === 'win32' });
  return program;
}

function writeVsix(name, folder, files) {
  const { version } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
  const vsix = path.resolve(flags.out ?? path.join(cache, `hindsight-${name}-${version}.vsix`));
  const args = ['package', '--target', name, '--out', vsix, '--no-dependencies', '--no-rewrite-relative-links', '--allow-missing-repository'];
  execFileSync(process.execPath, [packager(), ...args], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  const { size } = statSync(vsix);
  if (size > MOST_BYTES) throw new Refusal(`the VSIX has ${mib(size)} MiB, more than ${mib(MOST_BYTES)}: leave something out of extension/package/stage.mjs.`);
  process.stdout.write(`${path.relative(process.cwd(), vsix)}: ${mib(size)} MiB of at most ${mib(MOST_BYTES)}, ${files.length} files\n`);
}

const mib = (bytes) => (bytes / 2 ** 20).toFixed(1);

function showTargets() {
  for (const name of Object.keys(targets)) {
    const { missing } = staged(name);
    process.stdout.write(`${name.padEnd(14)}${missing.length === 0 ? 'can be packaged here' : `missing here: ${missing.join(', ')}`}\n`);
  }
}

try {
  if (flags.pictures !== undefined && !flags.pictures.startsWith('https://')) throw new Refusal('--pictures wants an https address: nothing else is shown.');
  if (flags.targets) showTargets();
  else {
    const { folder, missing } = staged(flags.target);
    if (missing.length > 0) throw new Refusal(`${flags.target} cannot be packaged here, ${missing.join(', ')} is missing: run \`npm ci && npm run package\` on that platform.`);
    const facts = check(flags.target, folder);
    if (flags.check) process.stdout.write(`${JSON.stringify({ ...facts, bytes: deflated(folder, facts.files) }, null, 1)}\n`);
    else {
      for (const [file, { glibc, glibcxx }] of Object.entries(facts.floors)) process.stdout.write(`${file}: glibc ${glibc ?? '-'}, libstdc++ ${glibcxx ?? '-'}\n`);
      writeVsix(flags.target, folder, facts.files);
    }
  }
} catch (thrown) {
  process.stderr.write(`package: ${thrown.message}\n`);
  process.exitCode = 1;
}
