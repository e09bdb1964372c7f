/** Builds the emulated CUDA library and its test programs; incremental, in native/build/emulated. */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

const native = join(import.meta.dirname, '../..');

/** @returns the folder of the programs */
export async function buildEmulator(): Promise<string> {
  const folder = join(native, 'build', 'emulated');
  await run('cmake', ['-S', join(native, 'cuda'), '-B', folder, '-DEMULATE=ON', '-DPROGRAMS=ON', `-DOUTPUT_DIR=${folder}`]);
  await run('cmake', ['--build', folder, '--parallel', String(Math.min(availableParallelism(), 4))]);
  return folder;
}

function run(command: string, args: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args);
    let text = '';
    const collect = (chunk: Buffer): void => void (text += chunk.toString());
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`${command} ${args[0]} failed:\n${text.slice(-4000)}`))));
  });
}
