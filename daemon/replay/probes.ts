/**
 * Places that are looked at after every commit, to see from when on something shows: a completion is
 * asked for on the agent's own way, and two ways of going on are weighed. The file is closed again at
 * once, so nobody answers the suggestion and nothing is learned from it.
 */
import type { Engine } from '../engine/engine.ts';
import type { PlacePrompt } from './developer.ts';
import type { ReplayEditor } from './editor.ts';
import { logLikelihoods } from './likelihood.ts';

export interface Probe {
  /** At the line's indentation, or after the first word of what is wanted. */
  kind: 'line' | 'word';
  path: string;
  languageId: string;
  text: string;
  offset: number;
  /** What shows the preference, and what it stands against. */
  wanted: string;
  unwanted: string;
}

export interface ProbeRecord {
  /** Suggestions that the developer had been shown until then. */
  interactions: number;
  line: ProbeShares;
  word: ProbeShares;
}

export interface ProbeShares {
  /** Share of probes at which the suggestion's first line begins with what is wanted, and with what is not. */
  wanted: number;
  unwanted: number;
  /** Mean of log p(wanted) - log p(unwanted), nats. */
  margin: number;
}

interface Desk {
  editor: ReplayEditor;
  engine: Engine;
  adapter: string | null;
  promptAt: (place: { uri: string; text: string; offset: number }) => Promise<PlacePrompt>;
}

export async function lookAt(probes: readonly Probe[], desk: Desk, interactions: number): Promise<ProbeRecord> {
  const sharesOf = (kind: Probe['kind']): Promise<ProbeShares> => shares(probes.filter((probe) => probe.kind === kind), desk);
  const record = { interactions, line: await sharesOf('line'), word: await sharesOf('word') };
  await desk.editor.publish();
  return record;
}

async function shares(probes: readonly Probe[], { editor, engine, adapter, promptAt }: Desk): Promise<ProbeShares> {
  const totals = { wanted: 0, unwanted: 0, margin: 0 };
  for (const probe of probes) {
    const uri = editor.uriOf(probe.path);
    await editor.open(uri, probe.languageId, probe.text);
    const suggested = (await editor.suggest(uri, probe.offset))?.text.trimStart() ?? '';
    const prompt = await promptAt({ uri, text: probe.text, offset: probe.offset });
    const [wanted = NaN, unwanted = NaN] = await logLikelihoods(engine, [{ ...prompt, text: probe.wanted }, { ...prompt, text: probe.unwanted }], adapter);
    await editor.close(uri);
    if (suggested.startsWith(probe.wanted)) totals.wanted += 1;
    if (suggested.startsWith(probe.unwanted)) totals.unwanted += 1;
    totals.margin += wanted - unwanted;
  }
  const share = (sum: number): number => sum / Math.max(1, probes.length);
  return { wanted: share(totals.wanted), unwanted: share(totals.unwanted), margin: share(totals.margin) };
}

/** Interactions after which what is wanted is suggested at half of the probes of a kind or more, and stays so; null = never. */
export function shownAfter(records: readonly ProbeRecord[], kind: Probe['kind']): number | null {
  const lastMiss = records.findLastIndex((record) => record[kind].wanted < 0.5);
  return records[lastMiss + 1]?.interactions ?? null;
}
