// Child processes of the harness: run to the end, with their output shown only when they fail.
import { spawn } from 'node:child_process';

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly timeoutMs?: number;
}

/** Runs a program to its end. Throws with the last of its output when it fails or runs past its deadline. */
export async function runToEnd(program: string, args: readonly string[], options: CommandOptions = {}): Promise<void> {
  const timeoutMs = options.timeoutMs ?? 15 * 60_000;
  await new Promise<void>((resolve, reject) => {
    const child = spawn(program, args, { cwd: options.cwd, env: options.env ?? process.env, stdio: ['ignore', 'pipe', 'pipe'] });
    const kept: string[] = [];
    const keep = (chunk: Buffer): void => {
      kept.push(chunk.toString('utf8'));
      if (kept.length > 400) kept.splice(0, 200);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (code === 0) return resolve();
      const how = signal === 'SIGKILL' ? `was ended after ${Math.round(timeoutMs / 1000)} s` : `ended with ${code ?? signal}`;
      reject(new Error(`\`${program} ${args.join(' ')}\` ${how}\n${kept.join('').slice(-4000)}`));
    });
  });
}
