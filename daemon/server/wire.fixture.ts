/**
 * Two machines and a bad cable between them, for tests: two network namespaces, joined by a third
 * in which a program carries the packets, with delay and loss (tc's netem is not in every kernel),
 * and cuts or resets them. Nothing leaves the namespaces. Needs root, `ip` and python3; where those
 * are missing it fails and says so.
 */
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import path from 'node:path';

export interface Wire {
  /** Put before a command, it runs on that machine. */
  near: string[];
  far: string[];
  /** Address of the far machine. */
  address: string;
  /** Silence; or a reset of the TCP connection first. */
  cut(how: 'silent' | 'reset'): void;
  mend(): void;
  remove(): void;
}

const HELPER = path.join(import.meta.dirname, 'wire.fixture.py');

export async function makeWire(settings: { delayMs: number; jitterMs: number; loss: number; seed: number }): Promise<Wire> {
  const tag = `hs${process.pid}`;
  const [near, middle, far] = [`${tag}a`, `${tag}m`, `${tag}b`];
  const remove = (): void => {
    for (const name of [near, middle, far]) ip(true, 'netns', 'del', name);
  };
  try {
    for (const name of [near, middle, far]) {
      ip(false, 'netns', 'add', name);
      ip(false, '-n', name, 'link', 'set', 'lo', 'up');
    }
    for (const [name, own, address] of [[near, 'n0', '10.99.0.1/24'], [far, 'f0', '10.99.0.2/24']] as const) {
      const other = own.replace('0', '1');
      ip(false, '-n', middle, 'link', 'add', other, 'type', 'veth', 'peer', 'name', own, 'netns', name);
      ip(false, '-n', name, 'addr', 'add', address, 'dev', own);
      ip(false, '-n', name, 'link', 'set', own, 'up');
      ip(false, '-n', middle, 'link', 'set', other, 'up');
      execFileSync('ip', ['netns', 'exec', name, 'python3', HELPER, '--offload', own]);
    }
    const cable = spawn('ip', ['netns', 'exec', middle, 'python3', HELPER, 'n1', 'f1', String(settings.delayMs), String(settings.jitterMs), String(settings.loss), String(settings.seed)], { stdio: ['pipe', 'pipe', 'inherit'] });
    await ready(cable);
    const tell = (command: string): void => void cable.stdin?.write(`${command}\n`);
    return {
      near: ['ip', 'netns', 'exec', near],
      far: ['ip', 'netns', 'exec', far],
      address: '10.99.0.2',
      cut: (how) => tell(how === 'silent' ? 'cut' : 'reset'),
      mend: () => tell('mend'),
      remove: () => {
        cable.kill('SIGKILL');
        remove();
      },
    };
  } catch (thrown) {
    remove();
    throw new Error(`This test needs two network namespaces (root, iproute2, python3): ${thrown instanceof Error ? thrown.message : String(thrown)}`);
  }
}

function ip(mayFail: boolean, ...args: string[]): void {
  try {
    execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (thrown) {
    if (!mayFail) throw thrown;
  }
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`the cable's program ended with ${code}`)));
    child.once('error', reject);
  });
}
