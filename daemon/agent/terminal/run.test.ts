// Real commands in a real pty. `npm test` runs 40 of each run's shapes, HINDSIGHT_FULL=1 the thousand.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { capped } from './headTail.ts';
import { runInTerminal } from './run.ts';

const COUNT = process.env['HINDSIGHT_FULL'] === '1' ? 1000 : 40;
const CAP = { head: 1000, tail: 2000 };
const TOGETHER = 4;

interface Shape {
  command: string;
  exitCode: number | null;
  /** The whole text, before the cap. */
  text: string;
  ended?: 'deadline';
  /** Pressed as soon as this was printed. */
  press?: { after: string; keys: string };
  deadlineMs?: number;
}

/** Shapes by number, each a little different every time round. */
const SHAPES: ((n: number) => Shape)[] = [
  (n) => ({ command: `echo word${n}`, exitCode: 0, text: `word${n}\n` }),
  (n) => ({ command: `exit ${n % 256}`, exitCode: n % 256, text: '' }),
  () => ({ command: 'true', exitCode: 0, text: '' }),
  (n) => ({ command: `printf '\\033[1;3${n % 8}mcolour\\033[0m %s\\n' ${n}`, exitCode: 0, text: `colour ${n}\n` }),
  (n) => ({ command: `printf 'no newline ${n}'`, exitCode: 0, text: `no newline ${n}` }),
  (n) => ({ command: `for i in 1 2 3; do\n  echo "line $i of ${n}"\ndone\nfalse`, exitCode: 1, text: `line 1 of ${n}\nline 2 of ${n}\nline 3 of ${n}\n` }),
  (n) => ({ command: `echo out${n}; echo err${n} >&2; exit 3`, exitCode: 3, text: `out${n}\nerr${n}\n` }),
  (n) => ({ command: `seq 1 ${5000 + n}`, exitCode: 0, text: Array.from({ length: 5000 + n }, (_, i) => `${i + 1}\n`).join('') }),
  (n) => ({ command: `no-such-program-${n} 2>/dev/null`, exitCode: 127, text: '' }),
  () => ({ command: '/ 2>/dev/null', exitCode: 126, text: '' }),
  (n) => ({ command: `printf '10 %%\\r50 %%\\r100 %% ${n}\\n'`, exitCode: 0, text: `100 % ${n}\n` }),
  (n) => ({ command: `printf 'ünï😀 %s\\n' ${n} | cat`, exitCode: 0, text: `ünï😀 ${n}\n` }),
  (n) => ({ command: `echo ready${n}; sleep 30`, exitCode: 130, text: `ready${n}\n^C`, press: { after: `ready${n}`, keys: '\x03' } }),
  (n) => ({ command: `read -r answer; echo "got $answer"`, exitCode: 0, text: `yes${n}\ngot yes${n}\n`, press: { after: '', keys: `yes${n}\n` } }),
  (n) => ({ command: `echo before${n}; kill -9 $$`, exitCode: 137, text: `before${n}\n` }),
  (n) => ({ command: `sleep 60 & echo left${n}`, exitCode: 0, text: `left${n}\n` }),
  (n) => ({ command: `echo late${n}; sleep 60`, exitCode: null, ended: 'deadline', text: `late${n}\n`, deadlineMs: 1500 }),
  (n) => ({ command: `trap '' TERM INT HUP; echo stubborn${n}; while :; do sleep 1; done`, exitCode: null, ended: 'deadline', text: `stubborn${n}\n`, deadlineMs: 1500 }),
  (n) => ({ command: `echo "it's \\"quoted\\" $((${n} + 1))"`, exitCode: 0, text: `it's "quoted" ${n + 1}\n` }),
  (n) => ({ command: `head -c ${n % 7 === 0 ? 10_000_000 : 100_000 + n} /dev/zero | tr '\\0' x`, exitCode: 0, text: 'x'.repeat(n % 7 === 0 ? 10_000_000 : 100_000 + n) }),
  (n) => ({ command: `printf '\\033]697;0;0\\007faked end ${n}\\n'; exit 5`, exitCode: 5, text: `faked end ${n}\n` }),
  (n) => ({ command: `stty raw -echo; printf 'raw${n}\\r\\n'; exit 4`, exitCode: 4, text: `raw${n}\n` }),
  (n) => ({ command: `bash -c 'exit ${n % 100}'`, exitCode: n % 100, text: '' }),
  (n) => ({ command: `exec sh -c 'echo replaced${n}; exit 9'`, exitCode: 9, text: `replaced${n}\n` }),
];

