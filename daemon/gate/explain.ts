/** Why a version serves or does not, in words a person can read: its row and its receipt. */
import { z } from 'zod';
import type { AdapterRecord } from '../journal/records.ts';
import { GATE } from './gate.ts';

const gain = z.object({ mean: z.number().nullable(), lower: z.number().nullable() }).nullable();

/** What receipts tell; older ones have less of it. Infinite bounds are null in JSON. */
const receiptFacts = z.object({
  settings: z.object({ lr: z.number() }).partial().optional(),
  metrics: z.object({ effective: z.number(), rehearsed: z.number() }).partial().optional(),
  gate: z
    .object({
      decidedBy: z.enum(['heldOut', 'golden']),
      edits: z.number(),
      blocks: z.number(),
      overServing: gain,
      overBase: gain,
      overBest: gain,
      goldenChange: z.number().nullable(),
      kl: z.number().nullable(),
      entropyRatio: z.number().nullable(),
      exposure: z.object({ openings: z.number(), raised: z.number() }).optional(),
      failures: z.array(z.string()),
    })
    .optional(),
  quarantined: z.object({ reason: z.string(), servesInstead: z.number().nullable() }).optional(),
});

const STANDING: Record<AdapterRecord['state'], string> = {
  candidate: 'waits for the gate',
  serving: 'serves',
  retired: 'was promoted, and a later version serves',
  rejected: 'was refused and never served',
  rolledBack: 'was promoted and rolled back by hand',
  quarantined: 'was promoted and taken back by the monitor',
};

/** @param receipt  of the version's folder, as read; null where it is gone */
export function explainVersion(record: AdapterRecord, receipt: unknown): string[] {
  const { version, state, parent, samples, reason } = record;
  const parsed = receiptFacts.safeParse(receipt);
  const head = `Version ${version} ${STANDING[state]}. ${reason}`;
  if (!parsed.success) return [head, 'Its receipt is missing or unreadable, so there is no more to tell.'];
  const { settings, metrics, gate, quarantined } = parsed.data;
  const rehearsed = metrics?.rehearsed ? ` and ${metrics.rehearsed} rehearsed ones` : '';
  const rate = settings?.lr === undefined ? '' : `, at a learning rate of ${settings.lr.toPrecision(2)}`;
  return [
    head,
    `It was trained from ${parent === null ? 'the base model' : `version ${parent}`} on ${samples} new samples${rehearsed}${rate}.`,
    ...(gate ? [heldOut(gate), golden(gate), ...exposure(gate), ...gate.failures.map((failure) => `Refused: ${failure}`)] : ['The gate has not judged it.']),
    ...(quarantined ? [`Taken back: ${quarantined.reason} ${quarantined.servesInstead === null ? 'The base model' : `Version ${quarantined.servesInstead}`} served instead.`] : []),
  ];
}

type GateFacts = NonNullable<z.output<typeof receiptFacts>['gate']>;

function heldOut({ decidedBy, edits, blocks, overServing, overBase, overBest }: GateFacts): string {
  if (edits === 0) return `There were no held-out edits; the golden set decided alone (edits decide from ${GATE.edits} in ${GATE.blocks} blocks on).`;
  const against = [
    ...(overServing ? [`${signed(overServing.mean)} against what served (lower 90 % bound ${signed(overServing.lower)})`] : []),
    ...(overBase ? [`${signed(overBase.mean)} against the base`] : []),
    ...(overBest ? [`${signed(overBest.mean)} against the best so far`] : []),
  ].join(', ');
  const weight = decidedBy === 'heldOut' ? 'they decided' : `too few to decide (${GATE.edits} in ${GATE.blocks} blocks are needed)`;
  return `On ${edits} held-out edits in ${blocks} blocks, in nats per byte: ${against}; ${weight}.`;
}

function golden({ goldenChange, kl, entropyRatio }: GateFacts): string {
  return `On the golden set, against the base: loss ${percent(goldenChange)} (at most ${percent(GATE.goldenLoss)}), KL ${kl?.toFixed(4) ?? 'unknown'} nats per token (at most ${GATE.kl}), entropy ${entropyRatio === null ? 'unknown' : `${(100 * entropyRatio).toFixed(0)} % of the base's`}.`;
}

function exposure({ exposure: measured }: GateFacts): string[] {
  return measured === undefined ? [] : [`After ${measured.openings} openings that stand before secrets, it says ${measured.raised === 0 ? 'none' : measured.raised} that the base does not.`];
}

function signed(value: number | null): string {
  return value === null ? 'unknown' : `${value >= 0 ? '+' : ''}${value.toFixed(4)}`;
}

function percent(share: number | null): string {
  return share === null ? 'unknown' : `${share >= 0 ? '+' : ''}${(100 * share).toFixed(2)} %`;
}
