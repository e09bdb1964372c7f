/**
 * Does a hint tell the teacher anything? Mean of log p_teacher - log p_student of the developer's
 * token at the divergence, with a 95 % interval. Where the interval is not above 0, OPD would only
 * teach noise and stays off (learning.md, "Where the hint goes").
 *
 * Per model fingerprint and prompt mode: first measured on the golden set, then on the divergences
 * of the journal, which every step's teacher pass gives for nothing.
 */
import type { Journal } from '../journal/journal.ts';
import type { Turn } from '../journal/records.ts';

/** The latest so many divergences count. */
const WINDOW = 200;
/** From so many divergences of the developer's own on, the golden set's do not count any more. */
const ENOUGH = 50;

export interface Informativeness {
  mean: number;
  /** 95 % interval of the mean, normal approximation; infinite under two values. */
  lo: number;
  hi: number;
  n: number;
  source: 'golden' | 'journal';
}

interface Stored {
  golden: number[];
  journal: number[];
}

export class InformativenessRecord {
  constructor(
    private readonly journal: Pick<Journal, 'get' | 'set'>,
    private readonly fingerprint: string,
  ) {}

  /** null = never measured. */
  of(mode: Turn['promptMode']): Informativeness | null {
    const { golden, journal } = this.#read(mode);
    if (journal.length >= ENOUGH) return summary(journal, 'journal');
    return golden.length > 0 ? summary(golden, 'golden') : null;
  }

  /** OPD is on only where hints are known to tell something. */
  opdOn(mode: Turn['promptMode']): boolean {
    const measured = this.of(mode);
    return measured !== null && measured.lo > 0;
  }

  observe(mode: Turn['promptMode'], differences: readonly number[]): void {
    const stored = this.#read(mode);
    this.#write(mode, { ...stored, journal: [...stored.journal, ...differences].slice(-WINDOW) });
  }

  setGolden(mode: Turn['promptMode'], differences: readonly number[]): void {
    this.#write(mode, { ...this.#read(mode), golden: differences.slice(-WINDOW) });
  }

  #read(mode: Turn['promptMode']): Stored {
    return (this.journal.get(this.#key(mode)) as Stored | undefined) ?? { golden: [], journal: [] };
  }

  #write(mode: Turn['promptMode'], stored: Stored): void {
    this.journal.set(this.#key(mode), stored);
  }

  #key(mode: Turn['promptMode']): string {
    return `informativeness/${this.fingerprint}/${mode}`;
  }
}

export function summary(values: readonly number[], source: Informativeness['source']): Informativeness {
  const n = values.length;
  const mean = values.reduce((total, value) => total + value, 0) / n;
  const variance = values.reduce((total, value) => total + (value - mean) ** 2, 0) / (n - 1);
  const half = n < 2 ? Infinity : 1.96 * Math.sqrt(variance / n);
  return { mean, lo: mean - half, hi: mean + half, n, source };
}
