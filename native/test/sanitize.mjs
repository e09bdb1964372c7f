// usage: sanitize.mjs address|thread. Builds the addon under a sanitizer and runs native/test/exercise.ts
// on it in a plain Node process that has the sanitizer's runtime loaded first: every kernel of every
// instruction set, loading, serving, training, cancelling and closing. Any report fails the run.
import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const kind = process.argv[2];
if (kind !== 'address' && kind !== 'thread') {
  console.error('usage: sanitize.mjs address|thread');
  process.exit(2);
}
const native = join(dirname(fileURLToPath(import.meta.url)), '..');
const out = join(native, 'build', `sanitize-${kind}`);
const headers = createRequire(import.meta.url)('node-api-headers').include_dir;
const compiler = process.env.CXX ?? 'g++';

function run(command, args, env = {}) {
  const { status } = spawnSync(command, args, { stdio: 'inherit', env: { ...process.env, ...env } });
  if (status !== 0) process.exit(status ?? 1);
}

run('cmake', ['-S', native, '-B', out, `-DCMAKE_CXX_COMPILER=${compiler}`, `-DNODE_API_INCLUDE=${headers}`, `-DOUTPUT_DIR=${out}`, `-DSANITIZE=${kind}`]);
run('cmake', ['--build', out, '--parallel', '2']);
const runtime = (name) => spawnSync(compiler, [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout.trim();
const bundle = join(mkdtempSync(join(tmpdir(), 'hindsight-sanitize-')), 'exercise.cjs');
run('npx', ['esbuild', join(native, 'test', 'exercise.ts'), '--bundle', '--platform=node', '--format=cjs', `--outfile=${bundle}`, '--log-level=warning']);
const preload = kind === 'address' ? `${runtime('libasan.so')}:${runtime('libubsan.so')}` : runtime('libtsan.so');
run(process.execPath, [bundle], {
  LD_PRELOAD: preload,
  HINDSIGHT_ADDON: join(out, 'hindsight_cpu.node'),
  // Node itself never frees some of its memory.
  ASAN_OPTIONS: 'detect_leaks=0',
  UBSAN_OPTIONS: 'print_stacktrace=1',
  TSAN_OPTIONS: `suppressions=${join(native, 'test', 'tsan.supp')} halt_on_error=1`,
});
console.log(`${kind}: clean`);
