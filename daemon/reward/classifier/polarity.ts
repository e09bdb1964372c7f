/**
 * The next-state classifier: what a terminal output or the user's next message says of the action
 * before it (learning.md, PRM source 3). Runs in the daemon on one thread; about 0.1 ms a text.
 *
 * It is the weakest but one of the sources. It never speaks where a verifier or explicit feedback
 * did, and a doubtful reading is no verdict: never a zero reward.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { HindsightError } from '../../../protocol/errors.ts';
import type { Verdict } from '../../journal/records.ts';
import { featuresOf, type NextStateText } from './features.ts';

export interface Reading {
  polarity: 'worked' | 'failed' | 'neutral';
  /** Calibrated probability of `polarity`, [0, 1]. */
  confidence: number;
  /** Calibrated, sums to 1. */
  probabilities: { worked: number; failed: number; neutral: number };
}

/** Row numbers of the kinds in the model file. */
const KIND_ROW = { terminal: 0, message: 1 } as const;
/** Below this a reading is no verdict. */
const LEAST_CONFIDENCE = 0.6;

interface Runtime {
  session: InferenceSession;
  tensor: typeof Tensor;
}

export class PolarityClassifier {
  private runtime: Promise<Runtime> | null = null;

  /** @param path  model file; the one that ships if absent */
  constructor(private readonly path: string = shippedModel()) {}

  /** The runtime and the model are loaded at the first text.
   *  @throws HindsightError `modelMissing` or `modelCorrupt` */
  async read(input: NextStateText): Promise<Reading> {
    const { session, tensor } = await this.opened();
    const { ids, values } = featuresOf(input);
    const answer = await session.run({
      ids: new tensor('int32', ids, [ids.length]),
      values: new tensor('float32', values, [1, values.length]),
      kind: new tensor('int32', Int32Array.of(KIND_ROW[input.kind]), [1]),
    });
    const [worked = NaN, failed = NaN, neutral = NaN] = Array.from((answer['probabilities']?.data ?? []) as Float32Array);
    const probabilities = { worked, failed, neutral };
    const polarity = worked >= failed && worked >= neutral ? 'worked' : failed >= neutral ? 'failed' : 'neutral';
    return { polarity, confidence: probabilities[polarity], probabilities };
  }

  /** A failed start is not kept: the next text tries again. */
  private opened(): Promise<Runtime> {
    this.runtime ??= open(this.path).catch((error: unknown) => {
      this.runtime = null;
      throw error;
    });
    return this.runtime;
  }

  async close(): Promise<void> {
    const runtime = await this.runtime;
    this.runtime = null;
    await runtime?.session.release();
  }
}

/** The verdict of a reading: score = P(worked) - P(failed).
 *  @returns null where the text is neutral or the reading doubtful */
export function classifierVerdict(turn: string, reading: Reading, input: NextStateText, at: number): Verdict | null {
  if (reading.polarity === 'neutral' || reading.confidence < LEAST_CONFIDENCE) return null;
  const what = input.kind === 'terminal' ? `the output${input.command === undefined ? '' : ` of \`${firstLine(input.command)}\``}` : 'the next message';
  const evidence = [`${what} reads as ${reading.polarity} (${Math.round(reading.confidence * 100)} % sure): "${firstLine(input.text)}"`];
  return { turn, score: reading.probabilities.worked - reading.probabilities.failed, confidence: reading.confidence, source: 'classifier', evidence, kind: 'provisional', at };
}

function firstLine(text: string): string {
  const line = text.split('\n').find((each) => each.trim() !== '')?.trim() ?? '';
  return line.length > 80 ? `${line.slice(0, 79)}…` : line;
}

async function open(path: string): Promise<Runtime> {
  if (!existsSync(path)) throw new HindsightError('modelMissing', { path, problem: 'the classifier is not there' });
  try {
    const { InferenceSession: sessions, Tensor: tensor } = await import('onnxruntime-node');
    const session = await sessions.create(path, { executionProviders: ['cpu'], intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 });
    return { session, tensor };
  } catch (error) {
    throw new HindsightError('modelCorrupt', { path, problem: error instanceof Error ? error.message : String(error) });
  }
}

/** testdata/ stands beside dist/ in the package; the sources stand three folders down. */
function shippedModel(): string {
  const root = __filename.endsWith('.ts') ? join(__dirname, '..', '..', '..') : join(__dirname, '..');
  return join(root, 'testdata', 'classifier', 'polarity.onnx');
}
