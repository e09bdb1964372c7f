import { describe, expect, it } from 'vitest';
import { look, restAt } from './standing.ts';
import type { StandingOffer } from './standing.ts';

const PREFIX = 'const a = 1;\n';
const SUFFIX = '\nconst z = 2;\n';
const offerOf = (text: string): StandingOffer => ({ turn: 't', text, prefix: PREFIX, suffix: SUFFIX, cut: false, agreed: 0, taken: false, unbroken: true });
/** The document with a text at the offer's place; `|` is the cursor, at its end where there is none. */
function at(written: string): [text: string, offset: number] {
  const cursor = written.includes('|') ? written.indexOf('|') : written.length;
  return [PREFIX + written.replace('|', '') + SUFFIX, PREFIX.length + cursor];
}

describe('an offer that is typed through', () => {
  it('goes on with what is left of it, key by key, until it stands there', () => {
    const offer = offerOf('return total;');
    for (let typed = 0; typed < offer.text.length; typed++) {
      const [text, offset] = at(offer.text.slice(0, typed));
      expect(restAt(offer, text, offset)).toBe(offer.text.slice(typed));
      expect(look(offer, text).sight).toBe('stands');
    }
    expect(look(offer, at(offer.text)[0]).sight).toBe('complete');
    expect(restAt(offer, ...at(offer.text))).toBeNull();
  });

  it('goes on behind a bracket or a quote that the editor closed, without offering it again', () => {
    expect(restAt(offerOf('call(a)'), ...at('call(|)'))).toBe('a');
    expect(restAt(offerOf('call(a);'), ...at('call(|)'))).toBe('a);');
    expect(restAt(offerOf("name = 'x'"), ...at("name = '|'"))).toBe('x');
  });

  it('goes on over lines, also where the document has other line ends', () => {
    expect(restAt(offerOf('a();\nb();'), ...at('a();\r\nb'))).toBe('();');
  });

  it('does not go on where something else was written, elsewhere, or before it', () => {
    const offer = offerOf('return total;');
    expect(restAt(offer, ...at('retr'))).toBeNull();
    expect(restAt(offer, ...at('re|t'))).toBeNull();
    expect(restAt(offer, PREFIX + SUFFIX, 3)).toBeNull();
    expect(restAt(offer, `// more\n${at('re')[0]}`, 18)).toBeNull();
    expect(look(offer, at('retr')[0]).sight).toBe('contradicted');
    expect(look(offer, `// more\n${at('re')[0]}`).sight).toBe('left');
    expect(look(offer, (PREFIX + SUFFIX).slice(2)).sight).toBe('left');
  });

  it('stands again when the typo is taken back', () => {
    expect(restAt(look(offerOf('return total;'), at('retr')[0]).offer, ...at('ret'))).toBe('urn total;');
  });
});

describe('acceptance', () => {
  const change = (offer: StandingOffer, written: string): ReturnType<typeof look> => look(offer, at(written)[0]);

  it('is more of the offer in one change than a key writes: all of it, or a word', () => {
    const offer = offerOf('return total;');
    expect(change(offer, 'r').accepted).toBe(false);
    expect(change(offer, 'return total;')).toMatchObject({ sight: 'complete', accepted: true });
    const word = change(offer, 'return');
    expect(word).toMatchObject({ sight: 'stands', accepted: true });
    expect(change(word.offer, 'returnx')).toMatchObject({ sight: 'contradicted', accepted: false, offer: { taken: true } });
  });

  it('is not a pair of brackets, nor another text pasted over it', () => {
    expect(change(offerOf('(a)'), '()').accepted).toBe(false);
    expect(change(offerOf('return total;'), 'return sum;').accepted).toBe(false);
  });
});