let folder = '';
beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'hindsight-terminal-'))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** @returns what was wrong; '' = nothing */
async function tryOut(shape: Shape): Promise<string> {
  const deadlineMs = shape.deadlineMs ?? 60_000;
  let seen = '';
  let pressed = false;
  const running = runInTerminal({ command: shape.command, cwd: folder, cap: CAP, deadlineMs, onData: (data) => { seen += data; press(); } });
  const press = (): void => {
    if (pressed || shape.press === undefined || !seen.includes(shape.press.after)) return;
    pressed = true;
    running.write(shape.press.keys);
  };
  if (shape.press?.after === '') press();
  const outcome = await running.outcome;
  const problems: string[] = [];
  if (outcome.exitCode !== shape.exitCode) problems.push(`exit code ${outcome.exitCode}, not ${shape.exitCode}`);
  if (outcome.ended !== (shape.ended ?? 'itself')) problems.push(`ended by ${outcome.ended}`);
  const expected = capped(shape.text, CAP);
  if (outcome.output !== expected.text || outcome.outputChars !== expected.total) problems.push(`output ${JSON.stringify(outcome.output.slice(0, 120))} (${outcome.outputChars}), not ${JSON.stringify(expected.text.slice(0, 120))} (${expected.total})`);
  if (outcome.durationMs > deadlineMs + 2000) problems.push(`it took ${outcome.durationMs} ms with a deadline of ${deadlineMs} ms`);
  return problems.length === 0 ? '' : `${JSON.stringify(shape.command)}: ${problems.join('; ')}`;
}

describe('a command in the agent’s terminal', () => {
  it(`${COUNT} commands of ${SHAPES.length} shapes: exit code and capped text exact, none past its deadline`, { timeout: 1_200_000 }, async () => {
    const wrong: string[] = [];
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let n = next++; n < COUNT; n = next++) {
        const shape = SHAPES[n % SHAPES.length];
        if (shape === undefined) throw new Error('no shape');
        const problem = await tryOut(shape(n));
        if (problem !== '') wrong.push(problem);
      }
    };
    await Promise.all(Array.from({ length: TOGETHER }, worker));
    expect(next).toBe(COUNT + TOGETHER);
    expect(wrong).toEqual([]);
  });

  it('can be stopped, and nothing of it runs on', async () => {
    const file = path.join(folder, 'pid');
    const stop = new AbortController();
    const running = runInTerminal({ command: `sleep 300 & echo $! > ${file}; wait`, cwd: folder, signal: stop.signal });
    while (!existsSync(file) || readFileSync(file, 'utf8').trim() === '') await new Promise((resolve) => setTimeout(resolve, 20));
    stop.abort();
    expect(await running.outcome).toMatchObject({ ended: 'stopped', exitCode: null });
    const pid = Number(readFileSync(file, 'utf8'));
    await expect.poll(() => isRunning(pid), { timeout: 5000 }).toBe(false);
  });

  it('a folder that is not there is one clear sentence', () => {
    expect(() => runInTerminal({ command: 'true', cwd: path.join(folder, 'nowhere') })).toThrow(/There is no folder .*nowhere/);
  });

  it('says nothing of the process around it to the command', async () => {
    const before = { ...process.env };
    Object.assign(process.env, { ELECTRON_RUN_AS_NODE: '1', HINDSIGHT_TOKEN: 'secret' });
    writeFileSync(path.join(folder, 'x'), '');
    const { output } = await runInTerminal({ command: 'env', cwd: folder }).outcome;
    process.env = before;
    expect(output).not.toMatch(/ELECTRON_RUN_AS_NODE|HINDSIGHT_TOKEN/);
    expect(output).toMatch(/^PATH=/m);
  });
});

/** A zombie that nobody has reaped runs no more. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
