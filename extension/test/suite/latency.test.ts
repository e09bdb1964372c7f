// How soon ghost text comes: from the key, as the page heard of it, to the frame that shows it.
import assert from 'node:assert/strict';
import { LIVELY_STARTS } from './accuracy.ts';
import { FULL, GHOST_TEXT, say } from './product.ts';
import { openFile, user } from './user.ts';

const SUGGESTIONS = FULL ? 36 : 8;
/** 300 ms are promised; a machine that also compiles and tests is given more. */
const P50_MS = FULL ? 300 : 1000;
/** The window has painted what was opened. */
const SETTLED_MS = 400;
const PATIENCE_MS = 4000;

suite('how soon ghost text comes', () => {
  test(`half of ${SUGGESTIONS} suggestions are on the screen within ${P50_MS} ms of the key`, async function () {
    this.timeout(240_000);
    const times: number[] = [];
    for (let round = 0; times.length < SUGGESTIONS; round += 1) {
      assert.ok(round < 3 * SUGGESTIONS, `the model said something to ${times.length} of ${round} starts`);
      const start = LIVELY_STARTS[round % LIVELY_STARTS.length] ?? '';
      // All but the last key is there when the file is opened: nothing of the answer can be known before it.
      const document = await openFile(`latency${round}.ts`, `// latency${round}.ts\n${start.slice(0, -1)}`);
      await user.waitFor('.monaco-editor.focused');
      await user.press('Control+End');
      await new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
      assert.equal(await user.count(GHOST_TEXT), 0);
      const took = await user.typeUntil(start.slice(-1), GHOST_TEXT, PATIENCE_MS).catch(() => undefined);
      if (took !== undefined) times.push(took);
      await user.press('Escape');
      await document.save();
    }
    times.sort((a, b) => a - b);
    const share = (of: number): number => times[Math.floor(times.length * of)] ?? Infinity;
    say(`from key to ghost text: p50 ${share(0.5).toFixed(0)} ms, p95 ${share(0.95).toFixed(0)} ms, of ${times.length}`);
    assert.ok(share(0.5) < P50_MS, `p50 ${share(0.5)} ms`);
  });
});
