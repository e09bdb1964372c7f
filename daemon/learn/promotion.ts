/** From a trained step's candidate to a decision: measured, judged, then published or discarded in
 *  one transaction. Interrupted anywhere, it is simply done again. */
import type { AdapterStore } from '../adapters/store.ts';
import { toHindsightError } from '../../protocol/errors.ts';
import { judgeCandidate } from '../gate/gate.ts';
import type { GateReport } from '../gate/gate.ts';
import { heldOutEdits } from '../gate/holdout.ts';
import type { GateMeasurer } from '../gate/measure.ts';
import type { Journal } from '../journal/journal.ts';
import { nextPace, readPace, writePace } from './pace.ts';
import type { AdapterRecord, Step } from '../journal/records.ts';

export interface PromotionParts {
  journal: Journal;
  adapters: AdapterStore;
  measurer: GateMeasurer;
  onProgress: (done: number, of: number) => void;
}

export interface Decision {
  version: number;
  report: GateReport;
}

/** Judges the candidate of a step in state `trained`.
 *  @returns null where the candidate's files are unusable; it is rejected then, too */
export async function decide(step: Step, parts: PromotionParts): Promise<Decision | null> {
  const { journal, adapters } = parts;
  const { workspace } = step;
  const version = step.candidate ?? 0;
  const parent = adapters.list(workspace).find((one) => one.version === version)?.parent ?? null;
  if (adapters.list(workspace).some((one) => one.version === parent && one.state === 'quarantined')) {
    settle(step, { version, passed: false, reason: `It was trained from version ${String(parent)}, which was taken back meanwhile.` }, parts);
    return null;
  }
  const name = await loaded(workspace, version, adapters);
  if ('unusable' in name) {
    settle(step, { version, passed: false, reason: name.unusable }, parts);
    return null;
  }
  const serving = await adapters.ensureServing(workspace);
  const best = await bestVersion(workspace, parts);
  const edits = heldOutEdits(journal, workspace, adapters.fingerprint);
  const report = judgeCandidate(await parts.measurer.measure({ candidate: name.name, serving: serving?.name ?? null, best: best?.name ?? null, edits }, parts.onProgress));
  adapters.addToReceipt(workspace, version, { gate: report });
  settle(step, { version, ...report }, parts, report);
  if (report.passed) {
    if (best === null || (report.overBest?.mean ?? 0) >= 0) journal.set(bestKey(workspace), version);
  } else parts.measurer.forget(name.name);
  await adapters.keepLoaded(workspace, [journal.serving(workspace), (journal.get(bestKey(workspace)) as number | undefined) ?? null]);
  return { version, report };
}

function settle(step: Step, decision: { version: number; passed: boolean; reason: string } & Partial<GateReport>, { journal, adapters }: PromotionParts, report?: GateReport): void {
  const { version, passed, reason } = decision;
  const gate = { passed: Number(passed), goldenChange: finite(decision.goldenChange), kl: finite(decision.kl), overServing: finite(decision.overServing?.mean), overServingLower: finite(decision.overServing?.lower) };
  journal.transaction(() => {
    if (passed) adapters.publish(step.workspace, version, reason);
    else adapters.reject(step.workspace, version, reason);
    if (report) writePace(journal, step.workspace, nextPace(readPace(journal, step.workspace), report));
    journal.updateStep(step.id, { state: 'gated', metrics: { ...step.metrics, ...gate } });
  });
}

async function loaded(workspace: string, version: number, adapters: AdapterStore): Promise<{ name: string } | { unusable: string }> {
  try {
    return { name: await adapters.ensureLoaded(workspace, version) };
  } catch (thrown) {
    const error = toHindsightError(thrown);
    if (error.errorName === 'adapterMissing' || error.errorName === 'adapterCorrupt' || error.errorName === 'adapterUnfit') return { unusable: error.message };
    throw error;
  }
}

/** The version that was best when it was promoted, so that small losses cannot add up unseen. */
async function bestVersion(workspace: string, { journal, adapters }: PromotionParts): Promise<{ name: string } | null> {
  const version = journal.get(bestKey(workspace)) as number | undefined;
  const record = adapters.list(workspace).find((one) => one.version === version);
  if (record === undefined || !usable(record)) return null;
  const name = await loaded(workspace, record.version, adapters);
  return 'name' in name ? name : null;
}

function usable(record: AdapterRecord): boolean {
  return record.state === 'serving' || record.state === 'retired';
}

function bestKey(workspace: string): string {
  return `best/${workspace}`;
}

function finite(value: number | undefined): number | null {
  return value !== undefined && Number.isFinite(value) ? value : null;
}
