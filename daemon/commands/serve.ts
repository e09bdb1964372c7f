/** `hindsight serve`: the daemon. */
import { appendFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { Option } from 'commander';
import type { Command } from 'commander';
import { endpoint } from '../../protocol/agent.ts';
import type { Endpoint } from '../../protocol/agent.ts';
import { HindsightError } from '../../protocol/errors.ts';
import { loadPerCore, onBattery } from '../learn/machine.ts';
import { DEFAULT_SETTINGS, METHODS, settingsOf } from '../learn/settings.ts';
import type { MethodName } from '../learn/settings.ts';
import { resolveModel } from '../models/models.ts';
import { hindsightHome } from '../../protocol/address.ts';
import { logPath, makeHome } from '../server/home.ts';
import { serve } from '../server/lifetime.ts';
import { bytes, print, withJson } from './output.ts';
import { deviceOption, usableDevice } from './device.ts';
import type { DeviceChoice } from './device.ts';
import type { JsonOption } from './output.ts';

interface ServeFlags extends JsonOption {
  model?: string;
  dtype?: 'fp32' | 'bf16' | 'int8' | 'nf4';
  device: DeviceChoice;
  threads?: number;
  memory?: number;
  method: MethodName;
  set: string[];
  when: 'spare' | 'always';
  idle: number;
  holdBack?: true;
  practice?: true;
  judge?: string;
  judgeModel?: string;
}

const IDLE_SECONDS = 120;
const LOG_BYTES = 4 * 1024 * 1024;

export function registerServe(program: Command): void {
  withJson(program.command('serve'))
    .description('run the daemon of this user; a second one finds the first and ends')
    .option('--model <model>', 'name of a model here, or a folder in Hugging Face layout (default: the bundled seed)')
    .addOption(new Option('--dtype <type>', 'storage of the frozen weights').choices(['fp32', 'bf16', 'int8', 'nf4']))
    .addOption(deviceOption())
    .option('--threads <n>', 'threads of the engine', wholeNumber)
    .option('--memory <size>', 'what the engine may have in memory while it trains, such as 1.2GB: layers are computed twice as far as that takes', bytes)
    .addOption(new Option('--method <name>', 'what learning uses').choices(Object.keys(METHODS)).default(DEFAULT_SETTINGS.method))
    .option('--set <name=value>', 'a setting of learning, by its name in learning.md; may be repeated', (pair: string, pairs: string[]) => [...pairs, pair], [])
    .option('--judge <url>', 'OpenAI-compatible endpoint that judges turns which nothing else says anything of (default: the loaded model, if it is an instruct model of 1 B parameters or more); key in HINDSIGHT_JUDGE_KEY')
    .option('--judge-model <name>', 'its model')
    .option('--hold-back', 'hold back suggestions that you would hardly take, once 200 outcomes of a workspace tell which those are')
    .option('--practice', 'while nobody works and the machine has power, try tasks again on which the agent gave up with red tests (Linux; see hindsight practice)')
    .addOption(new Option('--when <condition>', 'background learning: spare waits on battery, on a busy machine and while it would slow suggestions; always does not').choices(['spare', 'always']).default('spare'))
    .option('--idle <seconds>', 'end after so long without clients or work', Number, IDLE_SECONDS)
    .action(async (flags: ServeFlags) => {
      const home = hindsightHome();
      makeHome(home);
      const options = {
        home,
        modelDir: resolveModel(flags.model, home),
        settings: { ...DEFAULT_SETTINGS, ...settingsOf(flags.set), method: flags.method, ...(flags.holdBack && { holdBack: true }), ...(flags.practice && { practice: true }) },
        graceSeconds: flags.idle,
        log: openLog(logPath(home)),
        device: usableDevice(flags.device),
        ...(flags.when === 'spare' && { machine: () => ({ onBattery: onBattery(), loadPerCore: loadPerCore() }) }),
        ...(flags.dtype && { dtype: flags.dtype }),
        ...(flags.threads && { threads: flags.threads }),
        ...(flags.memory && { memoryBytes: flags.memory }),
        ...(flags.judge !== undefined && { judge: judgeOf(flags.judge, flags.judgeModel) }),
      };
      const served = await serve(options, (socket) => print({ running: true, pid: process.pid, home, socket }, `The daemon listens on ${socket}.`, flags));
      if (!served) print({ running: false, home }, `A daemon already serves ${home}.`, flags);
    });
}

/** @throws badRequest for what is no address */
function judgeOf(url: string, model = 'judge'): Endpoint {
  const key = process.env['HINDSIGHT_JUDGE_KEY'];
  const parsed = endpoint.safeParse({ url, model, ...(key !== undefined && { key }) });
  if (!parsed.success) throw new HindsightError('badRequest', { problem: `--judge ${url} is no http address`, remedy: 'Give the server\'s base, e.g. http://127.0.0.1:8080/v1.' });
  return parsed.data;
}

function wholeNumber(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new HindsightError('badRequest', { problem: `${text} is not a whole number over 0`, remedy: 'Give 1, 2, 3, …' });
  return number;
}

/** Lines with the time; one older file is kept. What cannot be logged must not stop the daemon. */
function openLog(path: string): (line: string) => void {
  return (line) => {
    try {
      if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > LOG_BYTES) {
        rmSync(`${path}.1`, { force: true });
        renameSync(path, `${path}.1`);
      }
      appendFileSync(path, `${new Date().toISOString()} ${line}\n`, { mode: 0o600 });
    } catch (thrown) {
      process.stderr.write(`${String(thrown)}\n`);
    }
  };
}
