// What the extension host holds after many edits is what it held after few: nothing of an edit stays once the daemon has it.
import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { countSignals } from './journalFile.ts';
import { FULL, heapAfterCollection, say } from './product.ts';
import { eventually, openFile } from './user.ts';

const EDITS = FULL ? 10_000 : 2000;
/** After so many, everything that is made once is there; then the heap is weighed after each eighth of the rest. */
const WARM = EDITS / 5;
const STEP = (EDITS - WARM) / 8;
const LINES = 200;
/** Of each second edit: whoever holds on to edits, or to their text, holds 2 MB more after a thousand. */
const TEXT = 'x'.repeat(4000);
/** Of half of the steps: the editor frees a few MB at some moment, which would hide what stays. */
const MOST_OF_A_THOUSAND = 1e6;
/** Of all of them: between what was seen without a leak (5.5 MB less to 1.6 MB more) and the 3.2 MB of text that the fewer edits insert. */
const MOST_IN_ALL = FULL ? 3e6 : 2.4e6;

suite('the extension host’s heap', () => {
  test(`it is flat over ${EDITS} edits with the daemon connected`, async function () {
    this.timeout(600_000);
    const document = await openFile('heap.ts', 'const steady = 1;\n'.repeat(LINES));
    // The window would paint each edit.
    await openFile('other.ts', '');
    const recorded = countSignals('document.changed');
    const after = async (edits: number): Promise<number> => {
      await eventually('all edits are in the journal', () => countSignals('document.changed') - recorded >= edits || undefined, 120_000);
      return heapAfterCollection();
    };
    const edit = async (from: number, to: number): Promise<void> => {
      for (let each = from; each < to; each += 2) {
        const line = (each * 7) % LINES;
        await apply((change) => change.insert(document.uri, new vscode.Position(line, 0), `const name${each} = '${TEXT}';\n`));
        await apply((change) => change.delete(document.uri, new vscode.Range(line, 0, line + 1, 0)));
      }
    };
    await edit(0, WARM);
    const warm = await after(WARM);
    const grown: number[] = [];
    for (let edits = WARM, before = warm; edits < EDITS; edits += STEP) {
      await edit(edits, edits + STEP);
      const now = await after(edits + STEP);
      grown.push(now - before);
      before = now;
    }
    const all = grown.reduce((sum, each) => sum + each, 0);
    const ofAThousand = ((grown.toSorted((a, b) => a - b)[grown.length / 2] ?? Infinity) / STEP) * 1000;
    say(`heap after ${WARM} edits ${(warm / 1e6).toFixed(1)} MB; a thousand more: ${(ofAThousand / 1e6).toFixed(2)} MB, the median of ${grown.length}; after ${EDITS} ${(all / 1e6).toFixed(2)} MB more`);
    assert.equal(document.lineCount, LINES + 1);
    assert.ok(ofAThousand < MOST_OF_A_THOUSAND && all < MOST_IN_ALL, `it grew by ${ofAThousand} bytes a thousand, ${all} in all`);
  });
});

async function apply(make: (change: vscode.WorkspaceEdit) => void): Promise<void> {
  const change = new vscode.WorkspaceEdit();
  make(change);
  assert.ok(await vscode.workspace.applyEdit(change));
}
