// Builds dist/hindsight_cpu.node with plain CMake during `npm ci`; incremental afterwards.
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, '..', 'dist');
const build = join(here, 'build');

/** Ends the build with one sentence that names the remedy. */
function giveUp(sentence) {
  process.stderr.write(`hindsight: ${sentence}\n`);
  process.exit(1);
}

const answers = (program) => spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
const compiler = process.env.CXX ?? ['g++', 'clang++', 'c++'].find(answers);
const missing = [answers('cmake') ? '' : 'CMake', compiler && answers(compiler) ? '' : 'a C++17 compiler'].filter(Boolean).join(' and ');
if (missing) {
  const remedy = process.platform === 'darwin' ? 'xcode-select --install && brew install cmake' : 'apt install cmake g++, or your system\'s equivalent';
  giveUp(`the native engine needs ${missing}: install it (${remedy}) and run npm ci again.`);
}

let headers = '';
try {
  headers = createRequire(import.meta.url)('node-api-headers').include_dir;
} catch {
  giveUp('the package node-api-headers is missing: run npm ci again.');
}

function run(args) {
  const result = spawnSync('cmake', args, { stdio: 'inherit' });
  if (result.status !== 0) giveUp('the native engine could not be compiled: read the compiler\'s message above, repair the toolchain and run npm ci again.');
}

// A cache of another checkout or compiler makes CMake fail; it is cheap to start over.
const cache = join(build, 'CMakeCache.txt');
if (existsSync(cache) && !readFileSync(cache, 'utf8').includes(`CMAKE_HOME_DIRECTORY:INTERNAL=${here}\n`)) rmSync(build, { recursive: true });

mkdirSync(dist, { recursive: true });
process.stdout.write('hindsight: building the native engine\n');
run(['-S', here, '-B', build, '-DCMAKE_BUILD_TYPE=Release', `-DCMAKE_CXX_COMPILER=${compiler}`, `-DNODE_API_INCLUDE=${headers}`, `-DOUTPUT_DIR=${dist}`]);
run(['--build', build, '--parallel', String(Math.min(availableParallelism(), 4))]);
