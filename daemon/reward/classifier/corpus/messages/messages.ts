/** The messages of the corpus: so many of each family, and those written one by one, without repeats. */
import { POLARITIES, type CorpusRecord } from '../record.ts';
import { Random } from '../random.ts';
import { FAMILIES } from './families.ts';
import { phrase, roughen } from './grammar.ts';
import { LANGUAGES } from './languages.ts';
import { WRITTEN } from './written.ts';

/** The written ones are held out in parts, each of all polarities and languages. */
const PARTS = 3;

export function writeMessages(seed: number, perFamily: number): CorpusRecord[] {
  const records: CorpusRecord[] = [];
  FAMILIES.forEach((family, index) => {
    const random = new Random(seed * 1000 + index);
    const texts = new Set<string>();
    for (let tries = 0; texts.size < perFamily && tries < perFamily * 4; tries++) texts.add(phrase(family, random));
    for (const text of texts) records.push({ kind: 'message', family: family.name, label: family.label, text });
  });
  const random = new Random(seed * 1000 + 999);
  for (const [name, texts] of [['written', WRITTEN], ['language', LANGUAGES]] as const) {
    for (const label of POLARITIES) {
      texts[label].forEach((text, i) => {
        for (const variant of new Set([text, roughen(text, random)])) records.push({ kind: 'message', family: `${name}-${(i % PARTS) + 1}`, label, text: variant });
      });
    }
  }
  return records;
}
