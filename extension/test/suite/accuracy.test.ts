// How well outcomes of suggestions are found, at size (docs/signals.md has the table).
import { appendFileSync } from 'node:fs';
import { TEST_ENV } from '../driver/commands.ts';
import { answerSuggestions, judge, meetsBars } from './accuracy.ts';
import { cli, openNotifications, untilServing, workspaceUri } from './product.ts';
import { eventually, user } from './user.ts';

const SUGGESTIONS = 216;
const say = (line: string): void => appendFileSync(process.env[TEST_ENV.output] ?? '', `${line.replace(/^/gm, '    ')}\n`);

suite('outcomes of suggestions', () => {
  test(`of ${SUGGESTIONS} that are known, as many are found as were promised`, async function () {
    this.timeout(0);
    await untilServing();
    await openNotifications();
    await user.clickText('Learn from this workspace');
    await eventually('the daemon knows', async () => ((await cli.status(workspaceUri())).consent === 'granted' ? true : undefined));
    const known = await answerSuggestions(SUGGESTIONS, say);
    const judged = await judge(known);
    say(judged.table);
    judged.wrong.forEach(say);
    meetsBars(judged);
  });
});
