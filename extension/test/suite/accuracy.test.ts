// How well outcomes of suggestions are found (docs/signals.md has the table of the full count).
import { answerSuggestions, judge, meetsBars } from './accuracy.ts';
import { FULL, learnFromWorkspace, say } from './product.ts';

const SUGGESTIONS = FULL ? 216 : 16;

suite('outcomes of suggestions', () => {
  test(`of ${SUGGESTIONS} that are known, as many are found as were promised`, async function () {
    this.timeout(0);
    await learnFromWorkspace();
    const judged = await judge(await answerSuggestions(SUGGESTIONS, say));
    say(judged.table);
    judged.wrong.forEach(say);
    meetsBars(judged);
  });
});
