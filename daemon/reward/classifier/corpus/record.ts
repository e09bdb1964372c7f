/** What the corpus is made of; one JSON object a line in testdata/classifier/corpus.jsonl.gz. */

export const POLARITIES = ['worked', 'failed', 'neutral'] as const;
/** What a text says about the action before it; the rules of labelling are in docs/classifier.md. */
export type Polarity = (typeof POLARITIES)[number];

export type Kind = 'terminal' | 'message';

export interface CorpusRecord {
  kind: Kind;
  /** What is held out as one: the tool that ran, or the family of phrasings. */
  family: string;
  label: Polarity;
  /** Terminal only: the command line and its exit code. */
  command?: string;
  exitCode?: number;
  /** Output (head and tail) or message. */
  text: string;
}
