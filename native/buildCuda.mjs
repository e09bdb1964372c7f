// Builds dist/hindsight_cuda.so for every target with plain CMake: `npm run build:cuda`, where nvcc is. Never
// part of `npm ci`. `npm run build:cuda -- 90a` builds for the named compute capabilities only.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, '..', 'dist');
const build = join(here, 'build', 'cuda');
process.env.PATH = `${process.env.PATH}${delimiter}/usr/local/cuda/bin`;

/** Ends the build with one sentence that names the remedy. */
function giveUp(sentence) {
  process.stderr.write(`hindsight: ${sentence}\n`);
  process.exit(1);
}
const answers = (program) => spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
if (!answers('nvcc')) giveUp('the CUDA backend needs nvcc 13.0 or newer, which was not found: install the CUDA toolkit, or go on without; the CPU engine does not need it.');
if (!answers('cmake')) giveUp('the CUDA backend needs CMake: install it (apt install cmake, or your system\'s equivalent) and run npm run build:cuda again.');

function run(args) {
  if (spawnSync('cmake', args, { stdio: 'inherit' }).status !== 0) giveUp('the CUDA backend could not be compiled: read the compiler\'s message above, repair the toolchain and run npm run build:cuda again.');
}
const [architectures] = process.argv.slice(2);
const began = Date.now();
mkdirSync(dist, { recursive: true });
process.stdout.write('hindsight: building the CUDA backend\n');
run(['-S', join(here, 'cuda'), '-B', build, `-DOUTPUT_DIR=${dist}`, `-DARCHITECTURES=${architectures ?? '80;86;89;90a;120'}`]);
run(['--build', build, '--parallel', String(Math.min(availableParallelism(), 8))]);
const file = join(dist, 'hindsight_cuda.so');
if (!existsSync(file)) giveUp('the CUDA backend was not written: run npm run build:cuda again.');
process.stdout.write(`hindsight: dist/hindsight_cuda.so, ${(statSync(file).size / 1e6).toFixed(1)} MB, ${Math.round((Date.now() - began) / 1000)} s\n`);
