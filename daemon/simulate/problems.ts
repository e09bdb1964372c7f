/** School-maths problems in the form of GSM8K: a JSON object a line, gzip or not. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { z } from 'zod';
import { HindsightError } from '../../protocol/errors.ts';

const line = z.object({ question: z.string().min(1), answer: z.string().min(1) });

export interface Problem {
  question: string;
  /** The worked answer as a student would hand it in: without the calculator's marks. */
  answer: string;
}

/** @throws badRequest with what is wrong */
export function readProblems(path: string): Problem[] {
  const unusable = (problem: string): HindsightError => new HindsightError('badRequest', { problem: `The problems ${path} cannot be used: ${problem}`, remedy: 'Give a file with one JSON object a line, {"question": …, "answer": …}.' });
  let text: string;
  try {
    const bytes = readFileSync(path);
    text = (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('utf8');
  } catch (thrown) {
    throw unusable((thrown as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : 'it cannot be read');
  }
  const problems = text.split('\n').flatMap((one, index) => {
    if (one.trim() === '') return [];
    const parsed = line.safeParse(json(one));
    if (!parsed.success) throw unusable(`line ${index + 1} has no question and answer`);
    return [{ question: parsed.data.question, answer: parsed.data.answer.replace(/<<[^>]*>>/g, '').replace(/\n?#### .*$/s, '').trim() }];
  });
  if (problems.length === 0) throw unusable('it is empty');
  return problems;
}

function json(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}
