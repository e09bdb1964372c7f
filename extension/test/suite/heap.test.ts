// What the extension host holds after many edits is what it held after few: nothing of an edit stays once the daemon has it.
import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { countSignals } from './journalFile.ts';
import { FULL, heapAfterCollection, say } from './product.ts';
import { eventually, openFile } from './user.ts';

const EDITS = FULL ? 10_000 : 2000;
/** After so many, everything that is made once is there. */
const WARM = EDITS / 5;
/** A record of an edit takes about 1 KB: holding on to them would be 8 MB, or 1.6 MB. */
const MOST_GROWTH = FULL ? 3e6 : 1e6;
const LINES = 200;

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
        await apply((change) => change.insert(document.uri, new vscode.Position(line, 0), `const name${each} = ${each};\n`));
        await apply((change) => change.delete(document.uri, new vscode.Range(line, 0, line + 1, 0)));
      }
    };
    await edit(0, WARM);
    const warm = await after(WARM);
    await edit(WARM, EDITS);
    const grown = (await after(EDITS)) - warm;
    say(`heap after ${WARM} edits ${(warm / 1e6).toFixed(1)} MB, after ${EDITS} ${(grown / 1e6).toFixed(2)} MB more`);
    assert.equal(document.lineCount, LINES + 1);
    assert.ok(grown < MOST_GROWTH, `it grew by ${grown} bytes`);
  });
});

async function apply(make: (change: vscode.WorkspaceEdit) => void): Promise<void> {
  const change = new vscode.WorkspaceEdit();
  make(change);
  assert.ok(await vscode.workspace.applyEdit(change));
}
