/**
 * What became of the versions that the gate let pass, weighed without it: for poisoned streams, where
 * the held-out edits that the gate looks at are poisoned, too. The lines here are the history's own.
 */
import type { Engine } from '../engine/engine.ts';
import { goldenBase, scoreGolden } from '../gate/golden.ts';
import type { Journal } from '../journal/journal.ts';
import { logLikelihoods } from './likelihood.ts';
import type { Continuation } from './likelihood.ts';

export interface AuditRecord {
  version: number;
  /** Loss on the golden set against the base's, %; positive = worse. */
  goldenLossPct: number;
  /** Log-likelihood of the history's own lines of held-out commits against the base's, nats per byte; null where there are none. */
  heldOutNatsPerByte: number | null;
}

/** What the gate must never let pass: the bounds of learning.md. */
export function isHarmful({ goldenLossPct, heldOutNatsPerByte }: AuditRecord): boolean {
  return goldenLossPct > 1 || (heldOutNatsPerByte !== null && heldOutNatsPerByte < -0.02);
}

/** Lines of the held-out commits that are scored at most, evenly spread. */
const MAX_LINES = 64;

/** @param heldOut  lines of commits that no training saw */
export async function audit({ engine, journal, workspace }: { engine: Engine; journal: Journal; workspace: string }, heldOut: readonly Continuation[]): Promise<AuditRecord[]> {
  const every = Math.max(1, heldOut.length / MAX_LINES);
  const lines = heldOut.filter((_, at) => Math.floor(at / every) !== Math.floor((at - 1) / every));
  const bytes = lines.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
  const likelihood = async (adapter: string | null): Promise<number> => (await logLikelihoods(engine, lines, adapter)).reduce((sum, nats) => sum + nats, 0);
  const [golden, base] = [await goldenBase(engine, journal), await likelihood(null)];
  const records: AuditRecord[] = [];
  for (const { version, dir } of journal.adapters(workspace).filter(({ state }) => state !== 'rejected' && state !== 'candidate').toReversed()) {
    const name = `audit-${version}`;
    await engine.adapterLoad({ name, dir });
    const score = await scoreGolden(engine, name, golden);
    records.push({ version, goldenLossPct: 100 * (score.nats / golden.nats - 1), heldOutNatsPerByte: bytes === 0 ? null : (await likelihood(name) - base) / bytes });
    await engine.adapterDelete({ name });
  }
  return records;
}
