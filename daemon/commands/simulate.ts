/** `hindsight simulate personal`: a persona talks to the agent until it writes as the persona likes (docs/replay.md). */
import { dirname, join, resolve } from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import { hindsightHome } from '../../protocol/address.ts';
import { DEFAULT_SETTINGS, settingsOf } from '../learn/settings.ts';
import { bundledModel } from '../models/bundled.ts';
import { resolveModel } from '../models/models.ts';
import { PERSONAS } from '../simulate/personas.ts';
import type { PersonaName } from '../simulate/personas.ts';
import { readProblems } from '../simulate/problems.ts';
import { study } from '../simulate/study.ts';
import type { PersonalMethod, PersonalResult } from '../simulate/study.ts';
import { print, table, withJson } from './output.ts';
import type { JsonOption } from './output.ts';
import { progress } from './progress.ts';

interface Flags extends JsonOption {
  model?: string;
  problems: string;
  sessions: number;
  persona: PersonaName;
  method: string[];
  seeds: number;
  template?: 'own' | 'plain';
  set?: string[];
}

/** Twenty problems written for this project. */
const PROBLEMS = join(resolve(dirname(bundledModel()), '..'), 'problems', 'schoolMaths.jsonl');

export function registerSimulate(program: Command): void {
  const simulate = program.command('simulate').description('people who are not there: what learning from them comes to');
  withJson(simulate.command('personal'))
    .description('a student or a teacher brings school-maths problems to the chat and says what they do not like about the replies')
    .option('--model <model>', 'an instruct model: name of one here, or a folder in Hugging Face layout (default: the bundled seed, which is refused)')
    .option('--problems <file>', 'one JSON object a line, {"question", "answer"}, gzip or not', PROBLEMS)
    .option('--sessions <n>', 'problems brought', count, 32)
    .addOption(new Option('--persona <who>', 'student: no text that looks like an AI\u2019s; teacher: specific and friendly comments').choices(Object.keys(PERSONAS)).default('student'))
    .option('--method <names>', 'comma-separated, as for replay', (text: string) => text.split(',').map((name) => name.trim()), ['frozen', 'memory', 'binary', 'opd', 'combined'])
    .option('--seeds <n>', 'runs of each method that trains', count, 1)
    .addOption(new Option('--template <which>', 'own: the model\u2019s, however small it is; plain: lines of questions and answers, for any model').choices(['own', 'plain']))
    .option('--set <key=value>', 'a setting of learning, repeatable', (text: string, earlier: string[] = []) => [...earlier, text])
    .action(async (flags: Flags) => {
      const bar = progress('Talking');
      const { sessions, persona, method: methods, seeds, template = 'checked' } = flags;
      const modelDir = resolveModel(flags.model, hindsightHome());
      const problems = readProblems(flags.problems);
      const settings = { ...DEFAULT_SETTINGS, ...settingsOf(flags.set ?? []) };
      const result = await study({ modelDir, problems, sessions, persona, methods, seeds, template, settings, onProgress: (done, of, what) => bar.at(done, of, what) }).finally(() => bar.end());
      print(result, `${persona}, ${sessions} sessions with ${result.model}:\n${table(rows(result))}`, flags);
    });
}

function rows({ methods }: PersonalResult): string[][] {
  const figure = (value: number | null): string => (value === null ? '-' : value.toFixed(2));
  const row = (name: string, of: PersonalMethod): string[] => [
    name, String(of.seed), figure(of.score), figure(of.scoreAfter[8]), figure(of.scoreAfter[16]), of.sessionsToAlignment === null ? '-' : String(of.sessionsToAlignment),
    String(of.satisfied), String(of.updates), String(of.promoted), String(of.accounting.replies), String(of.accounting.samples.consumed), String(of.accounting.samples.dropped),
  ];
  return [['method', 'seed', 'first reply', 'after 8', 'after 16', 'sessions to alignment', 'satisfied', 'updates', 'promoted', 'replies', 'learned', 'dropped'], ...Object.entries(methods).flatMap(([name, seeds]) => seeds.map((of) => row(name, of)))];
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('a whole number above 0 is needed');
  return value;
}
